"""Batches on the device: kept ready where they fit in memory, else made each time they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor

from lowland.core.device import Compute
from lowland.data import DataSet, Split


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
        part = self._parts[index]
        x_NCHW = self._compute.place(self._data.normalise(self._split.images(part)))
        return x_NCHW, self._split.labels_N[part.to(self._split.device)]


def placed(
    split: Split, indices: Tensor, size: int, *, data: DataSet, compute: Compute, memory_gb: float
) -> Sequence[tuple[Tensor, Tensor]]:
    """Place the named images of a split on the device.

    Kept ready where they take at most `memory_gb` (2³⁰ bytes each) as floats, else made each time they are read.

    Returns:
        The images, normalised, with labels, in even batches of at most `size`.
    """
    parts = torch.tensor_split(indices, max(1, -(-len(indices) // size)))
    found = OnDemand(split, parts, data, compute)
    floats = len(indices) * data.in_channels * data.image_size**2
    return list(found) if 4 * floats <= memory_gb * 2**30 else found
