"""Data in memory: arrays and torch data sets, as the arrays of the .npz file that a run keeps of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from lowland.core.errors import DataError
from lowland.data.npz import images_of
from lowland.data.pictures import GREY_MODES, eight_bits

Arrays = Mapping[str, NDArray[Any]]
"""uint8 images (N, C, H, W) and labels (N,) by name: x and y, or x_train, y_train, x_test and y_test."""

_EXPECTED = (
    "(x, y), ((x_train, y_train), (x_test, y_test)), a torch Dataset of (image, label), two of them (train, test), or "
    "the name or path of a data set"
)


def in_memory(given: Any, memory_gb: float) -> Arrays:
    """What was given from Python as uint8 arrays.

    Images are uint8, or floats from 0 to 1, which become ⌊255·x⌉: arrays or tensors (N, H, W), (N, H, W, C) or
    (N, C, H, W), or a sequence of single images (PIL, H×W, H×W×C or C×H×W), all of one size. A torch `Dataset` is read
    once, image by image, so that random transforms in it are frozen; its `classes`, where it has any, name its labels.

    Args:
        given: (x, y), ((x_train, y_train), (x_test, y_test)), a `Dataset` of (image, label), or two of them.
        memory_gb: Most that the arrays may take, in 10⁹ bytes.

    Returns:
        Images uint8 (N, C, H, W) and labels by name.

    Raises:
        DataError: it is something else, or cannot be read; the sentence says which array or image.
    """
    parts = _parts(given)
    found: dict[str, NDArray[Any]] = {}
    left = memory_gb * 1e9
    for ending, part in parts.items():
        x, y = _read(part, left, memory_gb) if isinstance(part, Dataset) else part
        images = images_of("data", f"x{ending}", _images(x, f"x{ending}"))
        labels = _labels(y, f"y{ending}")
        left -= images.nbytes
        if left < 0:
            raise DataError(_too_large(memory_gb))
        found |= {f"x{ending}": np.ascontiguousarray(images), f"y{ending}": labels}
    return found


def save_arrays(arrays: Arrays, path: Path) -> None:
    """Write arrays as an .npz file: the same bytes for the same arrays."""
    values: dict[str, Any] = dict(arrays)
    with path.open("wb") as file:
        np.savez(file, **values)


def _parts(given: Any) -> dict[str, Any]:
    if isinstance(given, DataLoader):
        raise DataError("data is a DataLoader, which batches, shuffles and may augment: give its dataset instead")
    if isinstance(given, Dataset):
        return {"": given}
    if isinstance(given, tuple | list) and len(given) == 2:
        if all(isinstance(part, Dataset) for part in given):
            return {"_train": given[0], "_test": given[1]}
        if all(isinstance(part, tuple | list) and len(part) == 2 for part in given) and isinstance(given[0], tuple):
            return {"_train": given[0], "_test": given[1]}
        if not any(isinstance(part, Dataset | str) for part in given):
            return {"": given}
    raise DataError(f"data of type {type(given).__name__} cannot be used; give {_EXPECTED}")


def _read(source: Dataset[Any], most: float, memory_gb: float) -> tuple[list[NDArray[Any]], list[Any]]:
    """Every image, (C, H, W) or (H, W) or (H, W, C), and label of a torch data set, of at most `most` pixels."""
    if not hasattr(source, "__len__"):
        raise DataError("data is a Dataset without a length; give one that knows how many images it has")
    images, labels, size = [], [], 0
    for index in range(len(source)):
        item = source[index]
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise DataError(f"item {index} of the Dataset is no pair (image, label), but {type(item).__name__}")
        images.append(_image(item[0], f"image {index} of the Dataset"))
        label = np.asarray(item[1])
        labels.append(label.item() if label.size == 1 else label)
        size += images[-1].size
        if size > most:
            raise DataError(_too_large(memory_gb))
    names = getattr(source, "classes", None)
    if isinstance(names, Sequence) and not isinstance(names, str) and all(isinstance(name, str) for name in names):
        whole = all(isinstance(label, int) and 0 <= label < len(names) for label in labels)
        if whole and len(set(names)) == len(names):
            labels = [names[int(label)] for label in labels]
    return images, labels


def _image(image: Any, name: str) -> NDArray[Any]:
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu().numpy()
    elif isinstance(image, Image.Image):
        try:
            image = np.asarray(eight_bits(image, "L" if image.mode in GREY_MODES else "RGB"))
        except (ValueError, OSError) as error:
            raise DataError(f"{name} cannot be used: {error}") from error
    if not isinstance(image, np.ndarray):
        raise DataError(f"{name} is of type {type(image).__name__}; give PIL images, arrays or tensors")
    return image


def _images(x: Any, key: str) -> NDArray[Any]:
    """Images as one array, from an array, a tensor or a sequence of single images."""
    if isinstance(x, torch.Tensor):
        return x.detach().cpu().numpy()
    if isinstance(x, np.ndarray) and x.dtype != object:
        return x
    if not isinstance(x, Sequence | np.ndarray) or isinstance(x, str):
        raise DataError(f"{key} is of type {type(x).__name__}, but an array, a tensor or a list of images is needed")
    if not len(x):
        raise DataError(f"{key} holds no images")
    images = [_image(image, f"image {index} of {key}") for index, image in enumerate(x)]
    for index, image in enumerate(images):
        if (image.shape, image.dtype) != (images[0].shape, images[0].dtype):
            raise DataError(
                f"image {index} of {key} is {image.dtype} of shape {image.shape}, but the first is {images[0].dtype} "
                f"of shape {images[0].shape}; resize them alike, or write them into a folder per class and give its "
                "path: pictures in files may have any sizes"
            )
    return np.stack(images)


def _labels(y: Any, key: str) -> NDArray[Any]:
    """Labels as integers or text."""
    if isinstance(y, torch.Tensor):
        return y.detach().cpu().numpy()
    # NumPy would make text of everything in a list where anything is text.
    found = np.asarray(y, dtype=object if isinstance(y, list | tuple) else None)
    if found.dtype == object and found.size:
        plain = [label.item() if isinstance(label, np.generic) else label for label in found.ravel().tolist()]
        kinds = {type(label) for label in plain}
        if len(kinds) > 1 or not kinds <= {str, int}:
            raise DataError(
                f"data: {key} holds {' and '.join(sorted(kind.__name__ for kind in kinds))}, but one integer or one "
                "text per image is needed"
            )
        found = found.astype(np.int64 if kinds == {int} else np.str_)
    return found


def _too_large(memory_gb: float) -> str:
    return (
        f"data takes more than data.memory_gb={memory_gb:g} (10⁹ bytes), the most that a run copies into its "
        "directory; write the pictures into a folder (train/CLASS/*.png, test/CLASS/*.png) and give its path, which "
        "streams them, or raise data.memory_gb"
    )
