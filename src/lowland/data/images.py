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
from lowland.data.fitting import Fit, fit
from lowland.data.selection import Indices

UInt8 = NDArray[np.uint8]
T = TypeVar("T")


class Digest(Protocol):
    """A running hash, as of `hashlib`."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in `data`."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a first look at images, without decoding any, tells.

    Attributes:
        channels: 1 if all are grey, else 3.
        widths_N: Width of each, pixels, int64 (N,).
        heights_N: Height of each.
        kinds: File formats such as JPEG, or `arrays`, the most frequent first.
        largest: The largest side S to choose where none was asked for; None: any.
        several: Number of files with several pages or frames, of which the first is the image.
        largest_jpeg: The largest shorter side of a JPEG; 0 without any.
    """

    channels: int
    widths_N: Indices
    heights_N: Indices
    kinds: tuple[str, ...] = ("arrays",)
    largest: int | None = None
    several: int = 0
    largest_jpeg: int = 0


class Images(ABC):
    """Labelled images of any sizes, in a fixed order.

    Attributes:
        labels_N: Class index of each image, int64 (N,).
    """

    labels_N: Indices

    @abstractmethod
    def look(self, indices: Indices) -> Look:
        """Channels and sizes of the named images; no pixel is decoded.

        Raises:
            DataError: If images are of an unknown format or too small; the message names the first and counts the
                others.
        """

    @abstractmethod
    def read(self, index: int, channels: int, size: int, how: Fit) -> UInt8:
        """One image as (C, S, S), made square as `how` says (`fitting.fit`).

        Raises:
            DataError: If the image cannot be decoded.
        """

    @abstractmethod
    def sign(self, digest: Digest, indices: Indices) -> None:
        """Feed the named images' stored bytes, or a fixed part of them, to `digest`."""

    def sign_all(self, digest: Digest, indices: Indices) -> None:
        """Feed what stands for all stored bytes of the named images to `digest`."""
        self.sign(digest, indices)

    def load(self, indices: Indices, channels: int, size: int, how: Fit = "crop") -> UInt8:
        """Decode the named images by one thread per core.

        Returns:
            The images, uint8 (N, C, S, S).

        Raises:
            DataError: If images cannot be decoded; the message names the first and counts the others.
        """
        out_NCHW = np.empty((len(indices), channels, size, size), dtype=np.uint8)

        def read_into(place: int) -> DataError | None:
            try:
                out_NCHW[place] = self.read(int(indices[place]), channels, size, how)
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

    def look(self, indices: Indices) -> Look:
        """Channels and sides of the array."""
        channels, height, width = (int(side) for side in self._images.shape[1:])
        return Look(channels=channels, widths_N=np.full(len(indices), width), heights_N=np.full(len(indices), height))

    def read(self, index: int, channels: int, size: int, how: Fit) -> UInt8:
        """One image as (C, S, S); see `Images.read`."""
        image = self._images[index]
        picture = Image.fromarray(image[0] if channels == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
        return to_array(fit(picture, size, how))

    def load(self, indices: Indices, channels: int, size: int, how: Fit = "crop") -> UInt8:
        """The named images as (N, C, S, S); indexing alone where they have the size already."""
        if self._images.shape[2:] == (size, size):
            return np.ascontiguousarray(self._images[indices])
        return super().load(indices, channels, size, how)

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
        search: Images to score candidates, if the data set itself sets them apart.
        classes: Class names, by label.
        flip: Whether a mirrored image still shows its class.
        origin: Where it comes from and under which licence, one line.
        published: Whether it is a published set known by name, whose contents are as they are.
        found: What was chosen when it was opened, such as the folder the test images come from, a few words each.
        notes: What was left out or is doubtful, one sentence each.
    """

    name: str
    train: Images
    test: Images | None
    search: Images | None = None
    classes: tuple[str, ...]
    flip: bool
    origin: str
    published: bool = False
    found: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


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
