"""The size of a network on a data set: its images and classes with the width, depth and stem that settings ask for."""

from __future__ import annotations

from typing import Literal

from lowland.data import DataSet
from lowland.spaces import Shape
from lowland.spaces.values import PUBLISHED_GROWTH, Norm


def on(
    data: DataSet,
    channels: int,
    cells: int,
    stem: Literal["auto", "cifar", "imagenet"],
    growth: float = PUBLISHED_GROWTH,
    norm: Norm = "batch",
    resolution: float = 1.0,
) -> Shape:
    """A network of `channels` initial channels and `cells` cells for the images and classes of `data`."""
    return Shape(
        in_channels=data.in_channels,
        image_size=data.image_size,
        num_classes=data.num_classes,
        channels=channels,
        cells=cells,
        stem=stem,
        growth=growth,
        norm=norm,
        resolution=resolution,
    )
