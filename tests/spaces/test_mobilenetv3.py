"""The elastic MobileNetV3 spaces: published sizes, blocks in the right places, elastic weights, resolution."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lowland import spaces
from lowland.core.config import MeasureConfig, SearchConfig
from lowland.core.device import Compute
from lowland.core.errors import BudgetError, ConfigError
from lowland.core.genotype import Genotype
from lowland.data import DataSet
from lowland.delivery import network as export
from lowland.delivery.forms.form import Request
from lowland.delivery.forms.table import FORMS
from lowland.measures import Context
from lowland.measures import get as measure
from lowland.measures.calibration import calibrated
from lowland.search import Limits
from lowland.spaces import NetworkOptions, Shape
from lowland.spaces.mobilenetv3.networks import make_divisible, pixels
from lowland.testing.spaces.cases import images, parameters, trained_looking

FULL, SMALL = spaces.get("mobilenetv3"), spaces.get("mobilenetv3-small")
BOTH = pytest.mark.parametrize("space", [FULL, SMALL], ids=lambda s: s.name)
TINY = Shape(in_channels=1, image_size=12, num_classes=3, channels=4, cells=1)
CPU = Compute(device=torch.device("cpu"), channels_last=False)


def supernet(space, of=TINY, seed=0):
    torch.manual_seed(seed)
    net = space.supernet(of)
    trained_looking(net, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if ".matrix_" in name:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return net


def paths(space, count, seed=0):
    rng = np.random.default_rng(seed)
    return [space.sample_path(rng, 1, per_cell=False) for _ in range(count)]


# --- size ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "smallest", "largest"), [(1000, 3_410_792, 7_664_760), (10, 2_142_602, 6_396_570)])
def test_published_parameter_counts(classes, smallest, largest):
    of = Shape(image_size=224, num_classes=classes, cells=1)
    counts = [FULL.cost(genotype, of) for genotype in FULL.extremes()]
    assert [cost.parameters for cost in counts] == [smallest, largest]
    # 566 million for the largest at 224 pixels.
    assert round(counts[1].macs / 1e6) == (566 if classes == 1000 else 565)
    with torch.device("meta"):
        assert parameters(FULL.network(FULL.extremes()[1], of)) == largest


def test_fault_1_genes_are_decoded_onto_their_own_blocks():
    """A fault of the public FlatNAS code: an early stage of depth < 4 must not shift the genes of later stages."""
    of = Shape(image_size=32, cells=1)
    widths = [16, 24, 40, 80, 112, 160]
    shallow = 0
    for genotype in paths(FULL, 15):
        shallow += genotype.genes[0] < 4
        expected = []
        for stage in range(5):
            depth, *rest = genotype.genes[9 * stage : 9 * stage + 9]
            for block in range(depth):
                c_in = widths[stage] if block == 0 else widths[stage + 1]
                kernel, expansion = (3, 5, 7)[rest[block] - 1], (3, 4, 6)[rest[4 + block] - 1]
                expected.append((c_in, make_divisible(c_in * expansion), widths[stage + 1], kernel))
        with torch.device("meta"):
            network = FULL.network(genotype, of)
        built = [cell.edges.plan for cell in network.cells]
        assert [(plan.c_in, plan.hidden, plan.c_out, plan.kernel) for plan in built] == expected
        for plan, cell in zip(built, network.cells, strict=True):
            assert cell.edges.depthwise[0].weight.shape == (plan.hidden, 1, plan.kernel, plan.kernel)
        assert FULL.cost(genotype, of).parameters == parameters(network)
    assert shallow > 5


def test_fault_4_the_head_has_the_data_s_classes():
    """A fault of the public FlatNAS code: no 1000-way head on a small data set."""
    for classes in (2, 10, 1000):
        network = FULL.network(FULL.extremes()[0], Shape(num_classes=classes, cells=1))
        assert network.head[-1].weight.shape == (classes, 1280)


@pytest.mark.parametrize(
    ("value", "expected"), [(1, 8), (8, 8), (10, 16), (11, 16), (12, 16), (72, 72), (36, 40), (60, 64), (17, 16)]
)
def test_rounding_of_widths(value, expected):
    assert make_divisible(value) == expected


def test_small_is_small():
    of = Shape(in_channels=1, image_size=28, cells=1)
    smallest, largest = (SMALL.cost(genotype, of) for genotype in SMALL.extremes())
    assert largest.parameters < 0.7e6
    assert largest.macs < 15e6
    assert smallest.parameters < largest.parameters / 2


@BOTH
def test_widths_scale_with_channels(space):
    _, largest = space.extremes()
    sizes = [space.cost(largest, Shape(cells=1, channels=channels)).parameters for channels in (4, 8, 16, 24, 32)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 3 * sizes[2]


@BOTH
def test_depth_is_no_matter_of_cells(space):
    with pytest.raises(ConfigError, match=r"cells=3.*must be 1"):
        space.check(Shape(cells=3))


def test_limits_know_the_smallest_network():
    def cost(genotype: Genotype):
        return FULL.cost(genotype, Shape(cells=1))

    limits = Limits(FULL, SearchConfig(max_params=2_000_000), cost, 0)
    with pytest.raises(BudgetError, match="2,142,602"):
        limits.require_any()
    limits = Limits(FULL, SearchConfig(max_params=2_200_000), cost, 0)
    found = limits.sample(limits.allow, (), 0)
    assert cost(found).parameters <= 2_200_000


# --- resolution ------------------------------------------------------------------------------------------------------


def network_side(space, gene, image_size):
    smallest, _ = space.extremes()
    genotype = Genotype(space.name, (*smallest.genes[:-1], gene))
    return pixels(space.design, genotype, replace(TINY, image_size=image_size))


def test_published_resolutions():
    assert [network_side(FULL, gene, 224) for gene in range(25)] == list(range(128, 225, 4))


def test_resolutions_of_small_images():
    assert [network_side(FULL, gene, 32) for gene in (0, 1, 12, 24)] == [18, 19, 25, 32]
    assert [network_side(SMALL, gene, 28) for gene in range(3)] == [20, 24, 28]
    # Nothing is ever enlarged.
    assert all(network_side(FULL, gene, size) <= size for gene in range(25) for size in range(8, 300, 7))


def test_the_network_resizes_its_input():
    smallest, _ = SMALL.extremes()
    network = SMALL.network(smallest, replace(TINY, image_size=28))
    seen = []
    network.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x_NCHW = images(replace(TINY, image_size=28))
    network(x_NCHW)
    assert seen[0].shape == (2, 1, 20, 20)
    # A linear ramp stays one away from the border, whatever the filter; a flat image stays flat everywhere.
    network(torch.ones_like(x_NCHW))
    torch.testing.assert_close(seen[1], torch.ones(2, 1, 20, 20))
    ramp = torch.arange(28.0).expand(2, 1, 28, 28)
    network(ramp)
    torch.testing.assert_close(seen[2][0, 0, 5, 2:-2], ((torch.arange(20) + 0.5) * 1.4 - 0.5)[2:-2], rtol=0, atol=0.15)


@BOTH
def test_macs_grow_with_resolution(space):
    smallest, _ = space.extremes()
    options = range(len(space.design.resolutions))
    genotypes = [Genotype(space.name, (*smallest.genes[:-1], gene)) for gene in options]
    costs = [space.cost(genotype, Shape(image_size=224, cells=1)) for genotype in genotypes]
    assert len({cost.parameters for cost in costs}) == 1
    assert costs[-1].macs > 1.9 * costs[0].macs
    assert costs == sorted(costs, key=lambda cost: cost.macs)


# --- elastic weights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels_last", [False, True])
def test_extracted_networks_equal_their_path_at_full_width(channels_last):
    """Bit for bit, in evaluation mode, in training mode, and after calibration."""
    of = Shape(in_channels=1, image_size=28, cells=1)
    net = supernet(SMALL, of)
    x_NCHW = images(of, 16)
    if channels_last:
        net, x_NCHW = net.to(memory_format=torch.channels_last), x_NCHW.to(memory_format=torch.channels_last)
    for genotype in [*SMALL.extremes(), *paths(SMALL, 2)]:
        single = net.at(genotype)
        with torch.no_grad():
            assert torch.equal(net.eval()(x_NCHW, genotype), single.eval()(x_NCHW, genotype))
            with (
                calibrated(net, genotype, [x_NCHW], "batch", CPU),
                calibrated(single, genotype, [x_NCHW], "batch", CPU),
            ):
                assert torch.equal(net(x_NCHW, genotype), single(x_NCHW, genotype))
            assert torch.equal(net.train()(x_NCHW, genotype), single.train()(x_NCHW, genotype))
        assert all(
            torch.equal(value, net.extract(genotype)[name]) for name, value in single.network.state_dict().items()
        )


def test_smaller_kernels_are_transformed_centres():
    net = supernet(FULL)
    depthwise = net.cells[0].edges.depthwise[0]
    seven = depthwise.weight.detach()
    five = (seven[:, 0, 1:6, 1:6].reshape(-1, 25) @ depthwise.matrix_7to5.T).view(-1, 5, 5)
    three = (five[:, 1:4, 1:4].reshape(-1, 9) @ depthwise.matrix_5to3.T).view(-1, 3, 3)
    for side, expected in ((7, seven[:, 0]), (5, five), (3, three)):
        torch.testing.assert_close(depthwise.kernel(16, side)[:, 0], expected[:16])
    fresh = FULL.supernet(TINY).cells[0].edges.depthwise[0]
    assert torch.equal(fresh.kernel(8, 3), fresh.weight[:8, :, 2:5, 2:5])


def test_a_narrow_path_moves_its_own_channels_statistics_only():
    net = supernet(SMALL).train()
    smallest, _ = SMALL.extremes()
    before = {name: value.clone() for name, value in net.named_buffers()}
    net(images(TINY, 8), smallest)
    after = dict(net.named_buffers())
    mean = "cells.0.edges.depthwise.1.running_mean"
    used = net.extract(smallest)["cells.0.edges.depthwise.1.running_mean"].numel()
    assert 0 < used < before[mean].numel()
    assert torch.equal(after[mean][used:], before[mean][used:])
    assert not torch.equal(after[mean][:used], before[mean][:used])
    assert torch.equal(
        after["cells.1.edges.depthwise.1.running_mean"], before["cells.1.edges.depthwise.1.running_mean"]
    )


@BOTH
def test_sorting_channels_keeps_the_functions_of_full_expansion(space):
    net = supernet(space).double().eval()
    x_NCHW = images(TINY).double()
    _, largest = space.extremes()
    wide = [largest, *(space.restrict(genotype, ("kernel", "depth")) for genotype in paths(space, 3))]
    narrow = space.extremes()[0]
    with torch.no_grad():
        before = [net(x_NCHW, genotype) for genotype in wide]
        other = net(x_NCHW, narrow)
        net.sort_channels()
        for genotype, logits_NK in zip(wide, before, strict=True):
            torch.testing.assert_close(net(x_NCHW, genotype), logits_NK, rtol=1e-9, atol=1e-10)
        assert not torch.allclose(net(x_NCHW, narrow), other, rtol=1e-3)
        for cell in net.cells:
            importance = cell.edges.project[0].weight.abs().sum((0, 2, 3))
            assert (importance.diff() <= 1e-12).all()
        state = {name: value.clone() for name, value in net.state_dict().items()}
        net.sort_channels()
        assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_a_block_of_a_path_per_cell_follows_its_own_genotype():
    net = supernet(SMALL).eval()
    smallest, largest = SMALL.extremes()
    mixed = [largest] * 3 + [smallest] * 6
    expected = SMALL.parse("k5e6,k5e6,k5e6|k3e3|k3e3@56/56")
    with torch.no_grad():
        assert torch.equal(net(images(TINY), mixed), net(images(TINY), expected))


# --- what others do with it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", ["cells", "cells+fixed"])
def test_angle_is_that_of_the_parts_in_use(angle):
    space = FULL
    net, other = supernet(space, seed=0), supernet(space, seed=1)
    context = Context(space=space, scored=[], calibration=[], initial=other.state_dict(), compute=CPU, seed=0)
    for genotype in [*space.extremes(), *paths(space, 3)]:
        before, after = (vector(n, genotype, angle) for n in (other, net))
        expected = math.acos(float(before @ after / (before.norm() * after.norm())))
        score = measure(MeasureConfig(name="angle", options={"angle": {"vector": angle}})).score(net, genotype, context)
        assert score.value == pytest.approx(expected, rel=1e-9)


def vector(net, genotype, angle):
    """The architecture vector, written out: sizes from the standalone network, centres by hand."""
    own = net.at(genotype).network.state_dict()
    parts = [p.flatten() for n, p in net.named_parameters() if ".edges." not in n and angle != "cells"]
    for mine, theirs in net.inherited(genotype).items():
        if ".edges." not in mine or own[mine].dim() != 4:
            continue
        o, i, k, _ = own[mine].shape
        start = (net.get_parameter(theirs).shape[-1] - k) // 2
        parts.append(net.get_parameter(theirs)[:o, :i, start : start + k, start : start + k].flatten())
    return torch.cat(parts).detach().double()


def test_no_angle_of_sorted_channels():
    net = supernet(SMALL)
    net.sort_channels()
    with pytest.raises(ConfigError, match="angle measure is not defined"):
        SMALL.angle_terms(net, SMALL.extremes()[0])
    with pytest.raises(ConfigError, match="needs a mobilenetv3 supernet"):
        FULL.angle_terms(supernet(SMALL), FULL.extremes()[0])


@pytest.mark.parametrize("name", ["flatness", "accuracy", "angle+flatness"])
def test_measures_judge_an_elastic_candidate(name):
    net = supernet(SMALL)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    x_NCHW = images(TINY, 24)
    batch = [(x_NCHW, torch.arange(24) % 3)]
    context = Context(space=SMALL, scored=batch, calibration=batch, initial=before, compute=CPU, seed=0)
    judge = measure(MeasureConfig(name=name))
    scores = [judge.score(net, genotype, context).value for genotype in SMALL.extremes()]
    assert all(map(math.isfinite, scores))
    assert len(set(scores)) == 2 or name == "accuracy"
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_dropped_residuals_leave_the_shortcut():
    genotype = SMALL.extremes()[1]
    network = SMALL.network(genotype, TINY, NetworkOptions(drop_path=0.2))
    assert network.drop_path == 0.2
    residual = [cell.edges.plan.residual for cell in network.cells]
    assert residual == [True, True, True, False, True, True, False, True, True]
    for drop in (1.0, -0.1):
        with pytest.raises(ConfigError, match="drop_path"):
            SMALL.network(genotype, TINY, NetworkOptions(drop_path=drop))


def delivered(tmp_path, genotype):
    data = DataSet.__new__(DataSet)  # only what `save` asks of it
    object.__setattr__(data, "classes", ("a", "b", "c"))
    object.__setattr__(data, "mean", (0.5,))
    object.__setattr__(data, "std", (0.5,))
    torch.manual_seed(0)
    body = SMALL.network(genotype, TINY).eval()
    export.save(tmp_path, body, genotype, TINY, data, {})
    return body, export.load(tmp_path)


def test_delivered_networks_load_and_export(tmp_path):
    genotype = SMALL.parse("k3e3,k5e4|k3e3|k5e6@40/56")
    body, network = delivered(tmp_path, genotype)
    x_NCHW = images(TINY, 5)
    with torch.no_grad():
        expected = body(x_NCHW)
        assert torch.equal(network(x_NCHW), expected)
        FORMS["pt2"].write(network, tmp_path / "n.pt2", Request(normalise=False))
        program = torch.export.load(tmp_path / "n.pt2").module()
        for count in (1, 5):
            torch.testing.assert_close(program(x_NCHW[:count]), expected[:count])


@pytest.mark.slow
def test_onnx_resizes_as_torch_does(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    body, network = delivered(tmp_path, SMALL.parse("k3e3|k3e3|k5e6@40/56"))
    FORMS["onnx"].write(network, tmp_path / "n.onnx", Request(normalise=False))
    session = runtime.InferenceSession(tmp_path / "n.onnx")
    x_NCHW = images(TINY, 5)
    for count in (1, 5):
        (logits_NK,) = session.run(None, {"images": x_NCHW[:count].numpy()})
        torch.testing.assert_close(torch.from_numpy(logits_NK), body(x_NCHW[:count]).detach(), rtol=1e-4, atol=1e-5)


def test_layers_are_as_published():
    network = FULL.network(FULL.extremes()[1], Shape(image_size=224, num_classes=2, cells=1))
    assert network.stem[0].stride == (2, 2)
    assert isinstance(network.stem[2], nn.Hardswish)
    activations = [type(cell.edges.depthwise[2]) for cell in network.cells]
    assert activations == [nn.ReLU] * 8 + [nn.Hardswish] * 12
    assert [cell.edges.plan.squeeze for cell in network.cells] == [n // 4 in (1, 3, 4) for n in range(20)]
    assert network.cells[4].edges.squeeze.reduce.weight.shape == (40, 144, 1, 1)
    small = FULL.network(FULL.extremes()[1], Shape(image_size=32, cells=1))
    assert small.stem[0].stride == (1, 1)
