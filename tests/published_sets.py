"""Tiny sets in exactly the official layouts, and networks whose answers are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from lowland.core.monitor import Monitor
from lowland.data import DataSet, MemorySplit
from lowland.data.shift import wnids
from lowland.evaluation.suite import EvaluationContext
from lowland.testing.evaluation import Parts
from lowland.testing.tiny import CPU

SIZE = 16
"""Side of what the networks of these tests see, pixels."""


def level(label: int) -> int:
    """The grey level that stands for a label: 6 apart, so that JPEG keeps them apart."""
    return 6 + 6 * (label % 40)


def picture(label: int, side: tuple[int, int] = (32, 24)) -> Image.Image:
    """A picture of one colour, which tells its label."""
    return Image.new("RGB", side, (level(label),) * 3)


def pictures(folder: Path, labels: Mapping[str, Iterable[int]], names: str = "{}.png", **own: tuple[int, int]) -> Path:
    """`folder/<name>/…`: a picture of each label given for that name."""
    for name, shown in labels.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for place, label in enumerate(shown):
            picture(label, **own).save(folder / name / names.format(place))
    return folder


class Reader(nn.Module):
    """Reads the label off the grey level: the largest logit is that of the class whose level is nearest.

    Args:
        labels: ImageNet's (or CIFAR's) label of each class in the order of the logits.
    """

    def __init__(self, labels: Sequence[int]) -> None:
        super().__init__()
        levels = torch.tensor([level(label) / 255 for label in labels])
        self.levels = nn.Parameter(levels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        seen_N1 = x_NCHW.mean(dim=(1, 2, 3))[:, None]
        return -30 * (255 * (seen_N1 - self.levels)) ** 2 / 255


def data_of(classes: Sequence[str], shown: Sequence[int], *, size: int = SIZE, channels: int = 3) -> DataSet:
    """A data set of such pictures, fed to networks in plain [0, 1]; `shown`: the label of each class."""
    labels_N = torch.arange(len(classes)).repeat(3)
    levels = torch.tensor([level(shown[label]) for label in labels_N.tolist()], dtype=torch.uint8)
    images = levels[:, None, None, None].expand(-1, channels, size, size).contiguous()
    split = MemorySplit(images, labels_N)
    return DataSet(
        name="levels",
        train=split,
        search=split,
        test=split,
        classes=tuple(classes),
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        in_channels=channels,
        image_size=size,
        flip=False,
        crop_padding=0,
        source="made up",
        fingerprint="0" * 64,
    )


def imagenet_data(labels: Sequence[int], **own: int) -> DataSet:
    """A data set of these classes of ImageNet, by wnid, in the order given."""
    return data_of([wnids()[label] for label in labels], labels, **own)


def context_of(data: DataSet, parts: Parts | None = None, root: Path | None = None) -> EvaluationContext:
    """What a suite works with."""
    return EvaluationContext(
        data=data,
        compute=CPU,
        seed=5,
        batch_size=7,
        monitor=Monitor(),
        part=parts or Parts(),
        searched=lambda indices: [(data.normalise(data.search.images(indices)), data.search.labels_N[indices])],
        root=root,
    )


def normalised_as(data: DataSet, mean: float, std: float) -> DataSet:
    """The same data fed with another normalisation."""
    return replace(data, mean=(mean,) * data.in_channels, std=(std,) * data.in_channels)


def cifar_arrays(labels: Sequence[int]) -> np.ndarray:
    """uint8 (N, 32, 32, 3), one picture for each label."""
    levels = np.array([level(label) for label in labels], dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (len(labels), 32, 32, 3)).copy()
