"""Published DARTS-space networks: exact cost vectors in both conventions, and the networks themselves."""

import pytest
import torch

from lowland.core.errors import ConfigError
from lowland.spaces import NetworkOptions, Shape, get, published

SPACE = get("darts")
NAMES = [network.name for network in published.networks()]


def test_all_are_there_once() -> None:
    assert len(NAMES) == len(set(NAMES)) == 19
    assert len({network.genotype for network in published.networks()}) == 19


@pytest.mark.parametrize("name", NAMES)
def test_cost_is_the_published_one(name: str) -> None:
    network = published.get(name)
    space = get(network.genotype.space)
    space.validate(network.genotype)
    papers = space.cost(network.genotype, network.shape, classifier="profiler")
    # Both published columns are rounded to 0.01 million.
    assert papers.macs / 1e6 == pytest.approx(network.mmacs, abs=0.0051)
    assert papers.parameters / 1e6 == pytest.approx(network.mparams, abs=0.0051)
    ours = space.cost(network.genotype, network.shape)
    assert papers.macs - ours.macs == (16 * network.channels - 1) * 1000
    assert papers.parameters == ours.parameters


@pytest.mark.parametrize("auxiliary", [False, True])
def test_the_real_network_has_the_counted_weights(auxiliary: bool) -> None:
    network = published.get("genas-flatness-cifar100")
    with torch.device("meta"):
        module = SPACE.network(network.genotype, network.shape, NetworkOptions(auxiliary=auxiliary))
    cost = SPACE.cost(network.genotype, network.shape, auxiliary=auxiliary)
    assert sum(p.numel() for p in module.parameters()) == cost.parameters


def test_feature_pyramid_has_strides_8_16_32() -> None:
    """Cells 3, 8 and 13 of 14 give 4C, 8C and 16C channels (the backbones of GeNAS' detection experiments)."""
    network = published.get("genas-flatness-cifar100")
    maps: dict[int, torch.Size] = {}
    with torch.device("meta"):
        module = SPACE.network(network.genotype, network.shape).eval()
        for index, cell in enumerate(module.get_submodule("cells").children()):
            cell.register_forward_hook(lambda _, __, out, index=index: maps.update({index: out.shape}))
        assert module(torch.empty(1, 3, 224, 224)).shape == (1, 1000)
    c = network.channels
    assert [tuple(maps[i][1:]) for i in (3, 8, 13)] == [(4 * c, 28, 28), (8 * c, 14, 14), (16 * c, 7, 7)]


def test_one_runs_at_a_small_size() -> None:
    torch.manual_seed(0)
    network = published.get("pc-darts-cifar100")
    module = SPACE.network(network.genotype, Shape(image_size=8, channels=4, cells=6, num_classes=3))
    logits_NK = module(torch.randn(2, 3, 8, 8))
    assert logits_NK.shape == (2, 3)
    assert torch.isfinite(logits_NK).all()


def test_short_names_of_data_sets() -> None:
    assert published.get("genas-flatness-c100") == published.get("genas-flatness-cifar100")
    assert published.get("genas-flatness-c10").searched_on == "CIFAR-10"
    with pytest.raises(ConfigError, match="did you mean genas-flatness-cifar100"):
        published.get("genas-flatnes-c100")


CIFAR = {
    "pc-darts-cifar10": (556.68, 3.635),
    "p-darts-cifar10": (532.18, 3.434),
    "darts-v2-cifar10": (528.36, 3.349),
    "shapley-cifar10": (558.22, 3.603),
    "dropnas-cifar10": (592.04, 3.839),
}


@pytest.mark.parametrize("name", CIFAR)
def test_cost_at_the_size_for_cifar(name: str) -> None:
    """20 cells, 36 channels, 10 classes; multiply-accumulates by the profiler, and weights, in millions."""
    shape = Shape(image_size=32, num_classes=10, channels=36, cells=20)
    cost = SPACE.cost(published.get(name).genotype, shape, classifier="profiler")
    assert cost.macs / 1e6 == pytest.approx(CIFAR[name][0], abs=0.0051)
    assert cost.parameters / 1e6 == pytest.approx(CIFAR[name][1], abs=0.00051)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="darts-v2-cifar10"):
        published.get("resnet50")
