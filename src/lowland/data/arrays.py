"""Data sets held in arrays: the embedded Fashion-MNIST subset, scikit-learn's digits, and .npz files."""

from __future__ import annotations

import zipfile
import zlib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowland.core.errors import DataError
from lowland.data.images import ArrayImages, Source, UInt8

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
FASHION_ORIGIN = "Fashion-MNIST, 5,000 + 1,000 of its images; Zalando SE 2017, MIT licence"
DIGITS_ORIGIN = "Optical Recognition of Handwritten Digits (test part), UCI by way of scikit-learn; CC BY 4.0"
SMALLEST_SIDE = 4

_NESTED = "x_train, y_train, x_test, y_test"


def open_fashion_mnist_6k() -> Source:
    """The subset of Fashion-MNIST that comes with the package: 500 training and 100 test images of each class."""
    file = resources.files("lowland.data") / "embedded" / "fashion_mnist_6k.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        train, test = (
            ArrayImages(arrays[f"x_{part}"][:, None], arrays[f"y_{part}"].astype(np.int64))
            for part in ("train", "test")
        )
    return Source(
        name="fashion-mnist-6k", train=train, test=test, classes=FASHION_CLASSES, flip=True, origin=FASHION_ORIGIN
    )


def open_digits() -> Source:
    """scikit-learn's 1,797 handwritten digits, 8 × 8, levels 0 to 16 scaled to 0 to 255; without a test part."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    levels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = ArrayImages(levels[:, None], digits.target.astype(np.int64))
    return Source(name="digits", train=images, test=None, classes=tuple("0123456789"), flip=False, origin=DIGITS_ORIGIN)


def open_npz(path: Path) -> Source:
    """Open an .npz file with x_train, y_train and optionally x_test, y_test (or images, labels).

    Images are (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3 and sides of at least 4, uint8 or floats in
    [0, 1]. Labels are (N,) or (N, 1), integers or strings; classes are their sorted values in the training part.

    Returns:
        Training images and, where the file has them, test images.

    Raises:
        DataError: If the file is damaged, a key is missing, or an array has the wrong shape, type or length.
    """
    arrays = _read(path)
    first = "images" if "images" in arrays and "x_train" not in arrays else "x_train"
    keys = {"images": ("images", "labels"), "x_train": ("x_train", "y_train")}[first]
    train, values = _part(path, arrays, *keys)
    classes = np.unique(values)
    if len(classes) < 2:
        raise DataError(f"{path}: array {keys[1]} holds a single class; at least 2 classes are needed")
    test = None
    if {"x_test", "y_test"} & set(arrays):
        test_images, test_values = _part(path, arrays, "x_test", "y_test")
        if train.shape[1] != test_images.shape[1]:
            raise DataError(
                f"{path}: array {keys[0]} has {train.shape[1]} channel(s) and x_test has {test_images.shape[1]}; "
                f"both must have the same"
            )
        unknown = sorted(set(test_values.tolist()) - set(classes.tolist()))
        if unknown:
            raise DataError(
                f"{path}: label {unknown[0]!r} is in y_test but not in {keys[1]}; every class must be in both"
            )
        test = ArrayImages(test_images, np.searchsorted(classes, test_values).astype(np.int64))
    return Source(
        name=path.stem,
        train=ArrayImages(train, np.searchsorted(classes, values).astype(np.int64)),
        test=test,
        classes=tuple(str(value) for value in classes.tolist()),
        flip=True,
        origin=f"arrays of {path}",
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


def _read(path: Path) -> dict[str, NDArray[Any]]:
    wanted = ("x_train", "y_train", "x_test", "y_test", "images", "labels")
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise DataError(f"{path} is a single array; save {_NESTED} together with np.savez")
        with archive:
            arrays = {key: archive[key] for key in archive.files if key in wanted}
            found = ", ".join(archive.files) or "nothing"
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read as an .npz file of plain arrays ({' '.join(str(error).split())}); "
            f"write it with np.savez, without object arrays"
        ) from error
    if "x_train" not in arrays and "images" not in arrays:
        raise DataError(f"{path} holds {found}, but {_NESTED} (or images, labels) are needed; rename its arrays")
    return arrays


def _part(path: Path, arrays: dict[str, NDArray[Any]], images_key: str, labels_key: str) -> tuple[UInt8, NDArray[Any]]:
    """Images as uint8 (N, C, H, W) and labels as (N,)."""
    for key in (images_key, labels_key):
        if key not in arrays:
            raise DataError(f"{path} lacks the array {key!r}; {images_key} and {labels_key} are needed together")
    labels = arrays[labels_key]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise DataError(
            f"{path}: array {labels_key} must hold one integer or string per image, not {labels.dtype} of shape "
            f"{labels.shape}"
        )
    try:
        images = channels_first(arrays[images_key])
    except ValueError as error:
        raise DataError(
            f"{path}: array {images_key} has {error}, but (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3 and "
            f"sides of at least {SMALLEST_SIDE} is needed"
        ) from error
    if len(images) != len(labels):
        raise DataError(f"{path}: {images_key} has {len(images)} images but {labels_key} has {len(labels)} labels")
    if images.dtype == np.uint8:
        return images, labels
    if images.dtype.kind != "f":
        raise DataError(f"{path}: array {images_key} is {images.dtype}, but uint8, or floats from 0 to 1, are needed")
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 0.0)
    if not (low >= 0 and high <= 1):
        raise DataError(
            f"{path}: the floats of {images_key} go from {low:g} to {high:g}, but must go from 0 to 1; "
            f"scale them, or save uint8"
        )
    return np.rint(images * 255).astype(np.uint8), labels
