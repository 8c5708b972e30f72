"""Genotypes of the elastic MobileNetV3 spaces: every option counts, none is out of reach, no gene is dead."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowland import spaces
from lowland.core.errors import GenotypeError
from lowland.core.genotype import Genotype
from lowland.spaces.mobilenetv3.design import ONCE_FOR_ALL
from lowland.spaces.mobilenetv3.genotype import choices

FULL, SMALL = spaces.get("mobilenetv3"), spaces.get("mobilenetv3-small")
BOTH = pytest.mark.parametrize("space", [FULL, SMALL], ids=lambda s: s.name)
seeds = st.integers(0, 2**32 - 1)
TEXT = "k3e6,k5e4|k7e3,k3e3,k3e4|k3e3,k3e3|k3e3,k3e3,k3e3,k7e6|k5e6,k5e6@48/56"


def close_to_uniform(counts: Counter, options: int) -> bool:
    """Whether all options occur, each within 5 standard deviations of its share."""
    total = sum(counts.values())
    share = total / options
    return len(counts) == options and all(
        abs(n - share) <= 5 * (share * (1 - 1 / options)) ** 0.5 for n in counts.values()
    )


def test_sizes():
    assert FULL.size == 7371**5 * 25
    assert SMALL.size == (6 + 6**2 + 6**3) ** 3 * 3
    assert len(FULL.gene_names) == 46
    assert len(SMALL.gene_names) == 22


def test_text_form_by_hand():
    genotype = FULL.parse(TEXT)
    assert FULL.format(genotype) == TEXT
    assert genotype.genes[:18] == (2, 1, 2, 0, 0, 3, 2, 0, 0, 3, 3, 1, 1, 0, 1, 1, 2, 0)
    assert genotype.genes[-1] == 16
    assert FULL.parse(TEXT.replace("|", " | ").replace("@", " @ ")) == genotype


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("@48/56", "@57/56", "resolution '57/56' is none that mobilenetv3 has.*32 to 56"),
        ("@48/56", "@31/56", "resolution '31/56'"),
        ("@48/56", "@224", "resolution '224'"),
        ("@48/56", "", "no resolution"),
        ("k3e6,", "k9e6,", "block 1 of stage 1 is 'k9e6'.*3, 5 or 7.*3, 4 or 6"),
        ("k3e6,", "k3e5,", "block 1 of stage 1 is 'k3e5'"),
        ("k3e6,", "", "stage 1 has 1 blocks.*2 to 4"),
        ("k3e6,", "k3e6,k3e6,k3e6,k3e6,", "stage 1 has 5 blocks"),
        ("|k5e6,k5e6", "", "4 stages"),
    ],
)
def test_wrong_text_is_named(old, new, match):
    with pytest.raises(GenotypeError, match=match):
        FULL.parse(TEXT.replace(old, new))


def test_a_resolution_of_the_other_space_is_refused():
    with pytest.raises(GenotypeError, match="40, 48 or 56"):
        SMALL.parse("k3e3|k3e3|k3e3@32/56")


def test_genes_of_unused_blocks_must_be_zero():
    genes = list(FULL.parse(TEXT).genes)
    for gene, value, match in (
        (3, 1, "stage 1 kernel 3.*0"),
        (2, 0, "stage 1 kernel 2.*1 to 3"),
        (0, 5, "depth.*2 to 4"),
    ):
        wrong = [*genes[:gene], value, *genes[gene + 1 :]]
        with pytest.raises(GenotypeError, match=match):
            FULL.validate(Genotype("mobilenetv3", tuple(wrong)))
    with pytest.raises(GenotypeError, match="stage 1 depth"):
        FULL.validate(Genotype("mobilenetv3", ("2", *genes[1:])))


def test_samples_are_uniform_over_networks():
    rng = np.random.default_rng(0)
    depths = Counter(SMALL.sample(rng).genes[7] for _ in range(8000))
    for depth, networks in ((1, 6), (2, 36), (3, 216)):
        share = networks / 258
        assert abs(depths[depth] / 8000 - share) < 5 * (share * (1 - share) / 8000) ** 0.5
    full = Counter(FULL.sample(rng).genes[0] for _ in range(3000))
    assert full[4] / 3000 == pytest.approx(6561 / 7371, abs=0.03)


@BOTH
def test_paths_are_uniform_over_options_and_reach_the_last(space):
    """Unlike in the public FlatNAS code, integer genes are drawn as integers."""
    rng = np.random.default_rng(1)
    design = space.design
    paths = [space.sample_path(rng, 1, per_cell=False).genes for _ in range(6000)]
    assert close_to_uniform(Counter(genes[0] for genes in paths), len(design.depths))
    assert close_to_uniform(Counter(genes[1] for genes in paths), len(design.kernels))
    assert close_to_uniform(Counter(genes[1 + design.most] for genes in paths), len(design.expansions))
    assert close_to_uniform(Counter(genes[-1] for genes in paths), len(design.resolutions))


@BOTH
def test_mutations_reach_every_other_option_equally_often(space):
    """Unlike in the public FlatNAS code, the last option is as likely as any other."""
    rng = np.random.default_rng(2)
    design, (smallest, largest) = space.design, space.extremes()
    for start in (smallest, largest):
        mutants = [space.mutate(start, rng, 1.0, None).genes for _ in range(4000)]
        assert close_to_uniform(Counter(genes[0] for genes in mutants), len(design.depths) - 1)
        assert close_to_uniform(Counter(genes[1] for genes in mutants), len(design.kernels) - 1)
        assert close_to_uniform(Counter(genes[1 + design.most] for genes in mutants), len(design.expansions) - 1)
        assert close_to_uniform(Counter(genes[-1] for genes in mutants), len(design.resolutions) - 1)
        assert all(start.genes[i] not in {genes[i] for genes in mutants} for i in (0, 1, -1))
    # A block that a mutation adds holds every option.
    grown = [space.mutate(smallest, rng, 0.5, None).genes for _ in range(4000)]
    block = Counter(genes[design.most] for genes in grown if genes[0] == design.most)
    assert close_to_uniform(block, len(design.kernels))


def test_mutation_changes_about_as_many_genes_as_asked():
    rng = np.random.default_rng(3)
    _, largest = FULL.extremes()
    genes = range(1, 9)
    changed = [
        sum(a != b for a, b in zip(FULL.mutate(largest, rng, 0.25, genes).genes, largest.genes, strict=True))
        for _ in range(2000)
    ]
    assert np.mean(changed) == pytest.approx(8 * 0.25, abs=0.15)


@BOTH
def test_depth_changes_only_with_its_whole_stage(space):
    rng = np.random.default_rng(4)
    _, largest = space.extremes()
    most, stage = space.design.most, space.design.stage_genes
    assert space.mutate(largest, rng, 1.0, range(1)) == largest
    for _ in range(20):
        mutant = space.mutate(largest, rng, 1.0, range(stage))
        assert mutant.genes[0] != most
        assert mutant.genes[stage:] == largest.genes[stage:]


@settings(max_examples=60, deadline=None)
@given(seed=seeds)
@pytest.mark.parametrize("space", [FULL, SMALL], ids=lambda s: s.name)
def test_unused_genes_stay_zero(space, seed):
    rng = np.random.default_rng(seed)
    genotype = space.mutate(space.sample_path(rng, 1, per_cell=False), rng, 0.3, None)
    genotype = space.crossover(genotype, space.sample_path(rng, 1, per_cell=False), rng)
    space.validate(genotype)
    found = choices(space.design, genotype)
    depths = [genotype.genes[s * space.design.stage_genes] for s in range(len(space.design.stages))]
    assert [
        sum(c is not None for c in found[s * space.design.most :][: space.design.most]) for s in range(len(depths))
    ] == depths
    assert space.parse(space.format(genotype)) == genotype


def test_crossover_takes_each_decision_from_both_parents_equally_often():
    rng = np.random.default_rng(5)
    smallest, largest = FULL.extremes()
    children = [FULL.crossover(smallest, largest, rng).genes for _ in range(4000)]
    for gene in (0, 1, 5, 9, -1):
        assert close_to_uniform(Counter(genes[gene] for genes in children), 2)
    # Block 3 exists in the largest only: it comes from there, or the stage is too shallow for it.
    assert {genes[3] for genes in children} == {0, 3}


def test_encoding_by_hand():
    vector = FULL.encode(FULL.parse(TEXT))
    assert vector.shape == (5 * (3 + 12 + 12) + 25,)
    first = [1, 0, 0, *[1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], *[0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0]]
    assert vector[:27].tolist() == first
    assert vector[-25:].tolist() == [float(i == 16) for i in range(25)]
    blocks = 2 + 3 + 2 + 4 + 2
    assert vector.sum() == 5 + 2 * blocks + 1


def test_extremes_are_the_smallest_and_largest():
    smallest, largest = FULL.extremes()
    assert FULL.format(smallest) == "|".join(["k3e3,k3e3"] * 5) + "@32/56"
    assert FULL.format(largest) == "|".join(["k7e6,k7e6,k7e6,k7e6"] * 5) + "@56/56"
    of = spaces.Shape(image_size=224, cells=1)
    for genotype in [FULL.sample(np.random.default_rng(seed)) for seed in range(50)]:
        cost = FULL.cost(genotype, of)
        assert FULL.cost(smallest, of).parameters <= cost.parameters <= FULL.cost(largest, of).parameters
        assert FULL.cost(smallest, of).macs <= cost.macs <= FULL.cost(largest, of).macs


def test_graphs_draw_a_chain_per_stage():
    graphs = FULL.graphs(FULL.parse(TEXT))
    assert graphs[0].title == "stage 1, stride 2, images at 48/56"
    assert "squeeze" in graphs[1].title
    assert graphs[0].edges == (("in", "1", "mbconv6_3x3"), ("1", "2", "mbconv4_5x5"))
    assert [len(graph.edges) for graph in graphs] == [2, 3, 2, 4, 2]


def test_published_options():
    assert [stage.width for stage in ONCE_FOR_ALL.stages] == [24, 40, 80, 112, 160]
    assert [stage.stride for stage in ONCE_FOR_ALL.stages] == [2, 2, 2, 1, 2]
    assert [stage.squeeze for stage in ONCE_FOR_ALL.stages] == [False, True, False, True, True]
    assert [stage.hswish for stage in ONCE_FOR_ALL.stages] == [False, False, True, True, True]
