"""Data parallel training under torchrun: every rank runs the same path and ends with the same weights.

Gradients are averaged by hand, not by DistributedDataParallel: a step touches only one path of the supernet, another
one each time, and all ranks know which, so one flat all-reduce over the live gradients is all there is to do.
"""

from __future__ import annotations

import atexit
import datetime
import importlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lowland.core.errors import RunError


@dataclass(frozen=True, slots=True)
class World:
    """This process among all that train together."""

    rank: int = 0
    size: int = 1

    @property
    def main(self) -> bool:
        """Whether this process writes files and talks to people."""
        return self.rank == 0


def join() -> World:
    """Join the process group that torchrun announced in the environment; a world of one where there is none."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    if not dist.is_initialized():
        # Were it imported later, as by an optimizer, its functions would hold the group as their default for ever, and
        # its threads would run, and abort, while Python ends.
        importlib.import_module("torch.distributed.nn.functional")
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        # The others wait at a barrier while rank 0 searches, which may take days.
        dist.init_process_group(backend, timeout=datetime.timedelta(days=7))
        if backend == "gloo":
            atexit.register(leave)
    return World(dist.get_rank(), size)


def restarted() -> bool:
    """Whether torchrun started this job anew after one of its processes had ended (`--max-restarts`)."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


@contextmanager
def _together() -> Iterator[None]:
    """Within, that another process is gone is one sentence, a RunError, and no traceback of the network."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistBackendError) and not any(words in str(error) for words in _GONE):
            raise
        raise RunError(
            "another process of torchrun has ended, and its own message says why; every checkpoint is kept: remove the "
            "cause, and `lowland resume` the run with as many processes"
        ) from error


_GONE = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Connection refused")
"""What gloo says in a plain RuntimeError where a process does not answer any more."""


def leave() -> None:
    """Leave the process group, if any; none of its threads is left, so that none aborts the process at its end."""
    if dist.is_initialized():
        dist.destroy_process_group()


def barrier(world: World) -> None:
    """Wait until every rank is here."""
    if world.size > 1:
        with _together():
            dist.barrier()


def average_gradients(parameters: Iterable[nn.Parameter], world: World) -> None:
    """Replace every live gradient by its mean over ranks, in one all-reduce."""
    average([p.grad for p in parameters if p.grad is not None], world)


def average_buffers(module: nn.Module, world: World) -> None:
    """Replace floating-point buffers (batch-norm statistics) by their mean over ranks."""
    average([b for b in module.buffers() if b.is_floating_point()], world)


def any_rank(flags: Sequence[bool], world: World) -> list[bool]:
    """For each flag whether it is set on any rank; all ranks get the same answer."""
    if world.size == 1:
        return list(flags)
    found = torch.tensor(flags, dtype=torch.int64)
    with _together():
        dist.all_reduce(found, dist.ReduceOp.MAX)
    return [bool(flag) for flag in found.tolist()]


def average(tensors: list[Tensor], world: World) -> None:
    """Replace tensors by their mean over ranks, in one all-reduce; nothing happens in a world of one."""
    if world.size == 1 or not tensors:
        return
    flat = torch.cat([t.reshape(-1) for t in tensors])
    with _together():
        dist.all_reduce(flat)
    flat /= world.size
    for tensor, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view(tensor.shape))
