"""The GPUs of this machine that worker processes may have, and how many of these there is room for."""

from __future__ import annotations

import os
from collections.abc import Sequence

from lowland.core.errors import ConfigError

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The variable by which CUDA shows a process some GPUs, by number or by UUID, and no others."""


def visible() -> list[str]:
    """What `CUDA_VISIBLE_DEVICES` calls each GPU that this process sees, in its order.

    CUDA ends such a list at the first name that it does not know, so that as many count as there are devices.

    Returns:
        Numbers, or the names (`GPU-…`, `MIG-…`) that the variable has; none where there is no GPU.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    told = os.environ.get(VISIBLE)
    names = [str(place) for place in range(count)] if told is None else [name.strip() for name in told.split(",")]
    return names[:count]


def on_each(share: float) -> int:
    """How many processes with that share of a GPU fit on one: ⌊1 / share⌋."""
    return int(1 / share + 1e-9)


def places(share: float) -> int:
    """How many processes with that share of a GPU, or so many whole ones, there is room for on this machine."""
    return len(visible()) * on_each(share) if share <= 1 else len(visible()) // int(share)


def names(size: int, share: float) -> list[str]:
    """The GPU of each of `size` processes: from the last on, so that few share none, nor the caller's, the first.

    Args:
        size: How many processes.
        share: Of a GPU that each has, in (0, 1].

    Returns:
        What `CUDA_VISIBLE_DEVICES` calls the GPU of each.

    Raises:
        ConfigError: There is not so much room, or a process would have several.
    """
    found = visible()
    fault = excess(size, share, found)
    if fault is not None:
        raise ConfigError(fault)
    return [found[-1 - place % len(found)] for place in range(size)]


def excess(size: int, share: float, found: Sequence[str]) -> str | None:
    """A sentence where there is no room on these GPUs for so many processes with that share of one; None: there is."""
    if share > 1:
        return (
            f"compute.gpus_per_worker={share:g} is more than the one GPU that compute.executor=local gives a worker; "
            "set it to 1 or less, or choose compute.executor=ray"
        )
    if not found:
        return "this machine shows no GPU for worker processes to have; set compute.device=cpu, or look at nvidia-smi"
    room = len(found) * on_each(share)
    if size <= room:
        return None
    several = -(-size // len(found))
    return (
        f"search.workers={size} is more than there is room for: GPUs that this machine shows: {len(found)}, workers "
        f"with compute.gpus_per_worker={share:g}: {room}; leave --workers out for as many, or let {several} of them "
        f"share a GPU with compute.gpus_per_worker={1000 // several / 1000:g}"
    )
