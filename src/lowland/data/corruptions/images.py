"""Corrupted test images as evaluation asks for them: the protocol, and test images corrupted here, with a cache."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lowland.core.files import replacing
from lowland.data.corruptions.table import REVISION, corrupt
from lowland.data.fitting import Fit
from lowland.data.images import ArrayImages
from lowland.data.splits import DataSet, Split


class CorruptedImages(ABC):
    """The same N test images under every corruption and severity.

    Attributes:
        labels_N: Class index of each image, int64 (N,), on the CPU.
        streamed: Whether `images` reads and decodes files, so that it is worth calling ahead of need.
    """

    labels_N: Tensor
    streamed: bool = False

    def __len__(self) -> int:
        return len(self.labels_N)

    @abstractmethod
    def images(self, name: str, severity: int, start: int, stop: int) -> Tensor:
        """Images `start` to `stop` under one corruption and severity, uint8 (B, C, S, S) of the networks' size."""


class Generated(CorruptedImages):
    """Test images corrupted here (see `corrupt`), at their own size, then resized as all images are.

    Where the data set is resized by `data.image_size`, the corruption comes first, as in CIFAR-10-C: on an array's
    images as they are, on pictures from a folder at the size they would have without `data.image_size`.

    Args:
        data: The data set; its test images are corrupted.
        seed: The run's seed.
        cache: Folder in which to keep what is made and to look for it first; None: nothing is kept.
    """

    def __init__(self, data: DataSet, seed: int, *, cache: Path | None = None) -> None:
        self._split: Split = data.test if data.unresized_test is None else data.unresized_test
        self._size, self._fit, self._seed = data.image_size, data.fit, seed
        self._clean: tuple[tuple[int, int], Tensor] | None = None
        self.labels_N = data.test.labels_N.cpu()
        key = hashlib.sha256(f"{data.fingerprint} {data.content} {seed} {REVISION}".encode()).hexdigest()[:16]
        self._cache = cache / f"{data.name}-{key}" if cache is not None else None

    def images(self, name: str, severity: int, start: int, stop: int) -> Tensor:
        """Images `start` to `stop` under one corruption and severity; see `CorruptedImages.images`."""
        if self._cache is None:
            return self._made(name, severity, start, stop)
        path = self._cache / f"{name}-{severity}-{start}-{stop}.npy"
        kept = _kept(path, stop - start)
        if kept is not None:
            return kept
        made_BCHW = self._made(name, severity, start, stop).cpu()
        with replacing(path, durable=False) as temporary, temporary.open("wb") as stream:
            np.save(stream, made_BCHW.numpy(), allow_pickle=False)
        return made_BCHW

    def _made(self, name: str, severity: int, start: int, stop: int) -> Tensor:
        kept = self._clean  # once, since another thread may be here
        if kept is None or kept[0] != (start, stop):
            # Where images are read once, every corruption of a batch is asked for before the next batch.
            kept = self._clean = ((start, stop), self._split.images(torch.arange(start, stop)))
        return resized(corrupt(kept[1], name, severity, seed=self._seed, start=start), self._size, self._fit)


def resized(x_NCHW: Tensor, size: int, how: Fit) -> Tensor:
    """uint8 images (N, C, H, W), made square and resized like all images to (N, C, size, size)."""
    if tuple(x_NCHW.shape[2:]) == (size, size):
        return x_NCHW
    count, channels = x_NCHW.shape[:2]
    images = ArrayImages(x_NCHW.cpu().numpy(), np.zeros(count, dtype=np.int64))
    return torch.from_numpy(images.load(np.arange(count), channels, size, how)).to(x_NCHW.device)


def cache_folder() -> Path:
    """Where generated images are kept on request: `lowland/corruptions` in $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lowland" / "corruptions"


def _kept(path: Path, count: int) -> Tensor | None:
    """The cached images, or None where there are none or the file is damaged, so that they are made (again)."""
    try:
        with path.open("rb") as stream:
            images = np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = images.dtype == np.uint8 and images.ndim == 4 and len(images) == count
    return torch.from_numpy(images) if whole else None
