"""Batches on the device: kept ready where they fit in memory, else made each time they are read.

Images that do not fit as floats may fit as bytes, a quarter of that: then every file is decoded once. Of those that do
not, every pass decodes all, ahead of what is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import torch
from torch import Tensor

from lowland.core.device import Compute
from lowland.data import DataSet, MemorySplit, Split
from lowland.data.batching import in_parts


class OnDemand(Sequence[tuple[Tensor, Tensor]]):
    """Batches of a split that are fetched and normalised when they are read."""

    def __init__(self, split: Split, parts: Sequence[Tensor], data: DataSet, compute: Compute) -> None:
        self._split, self._parts, self._data, self._compute = split, parts, data, compute

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[Tensor, Tensor]]: ...

    def __getitem__(self, index: int | slice) -> tuple[Tensor, Tensor] | Sequence[tuple[Tensor, Tensor]]:
        if isinstance(index, slice):
            return OnDemand(self._split, self._parts[index], self._data, self._compute)
        (batch,) = in_parts(self._split, [self._parts[index]])
        return self._ready(batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return map(self._ready, in_parts(self._split, self._parts))

    def _ready(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        images_NCHW, labels_N = batch
        return self._compute.place(self._data.normalise(images_NCHW)), labels_N


def placed(
    split: Split, indices: Tensor, size: int, *, data: DataSet, compute: Compute, memory_gb: float
) -> Sequence[tuple[Tensor, Tensor]]:
    """Place the named images of a split on the device.

    Kept ready where they take at most `memory_gb` (2³⁰ bytes each) as floats; else made each time they are read, from
    decoded images where these take at most that, and otherwise from files, with the next batches read ahead.

    Returns:
        The images, normalised, with labels, in even batches of at most `size`.
    """
    parts = torch.tensor_split(indices, max(1, -(-len(indices) // size)))
    values, most = len(indices) * data.in_channels * data.image_size**2, memory_gb * 2**30
    if 4 * values <= most:
        return list(OnDemand(split, parts, data, compute))
    if split.streamed and 0 < values <= most:
        split = _decoded(split, parts, values)
        parts = torch.tensor_split(torch.arange(len(indices)), len(parts))
    return OnDemand(split, parts, data, compute)


def _decoded(split: Split, parts: Sequence[Tensor], values: int) -> MemorySplit:
    """The named images in their order, in memory."""
    labels: list[Tensor] = []
    images_NCHW, at = torch.empty(0), 0
    for part_NCHW, labels_N in in_parts(split, parts):
        if not labels:
            images_NCHW = part_NCHW.new_empty((values // part_NCHW[0].numel(), *part_NCHW.shape[1:]))
        images_NCHW[at : at + len(part_NCHW)] = part_NCHW
        labels.append(labels_N)
        at += len(part_NCHW)
    return MemorySplit(images_NCHW, torch.cat(labels))
