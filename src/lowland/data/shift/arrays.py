"""CIFAR-10.1 as it is published: images and labels in two .npy files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lowland.core.errors import DataError
from lowland.data.arrays import channels_first
from lowland.data.corruptions.folder import plain_array
from lowland.data.corruptions.images import resized
from lowland.data.fitting import Fit
from lowland.data.splits import MemorySplit


def cifar_10_1(folder: Path, version: str, index: tuple[int, ...], size: int, fit: Fit) -> MemorySplit:
    """Read CIFAR-10.1.

    Args:
        folder: Where `cifar10.1_<version>_data.npy`, uint8 (N, 32, 32, 3), and `…_labels.npy`, whole numbers (N,), are.
        version: v6, balanced, 2,000 images; or v4, 2,021.
        index: The network's class of each of CIFAR-10's labels.
        size: Side of what networks see, pixels.
        fit: How images become square.

    Returns:
        The images with the network's classes as labels.

    Raises:
        DataError: a file is missing, damaged, or of another type or shape.
    """
    images, labels = (folder / f"cifar10.1_{version}_{part}.npy" for part in ("data", "labels"))
    found, named = _array(images), _array(labels)
    if found.dtype != np.uint8 or found.ndim != 4 or found.shape[3:] != (3,):
        raise DataError(
            f"{images} must be uint8 of shape (N, 32, 32, 3), not {found.dtype} of shape {found.shape}; download it "
            "again"
        )
    if named.shape != found.shape[:1] or named.dtype.kind not in "iu":
        raise DataError(
            f"{labels} must hold {len(found)} whole numbers, one for each image, not {named.dtype} of shape "
            f"{named.shape}; download both files again"
        )
    if not len(named) or named.min() < 0 or named.max() >= len(index):
        raise DataError(f"{labels} must hold classes from 0 to {len(index) - 1}; download it again")
    x_NCHW = torch.from_numpy(np.array(channels_first(found), order="C"))
    labels_N = torch.tensor(index)[torch.from_numpy(named.astype(np.int64))]
    return MemorySplit(resized(x_NCHW, size, fit), labels_N)


def _array(path: Path) -> NDArray[Any]:
    if not path.is_file():
        there = sorted(each.name for each in path.parent.glob("*.npy"))
        raise DataError(f"{path} does not exist; there is {', '.join(there) or 'no .npy file at all'}")
    return plain_array(path)
