"""Delivered networks give feature maps, those of earlier versions too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import lowland as package
from lowland import spaces
from lowland.core.errors import ConfigError
from lowland.data import MemorySplit
from lowland.data.splits import DataSet
from lowland.delivery import network as delivery
from lowland.spaces import Shape

GOLDEN = Path(__file__).parents[1] / "golden" / "format-1" / "evolution"


def test_features_of_a_delivered_network() -> None:
    network = package.load(GOLDEN)
    x_NCHW = torch.randint(256, (4, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps, logits_NK = network.features(x_NCHW), network(x_NCHW)
        assert all(map(torch.equal, maps, network.features(network.normalise(x_NCHW))))
        assert torch.equal(network.body.head(maps[-1]), logits_NK)
    assert network.feature_info == network.body.feature_info
    assert [(info.channels, info.stride) for info in network.feature_info] == [(2, 1), (4, 2), (8, 4)]
    assert [tuple(map_NCHW.shape) for map_NCHW in maps] == [(4, 2, 8, 8), (4, 4, 4, 4), (4, 8, 2, 2)]


def test_a_delivered_network_with_an_output_stride(tmp_path: Path) -> None:
    space = spaces.get("darts")
    genotype, shape = space.sample(np.random.default_rng(0)), Shape(image_size=96, num_classes=2, channels=4, cells=3)
    split = MemorySplit(torch.zeros(2, 3, 96, 96, dtype=torch.uint8), torch.arange(2))
    data = DataSet(
        name="made up",
        train=split,
        search=split,
        test=split,
        classes=("a", "b"),
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
        flip=True,
        crop_padding=4,
        in_channels=3,
        image_size=96,
        source="",
        fingerprint="",
    )
    delivery.save(tmp_path, space.network(genotype, shape), genotype, shape, data, {})
    found, dense = package.load(tmp_path), package.load(tmp_path, output_stride=8)
    assert [info.stride for info in dense.feature_info] == [2, 4, 8, 8, 8]
    state = dense.body.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in found.body.state_dict().items())
    with torch.inference_mode():
        assert [map_NCHW.shape[2] for map_NCHW in dense.features(dense.example)] == [48, 24, 12, 12, 12]
    with pytest.raises(ConfigError, match="output_stride=4 cannot be had; expected 8, 16 or 32"):
        package.load(tmp_path, output_stride=4)
    with pytest.raises(ConfigError, match="stride 4 as it is"):
        package.load(GOLDEN, output_stride=8)
