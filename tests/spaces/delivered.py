"""A small network of NAS-Bench-201, delivered and loaded again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import lowland as package
from lowland import spaces
from lowland.core.config import DataConfig
from lowland.data import load
from lowland.delivery import network as delivery
from lowland.spaces import NetworkOptions, Shape
from lowland.spaces.features import FeatureNetwork
from lowland.testing.spaces.cases import samples


def came_back(folder: Path, **of: Any) -> tuple[torch.Tensor, FeatureNetwork]:
    """Deliver a network of this shape into `folder`, and require that what is loaded from there is the same.

    Returns:
        Images (N, 1, 8, 8), and the network that was delivered.
    """
    data = load(DataConfig(limit=60, image_size=8), seed=0)
    space = spaces.get("nasbench201")
    (genotype,) = samples(space, 1, seed=3)
    shape = Shape(in_channels=1, image_size=8, num_classes=10, channels=4, cells=1, **of)
    body = space.network(genotype, shape, NetworkOptions()).eval()
    delivery.save(folder, body, genotype, shape, data, {})
    found = package.load(folder)
    assert found.shape == shape
    x_NCHW = torch.randn(3, 1, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(found.body(x_NCHW), body(x_NCHW))
    return x_NCHW, body
