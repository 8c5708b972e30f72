"""What a training step copies to a GPU, counted on tensors that only claim to be on one."""

from __future__ import annotations

from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from lowland.data import MemorySplit, Subset, concatenate
from lowland.data.batching import batches


class Waits(TorchDispatchMode):
    """Counts copies of CPU tensors to another device, and questions whose answer the CPU waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        moved = func is torch.ops.aten._to_copy.default and args[0].device.type == "cpu" and out.device.type == "cuda"
        self.count += moved or func is torch.ops.aten.nonzero.default
        return out


def test_the_order_of_an_epoch_is_copied_once_whatever_the_split_is_made_of() -> None:
    with FakeTensorMode(), torch.device("cpu"):
        images = torch.empty(64, 3, 4, 4, dtype=torch.uint8, device="cuda")
        whole = MemorySplit(images, torch.empty(64, dtype=torch.int64, device="cuda"))
        part = Subset(whole, torch.arange(32))
        for split in (whole, part, concatenate(part, whole)):
            with Waits() as waits:
                found = list(batches(split, 8, torch.randperm(len(split))))
            assert len(found) == len(split) // 8
            assert {x_NCHW.device.type for x_NCHW, _ in found} == {"cuda"}
            assert waits.count == 1


def test_two_joined_splits_read_the_same_from_both_as_from_each() -> None:
    """The way of a GPU gives what the way of a CPU does."""
    images = torch.arange(10, dtype=torch.uint8).reshape(10, 1, 1, 1)
    labels = torch.arange(10)
    joined = concatenate(MemorySplit(images[:4], labels[:4]), MemorySplit(images[4:], labels[4:]))
    indices = torch.tensor([9, 0, 4, 3, 7])

    class Elsewhere(torch.Tensor):
        device = torch.device("meta")  # type: ignore[assignment]

    assert joined.images(indices).flatten().tolist() == indices.tolist()
    assert joined.images(indices.as_subclass(Elsewhere)).flatten().tolist() == indices.tolist()
