"""Folders of random pictures, and the data sets made of them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lowland.core.config import DataConfig
from lowland.data import DataSet, load

RNG = np.random.default_rng(0)


def picture(mode: str = "RGB", size: tuple[int, int] = (12, 12)) -> Image.Image:
    channels = {"L": (), "RGB": (3,)}[mode]
    return Image.fromarray(RNG.integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8))


def fill(folder: Path, count: int = 5, **options) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        picture(**options).save(folder / f"{i}.png")


def make(root: Path, parts: tuple[str, ...] = ("",), classes: tuple[str, ...] = ("cat", "dog"), **options) -> Path:
    for part in parts:
        for name in classes:
            fill(root / part / name, **options)
    return root


def opened(root: Path, **settings) -> DataSet:
    return load(DataConfig(name=str(root), **settings), seed=0)


def everything(data: DataSet) -> torch.Tensor:
    return torch.cat([split.images(torch.arange(len(split))) for split in (data.train, data.search, data.test)])
