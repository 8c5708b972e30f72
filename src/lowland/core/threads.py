"""How many CPU threads: what this process may use, and how many of them are fastest."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

TIE = 0.05
"""Fewer threads are taken where they are slower by no more than this share: they leave cores to others."""


def available_cores() -> int:
    """Cores this process may use: its affinity and its container's quota (cgroup v1, v2), not the machine's total."""
    from joblib import cpu_count  # only where it is needed: `lowland --help` answers at once

    count: int = cpu_count()
    return count


def usable_threads() -> int:
    """Most threads of this process: its share of the cores among torchrun's processes, and at most OMP_NUM_THREADS."""
    share = max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    # OpenMP's form is one number for each level of nesting; it ignores what is no such list, and says so itself.
    outermost = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(share, int(outermost)) if outermost.isdecimal() and int(outermost) > 0 else share


@contextmanager
def threads_of(count: int) -> Iterator[None]:
    """Within the block torch computes with so many threads in this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def time_threads(
    work: Callable[[int], object], most: int, *, seconds: float = 1.0, rounds: int = 3
) -> dict[int, float]:
    """Time `work` with 1, 2, 4, … and `most` threads.

    The counts take turns, so that other programs disturb all of them alike, and in each turn do the same pieces of
    work. A count's time is the mean within a turn, where barriers that wait for a descheduled thread show, and the
    median over turns.

    Args:
        work: Does piece 0, 1, … of the work.
        most: Largest count.
        seconds: About how long all this may take; longer where a single piece takes longer.
        rounds: Turns of each count; only one where pieces are long.

    Returns:
        Seconds that a piece takes, by count.
    """
    counts = sorted({most, *(2**power for power in range(most.bit_length()))})
    before = torch.get_num_threads()
    try:
        _turn(work, 1, 1)
        pieces = max(1, min(20, int(seconds / rounds / len(counts) / _turn(work, 1, 1))))
        began = time.perf_counter()
        times: dict[int, list[float]] = {count: [] for count in counts}
        for _ in range(rounds):
            for count in counts:
                times[count].append(_turn(work, count, pieces))
            if time.perf_counter() - began > 2 * seconds:
                break
    finally:
        torch.set_num_threads(before)
    return {count: statistics.median(turns) for count, turns in times.items()}


def fastest(times: Mapping[int, float]) -> int:
    """The count of least time, or the smallest that takes no more than 1 + `TIE` times as long."""
    return min(count for count, seconds in times.items() if seconds <= (1 + TIE) * min(times.values()))


def _turn(work: Callable[[int], object], count: int, pieces: int) -> float:
    """Mean seconds of the first `pieces` pieces with `count` threads, after one that starts the threads."""
    torch.set_num_threads(count)
    work(0)
    began = time.perf_counter()
    for piece in range(pieces):
        work(piece)
    return (time.perf_counter() - began) / pieces
