"""Growth: how many channels a stage has over those of the one before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import lowland as package
from lowland import spaces
from lowland.core.config import DataConfig
from lowland.core.errors import ConfigError
from lowland.data import load
from lowland.delivery import network as delivery
from lowland.spaces import NetworkOptions, Shape
from lowland.spaces.width import fitted
from lowland.testing.spaces.cases import samples

PLAIN = {"nasbench201": Shape(image_size=16, channels=10, cells=2), "darts": Shape(image_size=16, channels=6, cells=3)}


def test_stages_have_the_rounded_power() -> None:
    assert [Shape(channels=10, growth=1.41).width(stage) for stage in range(3)] == [10, 14, 20]
    assert [Shape(channels=10).width(stage) for stage in range(3)] == [10, 20, 40]
    assert [Shape(channels=7, growth=1).width(stage) for stage in range(3)] == [7, 7, 7]


def test_what_is_published_is_described_and_shown_as_before() -> None:
    assert "growth" not in Shape().described()
    assert repr(Shape()) == ("Shape(in_channels=3, image_size=32, num_classes=10, channels=16, cells=8, stem='auto')")
    assert repr(Shape(growth=1.5)).endswith("growth=1.5)")


@pytest.mark.parametrize("name", list(PLAIN))
@pytest.mark.parametrize("growth", [1.0, 1.41, 2.0, 3.0])
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_costs_and_maps_are_those_of_the_network(name: str, growth: float, stem: str) -> None:
    space, shape = spaces.get(name), replace(PLAIN[name], growth=growth, stem=stem, image_size=32)
    for genotype in samples(space, 3, seed=4):
        network = space.network(genotype, shape, NetworkOptions()).eval()
        assert space.cost(genotype, shape).parameters == sum(p.numel() for p in network.parameters())
        with torch.inference_mode():
            maps = network.features(torch.zeros(1, 3, 32, 32))
        assert [m.shape[1] for m in maps] == [info.channels for info in network.feature_info]


@pytest.mark.parametrize("growth", [1.0, 1.41, 2.0])
def test_multiply_accumulates_are_those_of_the_convolutions(growth: float) -> None:
    space, shape = spaces.get("nasbench201"), replace(PLAIN["nasbench201"], growth=growth)
    genotype = space.parse(space.references["all-conv3x3"])  # nothing of it is dead, which would be counted as well
    network, macs = space.network(genotype, shape).eval(), [shape.width(2) * shape.num_classes]
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda conv, _, y: macs.append(conv.weight[0].numel() * y[0].numel()))
    with torch.inference_mode():
        network(torch.zeros(1, 3, 16, 16))
    assert space.cost(genotype, shape).macs == sum(macs)


@pytest.mark.parametrize("name", list(PLAIN))
def test_at_equal_parameters_less_growth_is_more_arithmetic(name: str) -> None:
    space = spaces.get(name)
    (genotype,) = samples(space, 1, seed=1)
    plain = replace(PLAIN[name], image_size=32)
    shapes = [fitted(space, genotype, replace(plain, growth=growth), parameters=200_000) for growth in (1.41, 2.0)]
    low, high = (space.cost(genotype, shape) for shape in shapes)
    assert low.parameters <= 200_000
    assert low.macs > 1.2 * high.macs


@pytest.mark.parametrize(("name", "growth"), [("nasbench201", 0.9), ("darts", 4.5)])
def test_a_growth_out_of_range_is_refused(name: str, growth: float) -> None:
    with pytest.raises(ConfigError, match="growth"):
        spaces.get(name).check(replace(PLAIN[name], growth=growth))


def test_a_delivered_network_comes_back_with_its_growth(tmp_path: Path) -> None:
    data = load(DataConfig(limit=60, image_size=8), seed=0)
    space = spaces.get("nasbench201")
    genotype = space.parse("3,1,2,4,3,1")
    shape = Shape(in_channels=1, image_size=8, num_classes=10, channels=4, cells=1, growth=1.5)
    body = space.network(genotype, shape, NetworkOptions())
    delivery.save(tmp_path / "network", body, genotype, shape, data, {})
    found = package.load(tmp_path / "network")
    assert found.shape == shape
    assert json.loads((tmp_path / "network/config.json").read_text())["model_args"]["growth"] == 1.5
    assert [info.channels for info in found.feature_info] == [4, 6, 9]
