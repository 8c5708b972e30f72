"""Image collections: labelled images before splits, size and channels are chosen; nothing is decoded until asked.

Shapes: N images, H height, W width, C channels, S side of the square that networks see.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lowland.core.errors import DataError
from lowland.data.selection import Indices

UInt8 = NDArray[np.uint8]
T = TypeVar("T")


class Digest(Protocol):
    """A running hash, as of `hashlib`."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in `data`."""


class Images(ABC):
    """Labelled images of any sizes, in a fixed order.

    Attributes:
        labels_N: Class index of each image, int64 (N,).
    """

    labels_N: Indices

    @abstractmethod
    def look(self, indices: Indices) -> tuple[int, int]:
        """Channels of the named images, 1 if all are grey, else 3, and the side S to use where none was asked for.

        Raises:
            DataError: If images are of an unknown format; the message names the first and counts the others.
        """

    @abstractmethod
    def read(self, index: int, channels: int, size: int) -> UInt8:
        """One image as (C, S, S): the shorter side resized to S with antialiasing, the centre cut out.

        Raises:
            DataError: If the image cannot be decoded.
        """

    @abstractmethod
    def sign(self, digest: Digest, indices: Indices) -> None:
        """Feed the named images' stored bytes, or a fixed part of them, to `digest`."""

    def load(self, indices: Indices, channels: int, size: int) -> UInt8:
        """Decode the named images, with one thread per core.

        Returns:
            uint8 (N, C, S, S), in the order of `indices`.

        Raises:
            DataError: If images cannot be decoded; the message names the first and counts the others.
        """
        out_NCHW = np.empty((len(indices), channels, size, size), dtype=np.uint8)

        def read_into(place: int) -> DataError | None:
            try:
                out_NCHW[place] = self.read(int(indices[place]), channels, size)
            except DataError as error:
                return error
            return None

        collect_faults(parallel(read_into, range(len(indices))))
        return out_NCHW


class ArrayImages(Images):
    """Images in one array.

    Args:
        images: uint8 (N, C, H, W) with C = 1 or 3.
        labels_N: int64 (N,).
    """

    def __init__(self, images: UInt8, labels_N: Indices) -> None:
        self._images = images
        self.labels_N = labels_N

    def look(self, indices: Indices) -> tuple[int, int]:
        """Channels and shorter side of the array."""
        return int(self._images.shape[1]), int(min(self._images.shape[2:]))

    def read(self, index: int, channels: int, size: int) -> UInt8:
        """One image as (C, S, S); see `Images.read`."""
        image = self._images[index]
        picture = Image.fromarray(image[0] if channels == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
        return to_array(fit(picture, size))

    def load(self, indices: Indices, channels: int, size: int) -> UInt8:
        """The named images as (N, C, S, S); indexing alone where they have the size already."""
        if self._images.shape[2:] == (size, size):
            return np.ascontiguousarray(self._images[indices])
        return super().load(indices, channels, size)

    def sign(self, digest: Digest, indices: Indices) -> None:
        """Feed all bytes of the named images to `digest`."""
        digest.update(repr(self._images.shape[1:]).encode())
        for index in indices:
            digest.update(np.ascontiguousarray(self._images[index]).data)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set as found: its images, before anything is chosen.

    Attributes:
        name: Name shown to people.
        train: Training images, or all images where `test` is None.
        test: Test images, if the data set itself sets them apart.
        classes: Class names, by label.
        flip: Whether a mirrored image still shows its class.
        origin: Where it comes from and under which licence, one line.
    """

    name: str
    train: Images
    test: Images | None
    classes: tuple[str, ...]
    flip: bool
    origin: str


def fit(picture: Image.Image, size: int) -> Image.Image:
    """The centre square of `picture` resized, with antialiasing (bilinear), to `size` × `size` pixels.

    The same as resizing the shorter side and then cutting out the centre, without computing what is cut away.

    Returns:
        A picture of `size` × `size` pixels in the mode of `picture`.
    """
    width, height = picture.size
    if width == height == size:
        return picture
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return picture.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


def to_array(picture: Image.Image) -> UInt8:
    """A picture of mode L or RGB as uint8 (C, H, W)."""
    array = np.asarray(picture, dtype=np.uint8)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def parallel(task: Callable[[int], T], places: range) -> list[T]:
    """The results of `task` on every place, in order, by a pool of one thread per usable core."""
    return list(_pool(os.getpid()).map(task, places))


def collect_faults(results: list[DataError | None]) -> None:
    """Raise the first of the errors, if any.

    Raises:
        DataError: the first error's sentence, with the number of the others.
    """
    faults = [result for result in results if result is not None]
    if faults:
        others = f" (and {len(faults) - 1} more like it)" if len(faults) > 1 else ""
        raise DataError(f"{faults[0]}{others}")


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """The decoding threads of this process; a forked process inherits none and so makes its own."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(max_workers=usable, thread_name_prefix=f"decode-{process}")
