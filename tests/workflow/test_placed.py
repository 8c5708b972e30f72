"""Batches that candidates are scored on: ready, made from decoded images, or read ahead from files."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from lowland.core.config import ComputeConfig, DataConfig
from lowland.core.device import resolve
from lowland.data import DataSet, Split, load
from lowland.workflow.placed import placed

IMAGES = 50
BYTES = IMAGES * 28 * 28 / 2**30
"""What they take decoded, 2³⁰ bytes; as floats four times that."""


class Counted(Split):
    """A streamed split that counts how often each image is decoded."""

    streamed = True

    def __init__(self, split: Split) -> None:
        self.labels_N, self._split, self.decoded = split.labels_N, split, Counter[int]()

    def images(self, indices: Tensor) -> Tensor:
        self.decoded.update(indices.tolist())
        return self._split.images(indices)


@pytest.fixture(scope="module")
def data() -> DataSet:
    return load(DataConfig(limit=200), seed=0)


@pytest.mark.parametrize(("memory_gb", "times"), [(5 * BYTES, 1), (1.01 * BYTES, 1), (0.5 * BYTES, 3)])
def test_what_fits_in_memory_is_decoded_once(memory_gb: float, times: int, data: DataSet) -> None:
    compute = resolve(ComputeConfig(device="cpu", precision="fp32"))
    indices = torch.arange(IMAGES).flip(0)
    known = placed(data.train, indices, 16, data=data, compute=compute, memory_gb=1.0)
    split = Counted(data.train)
    found = placed(split, indices, 16, data=data, compute=compute, memory_gb=memory_gb)
    for _ in range(3):
        for ours, theirs in zip(found, known, strict=True):
            assert torch.equal(ours[0], theirs[0])
            assert torch.equal(ours[1], theirs[1])
    assert set(split.decoded.values()) == {times}
    assert len(split.decoded) == IMAGES
    assert torch.equal(found[1][0], known[1][0])
    assert [len(labels_N) for _, labels_N in found[2:]] == [len(labels_N) for _, labels_N in known[2:]]


def test_no_images_are_no_batches_of_any(data: DataSet) -> None:
    compute = resolve(ComputeConfig(device="cpu"))
    found = placed(Counted(data.train), torch.arange(0), 16, data=data, compute=compute, memory_gb=1.0)
    assert sum(len(labels_N) for _, labels_N in found) == 0
