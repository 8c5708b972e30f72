"""Splits: labelled images as uint8, held in memory or decoded on demand, and the data set they make up.

Tensor names: N images, B images of one batch, C channels, H height, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from lowland.core.errors import DataError
from lowland.data.fitting import Fit


class Split(ABC):
    """Images with labels.

    Attributes:
        labels_N: Class index of each image, int64 (N,), on the split's device.
        streamed: Whether `images` reads and decodes files, so that it is worth calling ahead of need.
        readers: Threads that call `images` ahead of need at a time, where that is worth it.
    """

    labels_N: Tensor
    streamed: bool = False
    readers: int = 1

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def device(self) -> torch.device:
        """Where labels and images are delivered."""
        return self.labels_N.device

    @abstractmethod
    def images(self, indices: Tensor) -> Tensor:
        """The images named by `indices` (B,), int64 on the CPU or the split's device, as uint8 (B, C, H, W) there."""


class MemorySplit(Split):
    """Images held decoded on one device; reading is indexing.

    Args:
        images_NCHW: uint8 (N, C, H, W).
        labels_N: int64 (N,), on the same device.

    Raises:
        DataError: If types or lengths do not fit.
    """

    def __init__(self, images_NCHW: Tensor, labels_N: Tensor) -> None:
        if images_NCHW.dtype != torch.uint8 or images_NCHW.ndim != 4:
            raise DataError(
                f"images of a split must be uint8 of shape (N, C, H, W), not {images_NCHW.dtype} of shape "
                f"{tuple(images_NCHW.shape)}; convert them first"
            )
        _check_labels(labels_N, len(images_NCHW))
        self._images_NCHW = images_NCHW
        self.labels_N = labels_N

    def images(self, indices: Tensor) -> Tensor:
        """The images named by `indices`; see `Split.images`."""
        return self._images_NCHW.index_select(0, indices.to(self.device))


class StreamedSplit(Split):
    """Images decoded each time they are asked for, for sets larger than `DataConfig.memory_gb`.

    Args:
        read: Decodes the images of the given indices (B,) to uint8 (B, C, H, W) on the CPU, in parallel.
        labels_N: int64 (N,), on the device the images are to be delivered to.

    Raises:
        DataError: If the labels are not int64 of one dimension.
    """

    streamed = True

    def __init__(self, read: Callable[[Tensor], Tensor], labels_N: Tensor) -> None:
        _check_labels(labels_N, len(labels_N))
        self._read = read
        self.labels_N = labels_N

    def images(self, indices: Tensor) -> Tensor:
        """The images named by `indices`, decoded now; see `Split.images`."""
        return self._read(indices).to(self.device)


class Subset(Split):
    """Part of a split, in the order given; nothing is copied but the labels.

    Args:
        base: The split to choose from.
        indices: Which of its images, int64 (N,) on the CPU.
    """

    def __init__(self, base: Split, indices: Tensor) -> None:
        self._base = base
        # Beside the images, so that choosing among them copies nothing to a GPU; of files they are read on the CPU.
        self._indices_N = indices if base.streamed else indices.to(base.device)
        self.labels_N = base.labels_N[indices.to(base.device)]
        self.streamed = base.streamed

    def images(self, indices: Tensor) -> Tensor:
        """The images named by `indices`; see `Split.images`."""
        return self._base.images(self._indices_N[indices.to(self._indices_N.device)])


class _Joined(Split):
    """Two splits read as one; nothing is copied but the labels."""

    def __init__(self, first: Split, second: Split) -> None:
        self._first = first
        self._second = second
        self.labels_N = torch.cat((first.labels_N, second.labels_N))
        self.streamed = first.streamed or second.streamed

    def images(self, indices: Tensor) -> Tensor:
        """The images named by `indices`; see `Split.images`."""
        in_first = indices < len(self._first)
        if indices.device.type != "cpu":
            # How many lie in which would be waited for: all are read from both instead.
            first = self._first.images(indices.clamp(max=len(self._first) - 1))
            second = self._second.images((indices - len(self._first)).clamp(min=0))
            return torch.where(in_first[:, None, None, None], first, second)
        from_first = in_first.nonzero().squeeze(1)
        from_second = in_first.logical_not_().nonzero().squeeze(1)
        both = torch.cat(
            (
                self._first.images(indices[from_first]),
                self._second.images(indices[from_second] - len(self._first)),
            )
        )
        back = torch.empty_like(indices)
        back[torch.cat((from_first, from_second))] = torch.arange(len(indices))
        return both.index_select(0, back.to(both.device))


def concatenate(a: Split, b: Split) -> Split:
    """Join two splits, such as training and search images for retraining.

    Returns:
        One split of the images of `a`, then those of `b`.

    Raises:
        DataError: If the two are on different devices.
    """
    if a.device != b.device:
        raise DataError(f"splits on {a.device} and {b.device} cannot be joined; load both on one device")
    return _Joined(a, b)


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Training, search and test images of one task, and what is needed to feed them to a network.

    Every split is stored so that the classes alternate in proportion: any first n images are a stratified sample.

    Attributes:
        name: Data set name, or the folder's or file's own name.
        train: Images the weights learn from.
        search: Images held out of the training images, to score candidates.
        test: Images no weight and no choice has seen.
        classes: Class names, by label.
        mean: Mean of each channel of the training images, 0 to 1; 0 where they are not normalised, with `std` 1.
        std: Standard deviation of each channel of the training images, in the same unit, at least one grey level.
        in_channels: 1 (grey) or 3 (colour).
        image_size: Height and width, pixels.
        flip: Whether to mirror training images left-right at random.
        crop_padding: Random crops are taken after padding by this many pixels.
        source: Where the images come from and under which licence, one line.
        fingerprint: SHA-256 over labels and image bytes, of files those of at most 256 per split; the same data,
            settings and seed give the same one. It names the data in what was kept of it, in runs of before too.
        content: SHA-256 over labels and all image bytes: another one where any image has changed. Empty: not known.
        unresized_test: The test images at the size they have without `data.image_size` (folders: their median side, at
            most 224), decoded when asked for; None where that is `image_size`. Corruptions begin with these.
        fit: How oblong pictures were made square: crop, squash or pad.
        found: What was chosen and seen when it was loaded, a few words each; `describe` makes a line of it.
        warnings: What was left out or is unwise, one sentence each.
    """

    name: str
    train: Split
    search: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    in_channels: int
    image_size: int
    flip: bool
    crop_padding: int
    source: str
    fingerprint: str
    content: str = ""
    unresized_test: Split | None = None
    fit: Fit = "crop"
    found: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def normalise(self, x_NCHW: Tensor) -> Tensor:
        """(x / 255 − mean) / std of uint8 (N, C, H, W), as float32 in the same memory format on the same device."""
        return normalise(x_NCHW, self.mean, self.std)


def normalise(x_NCHW: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(x / 255 − mean) / std of uint8 (N, C, H, W), as float32 in the same memory format on the same device."""
    # What is made while torch traces a program belongs to that program and holds no values: it must not be kept.
    constants = affine if torch.compiler.is_compiling() else _kept
    scale, shift = constants(mean, std, x_NCHW.device)
    return x_NCHW.to(torch.float32).mul_(scale).sub_(shift)


def affine(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Constants a, b of shape (C, 1, 1), float32, with a·x − b = (x / 255 − mean) / std."""
    mean_C = torch.tensor(mean, dtype=torch.float64)
    std_C = torch.tensor(std, dtype=torch.float64)
    scale = (1 / (255 * std_C)).to(device, torch.float32)
    shift = (mean_C / std_C).to(device, torch.float32)
    return scale[:, None, None], shift[:, None, None]


_kept = lru_cache(maxsize=16)(affine)
"""Kept, since copying them to a GPU would wait for it."""


def _check_labels(labels_N: Tensor, length: int) -> None:
    if labels_N.dtype != torch.int64 or labels_N.shape != (length,):
        raise DataError(
            f"labels of a split must be int64 of shape ({length},), one per image, not {labels_N.dtype} of shape "
            f"{tuple(labels_N.shape)}"
        )
