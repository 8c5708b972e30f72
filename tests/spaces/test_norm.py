"""Instance-batch norm: a part of the channels is normalised by each picture, in all but the last stage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import lowland as package
from lowland import spaces
from lowland.core.config import DataConfig
from lowland.core.errors import ConfigError
from lowland.data import load
from lowland.delivery import network as delivery
from lowland.spaces import Shape
from lowland.spaces.norms import InstanceBatchNorm2d
from lowland.testing.spaces.cases import samples
from spaces.delivered import came_back

PLAIN = Shape(image_size=16, channels=10, cells=2)
IBN = replace(PLAIN, norm="ibn")


@pytest.mark.parametrize(("share", "own"), [(0.5, 2), (0.25, 1)])
def test_it_is_the_formula_on_each_part(share: float, own: int) -> None:
    x_NCHW = torch.randn(4, 5, 6, 7, generator=torch.Generator().manual_seed(1)) * 3 + 2
    layer = InstanceBatchNorm2d(5, share=share)
    for part in (layer.instance, layer.batch):
        nn.init.constant_(part.weight, 2.0)
        nn.init.constant_(part.bias, -1.0)
    y_NCHW = layer(x_NCHW)

    def normalised(x: torch.Tensor, over: tuple[int, ...]) -> torch.Tensor:
        variance, mean = torch.var_mean(x, over, correction=0, keepdim=True)
        return 2 * (x - mean) / (variance + 1e-5).sqrt() - 1

    torch.testing.assert_close(y_NCHW[:, :own], normalised(x_NCHW[:, :own], (2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(y_NCHW[:, own:], normalised(x_NCHW[:, own:], (0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_a_single_channel_has_batch_norm_alone() -> None:
    assert InstanceBatchNorm2d(1)(torch.randn(3, 1, 4, 4)).shape == (3, 1, 4, 4)
    assert sum(p.numel() for p in InstanceBatchNorm2d(1).parameters()) == 2


def test_the_order_in_memory_stays() -> None:
    x_NCHW = torch.randn(2, 6, 5, 5)
    for order in (torch.contiguous_format, torch.channels_last):
        assert InstanceBatchNorm2d(6)(x_NCHW.contiguous(memory_format=order)).is_contiguous(memory_format=order)


def test_light_and_contrast_of_a_picture_do_not_reach_its_first_channels() -> None:
    x_NCHW = torch.randn(2, 4, 8, 8)
    layer = InstanceBatchNorm2d(4).eval()
    torch.testing.assert_close(layer(0.5 * x_NCHW + 3)[:, :2], layer(x_NCHW)[:, :2], rtol=1e-3, atol=1e-3)


def test_what_is_published_is_described_and_shown_as_before() -> None:
    assert "norm" not in Shape().described()
    assert repr(IBN).endswith("norm='ibn')")


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_it_costs_what_batch_norm_costs_and_is_in_all_but_the_last_stage(stem: str) -> None:
    space, shape = spaces.get("nasbench201"), replace(IBN, stem=stem, image_size=32)
    genotype = space.parse(space.references["all-conv3x3"])
    network = space.network(genotype, shape)
    found = space.cost(genotype, shape)
    assert found == space.cost(genotype, replace(shape, norm="batch"))
    assert found.parameters == sum(p.numel() for p in network.parameters())
    mixed = {name.split(".edges")[0] for name, m in network.named_modules() if isinstance(m, InstanceBatchNorm2d)}
    assert any(name.startswith("stem") for name in mixed)
    assert {name for name in mixed if not name.startswith("stem")} == {
        *(f"cells.{cell}" for cell in range(4)),
        "reductions.0.residual.0.2",
        "reductions.0.residual.1.2",
    }


def test_a_quarter_is_a_norm_of_every_space() -> None:
    for name in spaces.registered():
        space = spaces.get(name)
        shape = Shape(image_size=32, channels=8, cells=space.default_supernet["cells"], norm="ibn-quarter")
        (genotype,) = samples(space, 1, seed=2)
        network = space.network(genotype, shape)
        mixed = [m for m in network.modules() if isinstance(m, InstanceBatchNorm2d)]
        assert mixed
        assert all(m.split[0] == sum(m.split) // 4 for m in mixed)


@pytest.mark.parametrize(("name", "cells"), [("darts", 3), ("darts", 8), ("mobilenetv3", 1), ("mobilenetv3-small", 1)])
def test_other_spaces_have_it_in_all_but_the_last_stage_too(name: str, cells: int) -> None:
    space, shape = spaces.get(name), Shape(image_size=32, channels=8, cells=cells, norm="ibn")
    for genotype in samples(space, 3, seed=2):
        network, plain = space.network(genotype, shape), space.network(genotype, replace(shape, norm="batch"))
        assert space.cost(genotype, shape).parameters == sum(p.numel() for p in network.parameters())
        maps = network.train().features(torch.randn(2, 3, 32, 32))
        assert [m.shape for m in maps] == [m.shape for m in plain.train().features(torch.randn(2, 3, 32, 32))]
        before, last = network.feature_info[-2].name, network.feature_info[-1].name
        assert any(isinstance(m, InstanceBatchNorm2d) for m in network.get_submodule(before).modules())
        assert not any(isinstance(m, InstanceBatchNorm2d) for m in network.get_submodule(last).modules())


@pytest.mark.parametrize("name", spaces.registered())
def test_what_a_supernet_is_built_of_has_no_norm_of_its_own(name: str) -> None:
    shape = Shape(image_size=32, channels=8, cells=1, norm="ibn")
    with pytest.raises(ConfigError, match="norm=batch, not ibn"):
        spaces.get(name).supernet(shape)


def test_maps_of_a_single_pixel_are_refused() -> None:
    with pytest.raises(ConfigError, match="single pixel"):
        InstanceBatchNorm2d(4)(torch.randn(2, 4, 1, 1))


def test_a_delivered_network_comes_back_with_its_norm(tmp_path: Path) -> None:
    came_back(tmp_path / "network", norm="ibn")
    assert json.loads((tmp_path / "network/config.json").read_text())["model_args"]["norm"] == "ibn"


def test_a_norm_that_nobody_knows_is_damage(tmp_path: Path) -> None:
    data = load(DataConfig(limit=60, image_size=8), seed=0)
    space = spaces.get("nasbench201")
    genotype = space.parse("3,1,2,4,3,1")
    shape = Shape(in_channels=1, image_size=8, num_classes=10, channels=4, cells=1, norm="ibn")
    delivery.save(tmp_path / "network", space.network(genotype, shape), genotype, shape, data, {})
    place = tmp_path / "network/network.json"
    place.write_text(place.read_text().replace('"ibn"', '"none"'))
    with pytest.raises(package.LowlandError):
        package.load(tmp_path / "network")
