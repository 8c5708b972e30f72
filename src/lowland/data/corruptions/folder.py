"""Published corrupted test sets: folders in the layout of CIFAR-10-C and CIFAR-100-C, read as they are.

Such a folder holds `<corruption>.npy`, uint8 (5 · N, H, W, 3) or, for grey images, (5 · N, H, W) or (5 · N, H, W, 1):
the N test images at severity 1, then at 2, and so on; and `labels.npy`, their 5 · N class numbers or names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lowland.core.errors import DataError
from lowland.data.arrays import channels_first
from lowland.data.corruptions.images import CorruptedImages, resized
from lowland.data.corruptions.table import SEVERITIES
from lowland.data.listing import unpack_first
from lowland.data.naming import matched
from lowland.data.splits import DataSet

LABELS = "labels"


class CorruptedFolder(CorruptedImages):
    """The images of a folder in the layout of CIFAR-10-C, mapped into memory and resized like the data set's own.

    Args:
        folder: Where the .npy files are.
        names: The corruptions that will be asked for.
        data: The data set the networks were trained on; its number of classes, channels and size must fit.
        index: The networks' class of each label of the files; None: the labels are matched with the data's classes.
        suite: Whose settings errors name.

    Raises:
        DataError: If a file is missing, damaged, or of another type or shape; the message names it.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        data: DataSet,
        *,
        index: Sequence[int] | None = None,
        suite: str = "corruptions",
    ) -> None:
        if not folder.is_dir():
            raise DataError(
                unpack_first(folder)
                or f"evaluate.options.{suite}.folder {folder} is not a folder; give one with <corruption>.npy "
                "files in it"
            )
        here = sorted(path.stem for path in folder.glob("*.npy"))
        for name in (LABELS, *names):
            if name not in here:
                raise DataError(
                    f"{folder} has no {name}.npy, only {', '.join(here) or 'no .npy file at all'}; unpack the whole set"
                    + (
                        f", or name those wanted in evaluate.options.{suite}.names"
                        if name != LABELS and len(here) > 1
                        else ""
                    )
                )
        self._size, self._fit = data.image_size, data.fit
        self._arrays = {name: _images(folder / f"{name}.npy", data) for name in names}
        counts = {name: len(array) for name, array in self._arrays.items()}
        self.labels_N = _labels(folder / f"{LABELS}.npy", data, counts, index)

    def images(self, name: str, severity: int, start: int, stop: int) -> Tensor:
        """Images `start` to `stop` under one corruption and severity; see `CorruptedImages.images`."""
        first = (severity - 1) * len(self)
        part = np.array(self._arrays[name][first + start : first + stop], order="C")
        return resized(torch.from_numpy(part), self._size, self._fit)


def _labels(path: Path, data: DataSet, counts: Mapping[str, int], index: Sequence[int] | None) -> Tensor:
    """The class index of each of the N images: by `index`, or else matched by name or number (`naming.matched`).

    Args:
        path: The file of 5 · N labels.
        data: The data set the networks were trained on.
        counts: Images of each file of a corruption.
        index: Class of the data set for each class of the file, where that is known.

    Returns:
        Class indices (N,).

    Raises:
        DataError: The file is unfit, or does not belong to the images.
    """
    labels = plain_array(path)
    severities = len(SEVERITIES)
    if labels.ndim != 1 or labels.dtype.kind not in "iuU" or not len(labels):
        raise DataError(
            f"{path} must hold 5 · N whole numbers or class names, the classes of N images at each of 5 severities, "
            f"not {labels.dtype} of shape {labels.shape}; unpack or download it again"
        )
    for name, count in counts.items():
        if count == severities * len(labels):
            raise DataError(
                f"{path} holds {len(labels):,} labels, those of one severity, but {name}.npy has {count:,} images, of "
                f"{severities} severities; repeat the labels: np.save('{LABELS}.npy', np.tile(labels, {severities}))"
            )
        if count != len(labels):
            raise DataError(
                f"{path} holds {len(labels):,} labels, but {name}.npy has {count:,} images; each image needs one "
                "label, so the two do not belong together: unpack or download both again"
            )
    if len(labels) % severities:
        raise DataError(
            f"{path} holds {len(labels):,} labels, which are not the same number at each of {severities} severities; "
            "unpack or download the set again"
        )
    blocks = labels.reshape(severities, -1)
    known = data.classes if index is None else tuple(map(str, range(len(index))))
    indices = matched(blocks[0], known, str(path))
    if (blocks != blocks[0]).any():
        raise DataError(
            f"{path}: the labels of the 5 severities, one fifth of the file each, differ, but each severity must show "
            "the same images in the same order"
        )
    if index is not None:
        return torch.tensor(index)[torch.from_numpy(indices)]
    here = np.bincount(indices, minlength=data.num_classes)
    there = np.bincount(data.test.labels_N.cpu().numpy(), minlength=data.num_classes)
    if labels.dtype.kind != "U" and (here != there).any() and sorted(here) == sorted(there):
        raise DataError(
            f"{path} has as many images of each class as the test of {data.name}, but of other classes: its numbers "
            f"seem to count the classes in another order than {', '.join(data.classes[:3])} …; write the class names, "
            f"as text, instead"
        )
    return torch.from_numpy(indices)


def _images(path: Path, data: DataSet) -> NDArray[np.uint8]:
    """The 5 · N images of one corruption as (5 · N, C, H, W), mapped, not read."""
    array = plain_array(path)
    try:
        if array.dtype != np.uint8:
            raise ValueError
        images: NDArray[np.uint8] = channels_first(array)
    except ValueError as error:
        raise DataError(
            f"{path} must be uint8 of shape (5 · N, H, W, 3), or (5 · N, H, W) for grey images, not {array.dtype} of "
            f"shape {array.shape}; unpack or download it again"
        ) from error
    if images.shape[1] != data.in_channels:
        raise DataError(
            f"{path} has {images.shape[1]} channel(s), but the networks were trained on {data.in_channels}; use the "
            f"corrupted images of {data.name}"
        )
    return images


def plain_array(path: Path) -> NDArray[Any]:
    """A .npy file, mapped into memory; DataError where it is none, or holds objects."""
    try:
        mapped: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} cannot be read as a plain .npy array ({reason}); unpack or download it again"
        ) from error
    return mapped
