"""Variation of the public codes: genes one by one with repair, two-point crossover, polynomial mutation, samplers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from lowland import spaces
from lowland.core.config import SearchConfig
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.search.limits import Limits, sampler
from lowland.search.strategies import strategy as strategies
from lowland.search.strategies.pareto.inner import GenotypeSampling
from lowland.search.strategies.variation import per_gene, polynomial, redrawn, two_point
from lowland.spaces import Shape
from lowland.spaces.space import Space
from lowland.workflow.presets import assemble

DARTS, NB201, OFA = (spaces.get(name) for name in ("darts", "nasbench201", "mobilenetv3"))


def differing(space: Space, genes: range | None, times: int) -> float:
    """Genes that a mutant differs by, on average."""
    total = 0
    for seed in range(times):
        rng = numpy_rng(seed)
        parent = space.sample(rng)
        child = redrawn(space, parent, rng, 0.1, genes)
        space.validate(child)
        total += sum(a != b for a, b in zip(parent.genes, child.genes, strict=True))
    return total / times


def test_mutants_of_the_public_code_differ_by_as_many_genes() -> None:
    """Counted beside the authors' code: 2.82 genes of all 28, 1.39 in the normal cell alone; here 2.75 and 1.36."""
    assert differing(DARTS, None, 2000) == pytest.approx(2.79, abs=0.13)
    assert differing(DARTS, range(14), 2000) == pytest.approx(1.38, abs=0.1)


def test_genes_outside_the_range_stay() -> None:
    rng, parent = numpy_rng(0), DARTS.sample(numpy_rng(1))
    for _ in range(50):
        assert redrawn(DARTS, parent, rng, 0.5, range(14)).genes[14:] == parent.genes[14:]
    assert redrawn(NB201, NB201.sample(rng), rng, 1.0, None).space == "nasbench201"


@pytest.mark.parametrize("space", [DARTS, NB201, OFA], ids=lambda space: space.name)
def test_every_child_is_legal_and_of_its_parents(space: Space) -> None:
    for seed in range(100):
        rng = numpy_rng(seed)
        first, second = space.sample(rng), space.sample(rng)
        for cross in (per_gene, two_point):
            child = cross(space, first, second, rng)
            space.validate(child)
            assert cross(space, first, first, rng) == first
        assert space.repaired(first.genes, rng) == first


def test_two_point_crossover_takes_one_stretch_from_the_second() -> None:
    first, second = Genotype("nasbench201", (0,) * 6), Genotype("nasbench201", (4,) * 6)
    found = Counter(two_point(NB201, first, second, numpy_rng(seed)).genes for seed in range(2000))
    assert len(found) == 21, "all stretches of six genes but the empty one"
    for genes in found:
        text = "".join(map(str, genes)).strip("0")
        assert set(text) == {"4"}
    assert max(found.values()) < 2 * min(found.values())


def test_repair_gives_every_node_two_edges() -> None:
    for seed in range(50):
        rng = numpy_rng(seed)
        DARTS.validate(DARTS.repaired(rng.integers(8, size=28).tolist(), rng))
    DARTS.validate(DARTS.repaired([0] * 28, numpy_rng(0)))
    DARTS.validate(DARTS.repaired([7] * 28, numpy_rng(0)))


def test_polynomial_mutation_reaches_every_value_and_prefers_near_ones() -> None:
    rng = numpy_rng(0)
    found = Counter(polynomial(2, 5, 1.0, rng) for _ in range(8000))
    assert set(found) == set(range(5)), "the last option too, which truncation hardly ever reached"
    assert found[1] > found[0]
    assert found[3] > found[4]
    assert found[1] == pytest.approx(found[3], rel=0.15)
    near = Counter(polynomial(2, 5, 20.0, rng) for _ in range(2000))
    assert near[2] > found[2] * 2000 / 8000
    assert {polynomial(0, 1, 1.0, rng) for _ in range(10)} == {0}


def test_polynomial_mutation_needs_an_order() -> None:
    genotype = OFA.sample(numpy_rng(3))
    for seed in range(50):
        rng = numpy_rng(seed)
        child = OFA.mutate_near(genotype, rng, 0.3, lambda value, count, rng=rng: polynomial(value, count, 1.0, rng))
        OFA.validate(child)
    assert OFA.mutate_near(genotype, numpy_rng(0), 0.0, lambda value, count: 0) == genotype
    config = assemble({"search": {"strategy": "pareto", "options": {"pareto": {"mutation": "polynomial"}}}})
    with pytest.raises(ConfigError, match="genes of nasbench201 are kinds of operations, which have no order"):
        strategies.chosen(config.search).require(config)


def test_half_of_all_genes_may_be_exchanged_with_oneself() -> None:
    """Parents may coincide in the public code; the space's own rule takes two."""
    own = SearchConfig(options={"evolution": {"variation": "repair"}})
    assert strategies.chosen(own).options.variation == "repair"  # type: ignore[attr-defined]


def shares(space: Space, sampling: str, most: int, shape: Shape) -> float:
    draw = sampler(space, sampling)
    return float(np.mean([space.cost(draw(numpy_rng(seed)), shape).parameters <= most for seed in range(400)]))


def test_both_samplers_of_once_for_all() -> None:
    """Measured beside the public code: 66 % of its genomes have at most 5 M parameters, 6 % of all networks."""
    shape = Shape(image_size=224, num_classes=1000, channels=16, cells=1)
    assert shares(OFA, "genes", 5_000_000, shape) == pytest.approx(0.66, abs=0.07)
    assert shares(OFA, "networks", 5_000_000, shape) == pytest.approx(0.06, abs=0.04)


def test_limits_and_the_inner_search_draw_as_told() -> None:
    config, seen = SearchConfig(), set()
    cost = lambda genotype: OFA.cost(genotype, Shape(image_size=64, channels=16, cells=1))  # noqa: E731
    for sampling in ("networks", "genes"):
        limits = Limits(OFA, config, cost, 5, sampling)
        drawn = limits.sample(lambda genotype: True, seen, "slot")
        assert drawn == sampler(OFA, sampling)(numpy_rng(5, "search", "slot", "uniform", 0))
    assert GenotypeSampling(OFA.sample_genes, []).draw == OFA.sample_genes
    assert NB201.sample_genes(numpy_rng(1)) == NB201.sample(numpy_rng(1))
