"""Data sets held in arrays: the embedded Fashion-MNIST subset and scikit-learn's digits; and the layouts of arrays."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowland.data.fitting import SMALLEST_SIDE
from lowland.data.images import ArrayImages, Source
from lowland.data.known import DIGITS_ORIGIN, FASHION_CLASSES, FASHION_ORIGIN


def open_fashion_mnist_6k() -> Source:
    """The subset of Fashion-MNIST that comes with the package: 500 training and 100 test images of each class."""
    file = resources.files("lowland.data") / "embedded" / "fashion_mnist_6k.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        train, test = (
            ArrayImages(arrays[f"x_{part}"][:, None], arrays[f"y_{part}"].astype(np.int64))
            for part in ("train", "test")
        )
    return Source(
        name="fashion-mnist-6k",
        train=train,
        test=test,
        classes=FASHION_CLASSES,
        flip=True,
        origin=FASHION_ORIGIN,
        published=True,
    )


def open_digits() -> Source:
    """scikit-learn's 1,797 handwritten digits, 8 × 8, levels 0 to 16 scaled to 0 to 255; without a test part."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    levels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = ArrayImages(levels[:, None], digits.target.astype(np.int64))
    return Source(
        name="digits",
        train=images,
        test=None,
        classes=tuple("0123456789"),
        flip=False,
        origin=DIGITS_ORIGIN,
        published=True,
    )


def channels_first(images: NDArray[Any]) -> NDArray[Any]:
    """Put the channels of images in front of their height and width.

    Returns:
        (N, H, W), (N, H, W, C) or (N, C, H, W) as (N, C, H, W), for C = 1 or 3 and H, W ≥ 4.

    Raises:
        ValueError: If the shape is none of these.
    """
    shape = images.shape
    if len(shape) == 3 and min(shape[1:]) >= SMALLEST_SIDE:
        return images[:, None]
    if len(shape) == 4 and shape[3] in (1, 3) and min(shape[1:3]) >= SMALLEST_SIDE:
        return images.transpose(0, 3, 1, 2)
    if len(shape) == 4 and shape[1] in (1, 3) and min(shape[2:]) >= SMALLEST_SIDE:
        return images
    raise ValueError(f"shape {shape}")
