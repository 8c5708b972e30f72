"""Delivered networks give feature maps, those of earlier versions too."""

from __future__ import annotations

from pathlib import Path

import torch

import lowland as package

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
