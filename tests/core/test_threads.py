from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lowland.core import threads
from lowland.core.threads import available_cores, fastest, time_threads, usable_threads

V2 = {"/sys/fs/cgroup/cpu.max": "150000 100000"}
V1 = {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str], int], None]:
    """A machine of 16 cores with given cgroup files and affinity."""
    from joblib.externals.loky.backend import context

    def pretend(files: dict[str, str], affinity: int) -> None:
        there = os.path.exists
        real = open

        def exists(path: Any) -> bool:
            return path in files or (not str(path).startswith("/sys/fs/cgroup") and there(path))

        def fake(path: Any, *arguments: Any, **options: Any) -> Any:
            return io.StringIO(files[path]) if path in files else real(path, *arguments, **options)

        monkeypatch.setattr(context.os.path, "exists", exists)
        monkeypatch.setattr("builtins.open", fake)
        monkeypatch.setattr(context.os, "cpu_count", lambda: 16)
        monkeypatch.setattr(context.os, "sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
        # Not to be asked before sched_getaffinity.
        monkeypatch.setattr(context.os, "process_cpu_count", lambda: affinity, raising=False)

    return pretend


@pytest.mark.parametrize(
    ("files", "affinity", "cores"),
    [
        ({}, 16, 16),
        ({}, 3, 3),
        (V2, 16, 2),
        ({"/sys/fs/cgroup/cpu.max": "max 100000"}, 16, 16),
        (V1, 16, 2),
        (V1 | {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"}, 5, 5),
        (V2, 1, 1),
    ],
)
def test_cores_are_those_of_affinity_and_quota(
    machine: Callable[[dict[str, str], int], None], files: dict[str, str], affinity: int, cores: int
) -> None:
    machine(files, affinity)
    assert available_cores() == cores


@pytest.mark.parametrize(
    ("omp", "world", "count"),
    [
        (None, None, 8),
        ("3", None, 3),
        ("32", None, 8),
        ("2,4", None, 2),
        (" 5 ", None, 5),
        ("", None, 8),
        ("0", None, 8),
        ("many", None, 8),
        ("-1", None, 8),
        (None, "4", 2),
        (None, "16", 1),
        ("1", "4", 1),
        ("6", "2", 4),
    ],
)
def test_threads_are_at_most_the_share_of_cores_and_omp_num_threads(
    monkeypatch: pytest.MonkeyPatch, omp: str | None, world: str | None, count: int
) -> None:
    monkeypatch.setattr(threads, "available_cores", lambda: 8)
    for name, value in (("OMP_NUM_THREADS", omp), ("LOCAL_WORLD_SIZE", world)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert usable_threads() == count


class Clock:
    """Time that passes by work alone: `cost` seconds a piece, by the number of threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cost: Callable[[int], float]) -> None:
        self.now, self.cost, self.threads = 0.0, cost, 1
        self.done: list[tuple[int, int]] = []
        monkeypatch.setattr(threads.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(torch, "set_num_threads", self.set)
        monkeypatch.setattr(torch, "get_num_threads", lambda: self.threads)

    def set(self, count: int) -> None:
        self.threads = count

    def work(self, piece: int) -> None:
        self.done.append((self.threads, piece))
        self.now += self.cost(self.threads)


@pytest.mark.parametrize(
    ("most", "counts"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 8, 12])]
)
def test_counts_take_turns_at_the_same_work(monkeypatch: pytest.MonkeyPatch, most: int, counts: list[int]) -> None:
    clock = Clock(monkeypatch, lambda count: 0.01 / count)
    clock.threads = 5
    times = time_threads(clock.work, most)
    assert times == pytest.approx({count: 0.01 / count for count in counts})
    assert clock.threads == 5
    pieces = {count: [piece for at, piece in clock.done if at == count] for count in counts}
    assert all(pieces[count] == pieces[most] for count in counts[1:])
    assert clock.now < 2.5
    assert fastest(times) == most


def test_work_of_long_pieces_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, lambda count: 20.0 if count == 2 else 4.0)
    assert time_threads(clock.work, 2) == {1: 4.0, 2: 20.0}
    assert [count for count, _ in clock.done].count(2) == 2


def test_a_single_disturbance_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    disturbed = iter([0.0] * 30 + [0.2] + [0.0] * 10_000)
    clock = Clock(monkeypatch, lambda count: 0.01 / count + next(disturbed))
    assert fastest(time_threads(clock.work, 2)) == 2


def test_of_equally_fast_counts_the_smallest_is_taken() -> None:
    assert fastest({1: 1.04, 2: 1.0, 4: 1.2}) == 1
    assert fastest({1: 1.06, 2: 1.0, 4: 0.99}) == 2
    assert fastest({1: 0.1, 2: 2.0}) == 1
    assert fastest({1: 4.0, 2: 2.0, 4: 1.0}) == 4
    assert fastest({1: 1.0}) == 1


def test_real_work_leaves_the_number_of_threads_as_it_was() -> None:
    a, before = torch.randn(64, 64), torch.get_num_threads()
    assert time_threads(lambda piece: a @ a, 2, seconds=0.05).keys() == {1, 2}
    with pytest.raises(ZeroDivisionError):
        time_threads(lambda piece: 1 // 0, 2)
    assert torch.get_num_threads() == before
