"""The DARTS space: legality, text form, networks, exact cost, and the angle's routes against brute force."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from lowland.core.errors import ConfigError, GenotypeError
from lowland.core.genotype import Genotype
from lowland.spaces import NetworkOptions, Shape, Supernet, get, inherit, is_searched
from lowland.spaces.darts.cells import AuxiliaryHead
from lowland.spaces.darts.genotype import EDGES, NODE_EDGES, OPERATIONS, from_pairs, live_edges, to_pairs
from lowland.spaces.darts.layout import cell_layouts
from lowland.spaces.darts.space import route_counts
from lowland.spaces.values import Stem

SPACE = get("darts")
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[2, 3, 4, 5])"
)
GENES = "4,4,4,4,0,3,4,0,0,3,0,6,0,0,1,1,0,1,3,1,0,3,0,0,1,3,0,0"
TINY = Shape(image_size=8, num_classes=5, channels=4, cells=3)

seeds = st.integers(0, 2**32 - 1)


def sample(seed: int) -> Genotype:
    return SPACE.sample(np.random.default_rng(seed))


def all_operations() -> Genotype:
    """A genotype with every operation in both cells, on edges of stride 1 and 2."""
    cell = [("max_pool_3x3", 0), ("skip_connect", 1), ("avg_pool_3x3", 1), ("sep_conv_3x3", 2)]
    cell += [("sep_conv_5x5", 0), ("dil_conv_3x3", 3), ("dil_conv_5x5", 1), ("skip_connect", 4)]
    return from_pairs(cell, cell)


def supernet(shape: Shape) -> Supernet:
    torch.manual_seed(0)
    return SPACE.supernet(shape)


# --- genotypes -----------------------------------------------------------------------------------------------------


def test_size_counts_every_legal_cell() -> None:
    assert SPACE.size == 1_037_664_180**2
    sources = [list(itertools.combinations(edges, 2)) for edges in NODE_EDGES]
    assert math.prod(map(len, sources)) * 7**8 == math.isqrt(SPACE.size)


def test_gene_names() -> None:
    assert len(SPACE.gene_names) == 28
    assert SPACE.gene_names[0] == "normal 2←0"
    assert SPACE.gene_names[-1] == "reduction 5←4"


@given(seeds)
def test_samples_are_legal(seed: int) -> None:
    genotype = sample(seed)
    SPACE.validate(genotype)
    for cell in live_edges(genotype):
        for node, pair in enumerate(cell):
            assert [EDGES[live.edge][0] for live in pair] == [node, node]


def test_samples_are_uniform() -> None:
    """Every edge of node j is live with probability 2 / (j + 2), and operations are equally likely."""
    rng = np.random.default_rng(1)
    n = 4000
    genes = np.array([SPACE.sample(rng).genes for _ in range(n)])
    for gene, (node, _) in enumerate(EDGES * 2):
        expected = 2 / (node + 2)
        error = math.sqrt(expected * (1 - expected) / n)
        assert np.mean(genes[:, gene] != 0) == pytest.approx(expected, abs=5 * error + 1e-12)
    counts = np.bincount(genes[genes != 0], minlength=8)[1:]
    assert counts / counts.sum() == pytest.approx(np.full(7, 1 / 7), abs=5 * math.sqrt(6 / 49 / counts.sum()))
    both = np.mean((genes[:, 9] != 0) & (genes[:, 13] != 0))
    assert both == pytest.approx(1 / 10, abs=5 * math.sqrt(0.09 / n))


@given(seeds, st.floats(0.0, 1.0), st.sampled_from([None, range(14), range(14, 28), range(3, 9)]))
def test_mutation_is_legal_and_stays_in_its_genes(seed: int, probability: float, genes: range | None) -> None:
    rng = np.random.default_rng(seed)
    parent = SPACE.sample(rng)
    child = SPACE.mutate(parent, rng, probability, genes)
    SPACE.validate(child)
    if genes is not None and genes != range(3, 9):
        outside = [i for i in range(28) if i not in genes]
        assert [child.genes[i] for i in outside] == [parent.genes[i] for i in outside]


@given(seeds)
def test_mutation_changes_nothing_at_probability_zero_and_always_at_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parent = SPACE.sample(rng)
    assert SPACE.mutate(parent, rng, 0.0, None) == parent
    for genes in (None, range(14), range(14, 28), range(7, 8)):
        assert SPACE.mutate(parent, rng, 1.0, genes) != parent


def test_single_mutations_follow_their_documented_law() -> None:
    """A live gene gets each other operation; a dead one displaces each live edge of its node; both uniformly."""
    parent = SPACE.parse(GENES)
    rng = np.random.default_rng(2)
    live = [SPACE.mutate(parent, rng, 1.0, range(8, 9)).genes[5:9] for _ in range(3000)]
    displaced = np.mean([genes[0] == 0 for genes in live])
    assert all(genes[3] != 0 and sum(g != 0 for g in genes) == 2 for genes in live)
    assert displaced == pytest.approx(0.5, abs=0.05)
    assert np.bincount([genes[3] for genes in live])[1:] / 3000 == pytest.approx(np.full(7, 1 / 7), abs=0.04)
    redrawn = [SPACE.mutate(parent, rng, 1.0, range(1)).genes for _ in range(3000)]
    counts = np.bincount([genes[0] for genes in redrawn], minlength=8)
    assert counts[0] == counts[4] == 0
    assert counts[[1, 2, 3, 5, 6, 7]] / 3000 == pytest.approx(np.full(6, 1 / 6), abs=0.04)


@given(seeds)
def test_crossover_takes_whole_nodes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = SPACE.sample(rng), SPACE.sample(rng)
    child = SPACE.crossover(first, second, rng)
    SPACE.validate(child)
    for start in (0, 14):
        for edges in NODE_EDGES:
            part = slice(start + edges.start, start + edges.stop)
            assert child.genes[part] in (first.genes[part], second.genes[part])


def test_crossover_mixes_both_parents_evenly_and_independently() -> None:
    rng = np.random.default_rng(3)
    first, second = (
        SPACE.parse(",".join([cell] * 2)) for cell in ("1,1,1,1,0,1,1,0,0,1,1,0,0,0", "2,2,2,2,0,2,2,0,0,2,2,0,0,0")
    )
    children = np.array([SPACE.crossover(first, second, rng).genes for _ in range(2000)])
    from_first = np.stack([children[:, start + edges.start] == 1 for start in (0, 14) for edges in NODE_EDGES])
    assert from_first.mean(axis=1) == pytest.approx(np.full(8, 0.5), abs=0.06)
    assert np.corrcoef(from_first) == pytest.approx(np.eye(8), abs=0.12)


# --- text ----------------------------------------------------------------------------------------------------------


@given(seeds)
def test_text_round_trips(seed: int) -> None:
    genotype = sample(seed)
    text = SPACE.format(genotype)
    assert "\n" not in text
    assert SPACE.parse(text) == genotype
    assert SPACE.parse(",".join(map(str, genotype.genes))) == genotype
    assert SPACE.parse(str(genotype)) == genotype
    halves = [", ".join(map(str, genotype.genes[i : i + 14])) for i in (0, 14)]
    assert SPACE.parse(" | ".join(halves)) == genotype


def test_published_text_has_the_published_genes() -> None:
    expected = SPACE.parse(GENES)
    assert SPACE.parse(DARTS_V2) == expected
    assert SPACE.parse(f"DARTS_V2 = {DARTS_V2}") == expected
    assert SPACE.parse(DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6)").replace("Genotype", "genotypes.Genotype")) == (
        expected
    )
    positional = DARTS_V2
    for field in ("normal_concat=", "reduce_concat=", "normal=", "reduce="):
        positional = positional.replace(field, "")
    assert SPACE.parse(positional) == expected
    assert to_pairs(live_edges(expected)[1])[2:4] == [("max_pool_3x3", 1), ("skip_connect", 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not an operation index"),
        ("3,4", "28 genes"),
        (GENES.replace("6", "8"), "gene 11 is 8"),
        (GENES.replace("6", "-1"), "gene '-1'"),
        (GENES.replace("6", "٣"), "is not an operation index"),
        (GENES.replace("4,4,4,4", "4,0,4,4"), "inner node 0 of the normal cell has 1 edges"),
        (GENES[:-1] + "5", "inner node 3 of the reduction cell has 3 edges"),
        (GENES.replace(",", "|"), "one '|'"),
        ("|".join([GENES, GENES]), "14 genes on each side"),
        ("Genotype(", "not well-formed"),
        ("Genotype('\\d')", "not well-formed"),
        ("__import__('os').system('true')", "is not one Genotype"),
        (f"{DARTS_V2}; {DARTS_V2}", "is not one Genotype"),
        ("Genotype(normal=[])", "lacks reduce"),
        ("Genotype(normal=__import__('os'), reduce=[])", "must be a list of pairs"),
        ("Genotype(normal=[], reduce=[])", "has 8 "),
        (DARTS_V2.replace("dil_conv_3x3", "dil_conv_9x9"), "unknown operation"),
        (DARTS_V2.replace("dil_conv_3x3", "none"), "unknown operation"),
        (DARTS_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)"), "must be 0 to 4"),
        (DARTS_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 0)"), "repeats a source"),
        (DARTS_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', '2')"), "must be an operation name"),
        (DARTS_V2.replace("('dil_conv_3x3', 2)", "2"), "must be a list of pairs"),
        (DARTS_V2.replace("normal_concat=[2, 3, 4, 5]", "normal_concat=[2, 4, 3, 5]"), "normal_concat"),
        (DARTS_V2.replace("reduce_concat=[2, 3, 4, 5]", "reduce_concat=range(2, 9**9)"), "reduce_concat"),
        (DARTS_V2.replace("reduce_concat", "reduction_concat"), "'reduction_concat'"),
        (DARTS_V2.replace("reduce=", "**"), "None"),
        (f"Genotype({'[' * 3000}", "not well-formed"),
        (GENES + " " * 20_000, "characters"),
    ],
)
def test_malformed_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(GenotypeError) as caught:
        SPACE.parse(text)
    assert message in str(caught.value)


@given(st.text(max_size=60))
def test_any_other_text_is_a_genotype_error(text: str) -> None:
    with pytest.raises(GenotypeError):
        SPACE.parse(text)


def test_a_genotype_of_another_space_is_refused() -> None:
    with pytest.raises(GenotypeError, match="nasbench201"):
        SPACE.validate(Genotype("nasbench201", (1,) * 28))


def test_encoding_is_one_hot() -> None:
    genotype = SPACE.parse(GENES)
    x = SPACE.encode(genotype)
    assert x.shape == (224,)
    assert tuple(x.reshape(28, 8).argmax(1)) == genotype.genes
    assert x.sum() == 28


def test_graphs_show_both_cells() -> None:
    normal, reduction = SPACE.graphs(SPACE.parse(DARTS_V2))
    assert (normal.title, reduction.title) == ("normal cell", "reduction cell")
    assert ("0", "3", "dil_conv_3x3") in normal.edges
    assert ("c_{k-2}", "0", "sep_conv_3x3") in normal.edges
    assert [edge for edge in normal.edges if edge[1] == "c_{k}"] == [(str(i), "c_{k}", "") for i in range(4)]
    assert len(reduction.edges) == 12
    assert {end for edge in reduction.edges for end in edge[:2]} <= set(reduction.nodes)


# --- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "reductions"),
    [(1, []), (2, [1]), (3, [1, 2]), (4, [1, 2]), (8, [2, 5]), (14, [4, 9]), (20, [6, 13])],
)
def test_reductions(cells: int, reductions: list[int]) -> None:
    layouts = cell_layouts(Shape(cells=cells))
    assert [i for i, layout in enumerate(layouts) if layout.reduction] == reductions
    assert layouts[-1].c_out == 64 * 2 ** len(reductions)


@pytest.mark.parametrize("field", ["in_channels", "image_size", "num_classes", "channels", "cells"])
def test_sizes_below_one_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        SPACE.check(Shape(**{field: 0}))


@pytest.mark.parametrize(("stem", "least"), [("cifar", 4), ("imagenet", 8)])
def test_the_least_image_runs_and_smaller_ones_are_refused(stem: Stem, least: int) -> None:
    shape = Shape(image_size=least, channels=4, cells=4, stem=stem)
    network = SPACE.network(all_operations(), shape, NetworkOptions(auxiliary=True))
    assert [logits.shape for logits in network(torch.randn(2, 3, least, least))] == [(2, 10)] * 2
    with pytest.raises(ConfigError, match=f"at least {least}"):
        SPACE.check(replace(shape, image_size=least - 1))


def test_odd_width_needs_the_cifar_stem() -> None:
    SPACE.check(Shape(channels=5, stem="cifar", image_size=224))
    for shape in (Shape(channels=5, image_size=96), Shape(channels=5, stem="imagenet")):
        for build in (SPACE.check, SPACE.supernet, lambda s: SPACE.cost(sample(0), s)):
            with pytest.raises(ConfigError, match="even"):
                build(shape)


# --- networks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 13])
@pytest.mark.parametrize("cells", [1, 2, 3, 4])
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_network_is_the_supernet_path(size: int, cells: int, stem: Stem) -> None:
    shape = Shape(in_channels=2, image_size=size, num_classes=5, channels=4, cells=cells, stem=stem)
    net = supernet(shape)
    x_NCHW = torch.randn(3, 2, size, size)
    for genotype in (all_operations(), sample(size)):
        twin = SPACE.network(genotype, shape, NetworkOptions(like_supernet=True))
        inherit(net, twin, genotype)
        for train in (False, True):
            net.train(train)
            twin.train(train)
            torch.testing.assert_close(twin(x_NCHW), net(x_NCHW, genotype), rtol=0, atol=0)


def test_a_path_may_differ_per_cell() -> None:
    net = supernet(TINY).eval()
    first, second = sample(0), sample(1)
    x_NCHW = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(net(x_NCHW, [first] * 3), net(x_NCHW, first), rtol=0, atol=0)
    mixed = net(x_NCHW, [first, second, first])
    assert not torch.equal(mixed, net(x_NCHW, first))
    # The middle cell is a reduction: only the reduction genes of its genotype matter.
    reduced = Genotype("darts", first.genes[:14] + second.genes[14:])
    torch.testing.assert_close(net(x_NCHW, [first, reduced, first]), mixed, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"\(one per cell\), got 2"):
        net(x_NCHW, [first, second])


def test_only_the_path_gets_gradients() -> None:
    net = supernet(TINY)
    genotype = sample(4)
    net(torch.randn(2, 3, 8, 8), genotype).square().sum().backward()
    touched = {name for name, p in net.named_parameters() if p.grad is not None}
    assert touched == set(net.path_parameters(genotype))
    assert any(map(is_searched, touched))
    assert not any(is_searched(n) for n in ("stem.first.0.weight", "cells.0.preprocess0.0.weight"))


def test_illegal_genotypes_do_not_run() -> None:
    net = supernet(TINY)
    with pytest.raises(GenotypeError, match="has 0 edges"):
        net(torch.randn(2, 3, 8, 8), Genotype("darts", (0,) * 28))
    with pytest.raises(GenotypeError):
        SPACE.network(Genotype("darts", (1,) * 28), TINY)


@given(seeds, st.integers(8, 40), st.integers(1, 7), st.booleans(), st.booleans())
@settings(max_examples=6, deadline=None)
def test_cost_is_what_torch_counts(seed: int, size: int, cells: int, imagenet: bool, auxiliary: bool) -> None:
    shape = Shape(image_size=size, num_classes=7, channels=6, cells=cells, stem="imagenet" if imagenet else "cifar")
    genotype = sample(seed)
    with torch.device("meta"):
        network = SPACE.network(genotype, shape, NetworkOptions(auxiliary=auxiliary)).train()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(2, 3, size, size))
    cost = SPACE.cost(genotype, shape, auxiliary=auxiliary)
    assert cost.parameters == sum(p.numel() for p in network.parameters())
    assert counter.get_total_flops() == 2 * 2 * cost.macs


def test_cost_conventions_differ_in_the_classifier_only() -> None:
    genotype = sample(5)
    ours, papers = (SPACE.cost(genotype, TINY, classifier=c) for c in ("in*out", "profiler"))
    assert papers.parameters == ours.parameters
    assert papers.macs - ours.macs == (16 * TINY.channels - 1) * TINY.num_classes


def test_search_network_has_the_published_size() -> None:
    """1.930618 M weights in DARTS (10 classes, no affine batch norm in cells); 2.028 M in RLNAS/GeNAS (100 classes)."""
    with torch.device("meta"):
        net = SPACE.supernet(Shape())
        assert sum(p.numel() for p in SPACE.supernet(Shape(num_classes=100)).parameters()) == 2_028_244
    affine = sum(
        p.numel()
        for name, module in net.named_modules()
        if isinstance(module, nn.BatchNorm2d) and name.startswith("cells.")
        for p in module.parameters()
    )
    assert sum(p.numel() for p in net.parameters()) - affine == 1_930_618


def test_a_random_path_has_the_published_size() -> None:
    """0.279 M weights and 43.3 M MACs on average at 32×32 and 100 classes."""
    shape = Shape(num_classes=100)
    rng = np.random.default_rng(0)
    parameters, macs = [], []
    for _ in range(3000):
        genotype = SPACE.sample(rng)
        cost = SPACE.cost(genotype, shape)
        # The supernet's batch norm after pooling: scale and shift of every live pooling edge of every cell.
        pools = [sum(live.operation in (1, 2) for node in cell for live in node) for cell in live_edges(genotype)]
        norm = sum(2 * layout.channels * pools[layout.reduction] for layout in cell_layouts(shape))
        parameters.append(cost.parameters + norm)
        macs.append(cost.macs)
    assert np.mean(parameters) == pytest.approx(0.279e6, rel=0.012)
    assert np.mean(macs) == pytest.approx(43.3e6, rel=0.012)
    with torch.device("meta"):
        path = SPACE.supernet(shape).path_parameters(genotype)
    assert sum(p.numel() for p in path.values()) == parameters[-1]


# --- auxiliary head and drop path ----------------------------------------------------------------------------------


def test_auxiliary_head_works_in_training_only() -> None:
    network = SPACE.network(sample(6), TINY, NetworkOptions(auxiliary=True))
    x_NCHW = torch.randn(4, 3, 8, 8)
    logits_NK, auxiliary_NK = network(x_NCHW)
    assert logits_NK.shape == auxiliary_NK.shape == (4, 5)
    assert network.eval()(x_NCHW).shape == (4, 5)


@pytest.mark.parametrize(("size", "stride", "imagenet"), [(8, 3, False), (7, 2, True)])
def test_auxiliary_head_is_the_published_one_at_its_sizes(size: int, stride: int, imagenet: bool) -> None:
    torch.manual_seed(0)
    head = AuxiliaryHead(6, 4, imagenet=imagenet).eval()
    x_NCHW = torch.randn(2, 6, size, size)
    pool = nn.AvgPool2d(5, stride=stride, padding=0, count_include_pad=False)
    expected_NK = head.classifier(head.features(pool(functional.relu(x_NCHW))).flatten(1))
    torch.testing.assert_close(head(x_NCHW), expected_NK, rtol=0, atol=0)
    norms = [m for m in head.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == (1 if imagenet else 2)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (5, 6), (10, 9), (14, 14), (31, 4)])
def test_auxiliary_head_takes_any_size(height: int, width: int) -> None:
    head = AuxiliaryHead(3, 4, imagenet=True)
    assert head(torch.randn(2, 3, height, width)).shape == (2, 4)


def test_drop_path_drops_operations_but_never_the_identity() -> None:
    skips = [("skip_connect", 0), ("skip_connect", 1)] * 4
    shape = Shape(image_size=8, channels=4, cells=1)
    x_NCHW = torch.randn(4, 3, 8, 8)
    identity = SPACE.network(from_pairs(skips, skips), shape, NetworkOptions(drop_path=0.9))
    assert torch.equal(identity(x_NCHW), identity(x_NCHW))
    network = SPACE.network(sample(7), shape, NetworkOptions(drop_path=0.5))
    assert not torch.equal(network(x_NCHW), network(x_NCHW))
    network.drop_path = 0.0
    assert torch.equal(network(x_NCHW), network(x_NCHW))
    network.drop_path = 0.5
    network.eval()
    assert torch.equal(network(x_NCHW), network(x_NCHW))
    with pytest.raises(ConfigError, match="drop_path"):
        SPACE.network(sample(7), shape, NetworkOptions(drop_path=1.0))


# --- angle ---------------------------------------------------------------------------------------------------------


def routes() -> list[list[int]]:
    """Every route from an input to an inner node, as the edges it runs through."""
    index = {(source, node + 2): edge for edge, (node, source) in enumerate(EDGES)}
    found = []
    for length in range(2, 6):
        for nodes in itertools.combinations(range(6), length):
            if nodes[0] < 2 and nodes[1] >= 2:
                found.append([index[pair] for pair in itertools.pairwise(nodes)])
    return found


def test_there_are_30_routes() -> None:
    assert len(routes()) == 30


@given(seeds)
def test_route_counts_equal_enumeration(seed: int) -> None:
    genotype = sample(seed)
    for start, cell in zip((0, 14), live_edges(genotype), strict=True):
        genes = genotype.genes[start : start + 14]
        counted: dict[int, int] = {}
        for route in routes():
            if all(genes[edge] for edge in route):
                for edge in route:
                    counted[edge] = counted.get(edge, 0) + 1
        assert route_counts(cell) == counted


def concatenated_square(net: Supernet, genotype: Genotype) -> float:
    """Squared norm of the architecture vector, by writing the vector out route by route."""
    parts: list[torch.Tensor] = []
    for name, value in net.named_parameters():
        if not is_searched(name) and name != "classifier.bias":
            parts.append(value)
    for index, layout in enumerate(cell_layouts(net.shape)):
        genes = genotype.genes[14:] if layout.reduction else genotype.genes[:14]
        for route in routes():
            if not all(genes[edge] for edge in route):
                continue
            for edge in route:
                name = OPERATIONS[genes[edge]]
                module = net.get_submodule(f"cells.{index}.edges.{edge}.{name}")
                parts += module.parameters()
                if "pool" in name:
                    parts.append(torch.full((layout.channels, 3, 3), 1 / 9))
                elif isinstance(module, nn.Identity):
                    parts.append(torch.eye(layout.channels))
    return float(sum(part.detach().double().square().sum() for part in parts))


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_angle_terms_equal_the_written_out_vector(stem: Stem) -> None:
    shape = Shape(image_size=8, num_classes=5, channels=4, cells=4, stem=stem)
    net = supernet(shape)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
    values = dict(net.named_parameters())
    for genotype in (all_operations(), sample(8), sample(9)):
        total = 0.0
        for term in SPACE.angle_terms(net, genotype):
            square = term.square if term.name is None else float(values[term.name].detach().double().square().sum())
            total += term.times * square
        assert total == pytest.approx(concatenated_square(net, genotype), rel=1e-9)


def test_bn_scale_twice_stands_for_the_shift_of_dilated_convolutions() -> None:
    net = supernet(TINY)
    genotype = all_operations()
    once, twice = (
        {term.name: term.times for term in SPACE.angle_terms(net, genotype, bn_scale=option) if term.name}
        for option in ("once", "twice")
    )
    for name, times in once.items():
        dilated = "dil_conv" in name
        if dilated and name.endswith("3.bias"):
            assert name not in twice
        else:
            assert twice[name] == times * (2 if dilated and name.endswith("3.weight") else 1)
    assert twice.keys() <= once.keys()
