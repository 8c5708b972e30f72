"""NAS-Bench-201 against published figures and against a dense reference that computes every edge."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from lowland import spaces
from lowland.core.errors import ConfigError, GenotypeError
from lowland.core.genotype import Genotype
from lowland.spaces import NetworkOptions, Shape

SPACE = spaces.get("nasbench201")
PUBLISHED = Shape(image_size=32, num_classes=10, channels=16, cells=5)
TINY = Shape(image_size=16, num_classes=5, channels=4, cells=2)
INDEX_0 = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"


def genotype(*genes: int) -> Genotype:
    return Genotype("nasbench201", genes)


EVERYTHING = list(SPACE.all())


# --- genotypes -------------------------------------------------------------------------------------------------------


def test_published_text_form():
    assert SPACE.parse(INDEX_0) == genotype(4, 2, 1, 2, 1, 1) == SPACE.parse("4, 2,1,2,1,1 ")
    assert SPACE.format(genotype(4, 2, 1, 2, 1, 1)) == INDEX_0
    assert SPACE.gene_names == ("1←0", "2←0", "2←1", "3←0", "3←1", "3←2")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("|none~0|+|none~0|none~1|", r"has 2 nodes joined by '\+', expected 3"),
        ("|none~0|+|none~0|+|none~0|none~1|none~2|", r"node 2 .* expected 2 op~source"),
        ("none~0+|none~0|none~1|+|none~0|none~1|none~2|", r"node 1 .* expected 1 op~source"),
        ("|none~0|+|none~0|none~0|+|none~0|none~1|none~2|", r"edge 2←1 .*'none~0', expected op~1"),
        ("|none|+|none~0|none~1|+|none~0|none~1|none~2|", r"edge 1←0 .* expected op~0"),
        ("|nor_conv_3x4~0|+|none~0|none~1|+|none~0|none~1|none~2|", r"'nor_conv_3x4' on edge 1←0 .*did you mean"),
        ("|7~0|+|none~0|none~1|+|none~0|none~1|none~2|", r"'7' on edge 1←0 .*known are none, skip_connect"),
        ("3,3,1,0,2", r"has 5 genes, nasbench201 needs 6"),
        ("3,3,1,0,2,5", r"gene 3←2 .* is 5; legal are 0 none, .* 4 avg_pool_3x3"),
        ("3,3,1,0,-2,1", r"gene 3←1 .* is -2"),
        ("3,3,1,0,x,1", r"'3,3,1,0,x,1' is neither of the form \|op~0\|"),
    ],
)
def test_errors_name_the_fault(text, says):
    with pytest.raises(GenotypeError, match=says) as caught:
        SPACE.parse(text)
    assert "\n" not in str(caught.value)


def test_enumeration_and_isomorphic_cells():
    assert len(EVERYTHING) == len(set(EVERYTHING)) == SPACE.size == 15_625
    assert len({SPACE.key(g) for g in EVERYTHING}) == 6_466


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ((3, 0, 0, 0, 1, 0), (0, 0, 0, 3, 0, 0), True),  # a skip passes node 1 through
        ((0, 0, 0, 3, 0, 0), (0, 0, 2, 3, 4, 0), True),  # node 1 is zero, so what leaves it is
        ((1, 0, 3, 3, 0, 0), (2, 4, 0, 3, 0, 0), True),  # nodes 1 and 2 lead nowhere
        ((3, 2, 0, 1, 1, 1), (3, 2, 0, 1, 1, 4), False),
        ((0, 3, 2, 4, 1, 2), (0, 3, 4, 4, 2, 2), True),
        # Equal functions that the published rule keeps apart: nested sums are sorted as text, and "#+#" is not "#".
        ((3, 2, 0, 0, 1, 1), (2, 3, 0, 0, 1, 1), False),
        ((0, 0, 0, 3, 0, 0), (0, 0, 0, 3, 0, 2), False),
    ],
)
def test_keys(first, second, same):
    assert (SPACE.key(genotype(*first)) == SPACE.key(genotype(*second))) is same


def dense_cell(genes, x, operations):
    """The cell with every edge computed, `none` as zeros: what NAS-Bench-201 defines."""
    nodes = [x]
    for target in (1, 2, 3):
        first = target * (target - 1) // 2
        nodes.append(sum(operations[genes[first + source]](nodes[source]) for source in range(target)))
    return nodes[3]


def test_equal_keys_mean_equal_functions():
    # Fixed operations that do not commute and keep zero at zero stand for the real ones, over integers: exact equality.
    matrices = [torch.randint(-9, 10, (3, 3), generator=torch.Generator().manual_seed(i)).double() for i in range(3)]
    operations = [
        torch.zeros_like,
        lambda x: x,
        lambda x: torch.relu(x) @ matrices[0],
        lambda x: torch.relu(-x) @ matrices[1],
        lambda x: x @ matrices[2],
    ]
    x = torch.tensor([[1.0, -2.0, 3.0], [-5.0, 4.0, 2.0]]).double()
    functions = {}
    for g in EVERYTHING:
        functions.setdefault(SPACE.key(g), set()).add(tuple(dense_cell(g.genes, x, operations).flatten().tolist()))
    assert all(len(outputs) == 1 for outputs in functions.values())


def test_samples_are_uniform_over_genes():
    rng = np.random.default_rng(0)
    genes = np.array([SPACE.sample(rng).genes for _ in range(5_000)])
    counts = np.stack([np.bincount(column, minlength=5) for column in genes.T])
    # χ² of each gene against uniform, 4 degrees of freedom: 27.9 is exceeded with probability 1e-5.
    assert (((counts - 1_000) ** 2 / 1_000).sum(axis=1) < 27.9).all()


@pytest.mark.parametrize("per_cell", [False, True])
def test_training_paths_give_every_node_an_edge(per_cell):
    rng = np.random.default_rng(0)
    path = [SPACE.sample_path(rng, 15, per_cell=per_cell) for _ in range(400)]
    genotypes = [g for cells in path for g in cells] if per_cell else path
    assert all(g.genes[0] and any(g.genes[1:3]) and any(g.genes[3:]) for g in genotypes)
    # Node 1 keeps 4 of 5 operations, node 2 keeps 24 of 25 draws: P(edge 2←0 is none) = 4/24.
    assert np.mean([g.genes[1] == 0 for g in genotypes]) == pytest.approx(4 / 24, abs=0.06)


def test_mutation_is_uniform_over_the_other_operations():
    rng = np.random.default_rng(0)
    start = genotype(0, 1, 2, 3, 4, 0)
    mutants = np.array([SPACE.mutate(start, rng, 0.5, None).genes for _ in range(4_000)])
    assert (mutants != start.genes).mean() == pytest.approx(0.5, abs=0.02)
    for column, old in zip(mutants.T, start.genes, strict=True):
        shares = np.bincount(column, minlength=5) / len(column)
        assert shares[old] == pytest.approx(0.5, abs=0.04)
        assert np.delete(shares, old) == pytest.approx(np.full(4, 0.125), abs=0.03)


def test_crossover_mixes_evenly():
    rng = np.random.default_rng(0)
    children = np.array([SPACE.crossover(genotype(*[1] * 6), genotype(*[3] * 6), rng).genes for _ in range(2_000)])
    assert (children == 1).mean(axis=0) == pytest.approx(np.full(6, 0.5), abs=0.05)


def test_encoding_and_graph():
    g = genotype(4, 2, 0, 2, 1, 0)
    assert SPACE.encode(g).shape == (30,)
    assert SPACE.encode(g).nonzero()[0].tolist() == [4, 7, 10, 17, 21, 25]
    (graph,) = SPACE.graphs(g)
    assert graph.nodes == ("in", "1", "2", "out")
    expected = [("in", "1", "avg_pool_3x3"), ("in", "2", "nor_conv_1x1"), ("in", "out", "nor_conv_1x1")]
    assert graph.edges == (*expected, ("1", "out", "skip_connect"))


# --- size ------------------------------------------------------------------------------------------------------------


def test_published_costs():
    costs = [SPACE.cost(g, PUBLISHED) for g in EVERYTHING]
    # The published MACs count the classifier's bias too: 10 more for 10 classes.
    published = [(cost.macs + 10) / 1e6 for cost in costs]
    assert (min(published), max(published)) == (7.78305, 220.11969)
    index_0 = SPACE.cost(SPACE.parse(INDEX_0), PUBLISHED)
    assert (index_0.parameters, (index_0.macs + 10) / 1e6) == (129_306, 15.64737)


def test_cost_depends_on_the_operations_alone():
    by_operations = {}
    for g in EVERYTHING[::7]:
        by_operations.setdefault(tuple(sorted(g.genes)), set()).add(SPACE.cost(g, PUBLISHED))
    assert all(len(costs) == 1 for costs in by_operations.values())
    none, skip, pool, conv = (SPACE.cost(genotype(*[op] * 6), PUBLISHED) for op in (0, 1, 4, 3))
    assert none == skip == pool
    # 6 edges × 5 cells × 3 stages, each stage 9·C²·H·W with C doubling and H, W halving.
    assert conv.macs - none.macs == 6 * 5 * 3 * 9 * 16**2 * 32**2


def test_supernet_size():
    supernet = SPACE.supernet(PUBLISHED)
    fixed = SPACE.cost(genotype(*[0] * 6), PUBLISHED).parameters
    searched = sum(p.numel() for name, p in supernet.named_parameters() if spaces.is_searched(name))
    # Convolutions only, since the search cells' batch norms have no parameters: (1 + 9)·C² per edge.
    assert searched == 6 * 5 * 10 * (16**2 + 32**2 + 64**2)
    assert sum(p.numel() for p in supernet.parameters()) == fixed + searched
    assert supernet.num_cells == 15


# --- networks --------------------------------------------------------------------------------------------------------


def test_names():
    supernet = SPACE.supernet(TINY)
    names = supernet.inherited(genotype(0, 0, 0, 3, 0, 0))
    assert names["cells.0.edges.3.1.weight"] == "cells.0.edges.3.nor_conv_3x3.1.weight"
    assert {name.split(".")[0] for name in names} == {"stem", "cells", "reductions", "head"}
    assert not any(".2.weight" in name or ".2.bias" in name for name in supernet.state_dict() if ".edges." in name)
    affine = SPACE.network(genotype(*[3] * 6), TINY).state_dict()
    assert "cells.5.edges.5.2.weight" in affine


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_cells_equal_the_dense_definition(mode):
    torch.manual_seed(0)
    supernet = SPACE.supernet(TINY)
    cell = supernet.cells[0].train(mode == "train")
    x = torch.randn(2, 4, 6, 6)
    for g in EVERYTHING[::61]:
        operations = {e: [torch.zeros_like, *cell.edges[e].values()] for e in range(6)}
        nodes = [x]
        for target in (1, 2, 3):
            first = target * (target - 1) // 2
            nodes.append(sum(operations[first + s][g.genes[first + s]](nodes[s]) for s in range(target)))
        torch.testing.assert_close(cell(x, g.genes), nodes[3], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("genes", "computed"),
    [
        ((0, 0, 0, 0, 0, 0), set()),
        ((0, 3, 3, 0, 3, 0), set()),  # node 1 is zero and node 2 leads nowhere
        ((3, 3, 3, 3, 0, 0), {3}),
        ((0, 3, 2, 0, 3, 2), {1, 5}),
        ((3, 0, 3, 0, 0, 3), {0, 2, 5}),
        ((3, 0, 3, 2, 3, 0), {0, 3, 4}),
        ((3, 2, 3, 2, 3, 2), {0, 1, 2, 3, 4, 5}),
    ],
)
def test_only_live_edges_are_computed(genes, computed):
    for network in (SPACE.supernet(TINY), SPACE.network(genotype(*genes), TINY)):
        called: list[int] = []
        for name, module in network.named_modules():
            if isinstance(module, torch.nn.Conv2d) and name.startswith("cells.0.edges."):
                edge = int(name.split(".")[3])
                module.register_forward_hook(lambda *_, edge=edge, called=called: called.append(edge))
        x = torch.randn(2, 3, 16, 16)
        _ = network(x, genotype(*genes)) if isinstance(network, spaces.Supernet) else network(x)
        assert sorted(called) == sorted(computed)


def test_a_dead_cell_outputs_zeros():
    supernet = SPACE.supernet(TINY).eval()
    x = torch.randn(2, 3, 16, 16)
    logits = supernet(x, genotype(0, 4, 3, 0, 3, 0))
    assert torch.equal(logits, supernet(-x, genotype(*[0] * 6)))


@pytest.mark.parametrize(
    ("stem", "size", "sizes"),
    [
        ("cifar", 32, [32, 16, 8]),
        ("cifar", 30, [30, 15, 8]),
        ("cifar", 4, [4, 2, 1]),
        ("auto", 95, [95, 48, 24]),
        ("auto", 96, [24, 12, 6]),
        ("auto", 224, [56, 28, 14]),
        ("imagenet", 32, [8, 4, 2]),
        ("imagenet", 13, [4, 2, 1]),
    ],
)
def test_resolutions(stem, size, sizes):
    shape = replace(TINY, stem=stem, image_size=size, cells=1)
    network, seen = SPACE.network(genotype(*[1] * 6), shape).eval(), []
    for cell in network.cells:
        cell.register_forward_hook(lambda _m, _i, out: seen.append(tuple(out.shape[1:])))
    assert network(torch.zeros(1, 3, size, size)).shape == (1, 5)
    assert seen == [(4 << stage, s, s) for stage, s in enumerate(sizes)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image_size": 3}, "at least 4 .*data.image_size"),
        ({"image_size": 12, "stem": "imagenet"}, "at least 13 .*set stem to cifar"),
        ({"image_size": 3, "stem": "imagenet"}, "at least 13 .*data.image_size"),
        ({"channels": 0}, "channels=0"),
    ],
)
def test_impossible_shapes_say_what_to_do(change, says):
    with pytest.raises(ConfigError, match=says):
        SPACE.check(replace(TINY, **change))


def test_a_path_has_one_genotype_per_search_cell():
    supernet, x = SPACE.supernet(TINY), torch.randn(2, 3, 16, 16)
    with pytest.raises(ValueError, match=r"1 genotype or 6 \(one per search cell\), got 5"):
        supernet(x, [genotype(*[1] * 6)] * 5)


def test_genes_are_integers():
    with pytest.raises(GenotypeError, match=r"gene 2←0 .* is '1'; legal"):
        SPACE.validate(genotype(0, "1", 0, 0, 0, 0))


def test_no_auxiliary_head():
    with pytest.raises(ConfigError, match=r"retrain\.auxiliary_weight"):
        SPACE.network(genotype(*[1] * 6), TINY, NetworkOptions(auxiliary=True))


# --- angle -----------------------------------------------------------------------------------------------------------


def concatenated(supernet, g):
    """The architecture vector written out: RLNAS Algorithm 1 with every route of every cell, one after the other."""
    values = dict(supernet.named_parameters())
    parts = [p for name, p in values.items() if not spaces.is_searched(name)]
    alive = False
    for route in ((0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)):
        pairs = list(zip(route[1:], route[:-1], strict=True))
        edges = [target * (target - 1) // 2 + source for target, source in pairs]
        if any(g.genes[e] == 0 for e in edges):
            continue
        alive = True
        for cell in range(supernet.num_cells):
            for e in edges:
                operation = ["", "", "nor_conv_1x1", "nor_conv_3x3", ""][g.genes[e]]
                if operation:
                    parts.append(values[f"cells.{cell}.edges.{e}.{operation}.1.weight"])
                elif g.genes[e] == 4:
                    channels = supernet.shape.channels * 2 ** (cell // supernet.shape.cells)
                    parts.append(torch.full((channels, 3, 3), 1 / 9))
    return torch.cat([p.detach().double().flatten() for p in parts]) if alive else None


def test_angle_terms_are_the_concatenated_routes():
    torch.manual_seed(0)
    supernet, other = SPACE.supernet(TINY), SPACE.supernet(TINY)
    start, end = (dict(s.named_parameters()) for s in (supernet, other))
    for g in EVERYTHING[::97]:
        terms, a, b = SPACE.angle_terms(supernet, g), concatenated(supernet, g), concatenated(other, g)
        if a is None:
            assert terms == []
            continue
        for left, right, expected in ((start, end, a @ b), (start, start, a @ a), (end, end, b @ b)):
            actual = sum(
                t.times
                * (t.square if t.name is None else (left[t.name].double() * right[t.name].double()).sum().item())
                for t in terms
            )
            assert math.isclose(actual, expected.item(), rel_tol=1e-6, abs_tol=1e-4)


def test_angle_terms_by_hand():
    supernet = SPACE.supernet(TINY)
    terms = SPACE.angle_terms(supernet, genotype(3, 0, 4, 1, 2, 4))
    searched = Counter({(t.name, t.square): t.times for t in terms if t.name is None or ".edges." in t.name})
    # Live routes 0-3, 0-1-3 and 0-1-2-3: edge 0 counts twice, edges 2, 4 and 5 once; skip adds nothing.
    assert searched["cells.0.edges.0.nor_conv_3x3.1.weight", 0.0] == 2
    assert searched["cells.5.edges.4.nor_conv_1x1.1.weight", 0.0] == 1
    assert not any("edges.1" in str(name) or "edges.3" in str(name) for name, _ in searched)
    # Two poolings in each of 2 cells per stage; 9·C entries of 1/9 have squared norm C/9.
    pools = Counter(t.square for t in terms if t.name is None)
    assert pools == {4 / 9: 4, 8 / 9: 4, 16 / 9: 4}
    assert SPACE.angle_terms(supernet, genotype(3, 0, 0, 0, 0, 3)) == []
    fixed = {t.name for t in SPACE.angle_terms(supernet, genotype(0, 0, 0, 1, 0, 0))}
    assert fixed == {name for name, _ in supernet.named_parameters() if not spaces.is_searched(name)}
    assert {"stem.0.weight", "stem.1.bias", "head.0.weight", "head.4.bias"} <= fixed


def test_a_cell_whose_output_no_input_reaches_is_cut():
    (cut,) = SPACE.graphs(SPACE.parse("|none~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|"))
    (whole,) = SPACE.graphs(SPACE.parse("|none~0|+|skip_connect~0|none~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|"))
    assert cut.cut
    assert not whole.cut
