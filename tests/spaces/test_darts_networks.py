"""Networks of DARTS: shapes, paths of the supernet, exact cost, auxiliary head and drop path."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from darts_cells import SPACE, TINY, all_operations, sample, seeds, supernet
from lowland.core.errors import ConfigError, GenotypeError
from lowland.core.genotype import Genotype
from lowland.spaces import NetworkOptions, Shape, inherit, is_searched
from lowland.spaces.darts.cells import AuxiliaryHead
from lowland.spaces.darts.genotype import from_pairs, live_edges
from lowland.spaces.darts.layout import cell_layouts
from lowland.spaces.values import Stem

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
