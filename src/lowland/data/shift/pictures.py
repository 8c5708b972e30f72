"""Pictures of published sets as their protocols prepare them, which is not quite how training images are read.

Shapes: N images, C channels, S side of the square that networks see.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lowland.data.fitting import Fit
from lowland.data.images import UInt8, to_array
from lowland.data.pictures import FileImages, decoded
from lowland.data.splits import StreamedSplit

CENTRE = 0.875
"""Share of the resized side that the centre crop keeps: 224 of 256 (Hendrycks et al. 2021, `eval_many_models.py`)."""

CORRUPTED_SIDE = 224
"""Pixels; ImageNet-C's files are cut out already (Hendrycks and Dietterich 2019)."""


def centred(picture: Image.Image, channels: int, size: int) -> UInt8:
    """Resize(round(S / 0.875)), CenterCrop(S): bilinear, antialiased, with torchvision's roundings.

    Returns:
        The picture, uint8 (C, S, S).

    Raises:
        ValueError: it holds other levels than 8-bit ones.
    """
    picture = _eight_bits(picture, channels)
    width, height = picture.size
    short = round(size / CENTRE)
    whole = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    if whole != picture.size:
        picture = picture.resize(whole, Image.Resampling.BILINEAR)
    return to_array(_centre(picture, size))


def as_it_is(picture: Image.Image, channels: int, size: int) -> UInt8:
    """CenterCrop(224) without any resize, as ImageNet-C is meant; for networks of another size resized only then.

    Returns:
        The picture, uint8 (C, S, S).

    Raises:
        ValueError: it is smaller than 224 × 224, or holds other levels than 8-bit ones.
    """
    if min(picture.size) < CORRUPTED_SIDE:
        raise ValueError(
            f"it is {picture.size[0]} × {picture.size[1]} pixels, but ImageNet-C's pictures are "
            f"{CORRUPTED_SIDE} × {CORRUPTED_SIDE}"
        )
    picture = _centre(_eight_bits(picture, channels), CORRUPTED_SIDE)
    return to_array(picture if size == CORRUPTED_SIDE else picture.resize((size, size), Image.Resampling.BILINEAR))


class PreparedFiles(FileImages):
    """Image files read by `centred`, or by `as_it_is` where `resize` is false.

    Args:
        paths: One file per image.
        resize: Whether to resize before the crop.
    """

    def __init__(self, paths: Sequence[Path], *, resize: bool = True) -> None:
        super().__init__(paths, np.zeros(len(paths), dtype=np.int64), Path())
        self._prepare = centred if resize else as_it_is

    def read(self, index: int, channels: int, size: int, how: Fit) -> UInt8:
        """One image as (C, S, S); the sets' protocols leave no choice of `how`."""
        return decoded(self._paths[index], lambda picture: self._prepare(picture, channels, size))


def prepared(
    paths: Sequence[Path], labels: Sequence[int], channels: int, size: int, *, resize: bool = True
) -> StreamedSplit:
    """Image files with labels as a split, decoded by one thread per core when they are asked for.

    Args:
        paths: One file per image.
        labels: Of each.
        channels: C, 1 or 3.
        size: S.
        resize: Whether to resize before the crop.

    Returns:
        The split, of images uint8 (N, C, S, S) on the CPU.
    """
    files = PreparedFiles(paths, resize=resize)

    def read(indices: Tensor) -> Tensor:
        return torch.from_numpy(files.load(indices.numpy(), channels, size))

    return StreamedSplit(read, torch.tensor(labels, dtype=torch.int64))


def like_training(paths: Sequence[Path], channels: int, size: int, fit: Fit) -> StreamedSplit:
    """Image files of no class as a split, read as training images are; every label is 0.

    Args:
        paths: One file per image.
        channels: C, 1 or 3.
        size: S.
        fit: How oblong pictures become square.

    Returns:
        The split, of images uint8 (N, C, S, S) on the CPU.
    """
    files = FileImages(paths, np.zeros(len(paths), dtype=np.int64), Path())

    def read(indices: Tensor) -> Tensor:
        return torch.from_numpy(files.load(indices.numpy(), channels, size, fit))

    return StreamedSplit(read, torch.zeros(len(paths), dtype=torch.int64))


def _eight_bits(picture: Image.Image, channels: int) -> Image.Image:
    """As the protocols' loader does: neither turned by EXIF nor laid on white."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;"):
        raise ValueError(f"it holds levels of mode {picture.mode}")
    return picture.convert("L" if channels == 1 else "RGB")


def _centre(picture: Image.Image, size: int) -> Image.Image:
    width, height = picture.size
    left, top = round((width - size) / 2), round((height - size) / 2)
    return picture.crop((left, top, left + size, top + size))
