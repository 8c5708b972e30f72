"""Workers that each see one GPU. There is none here: torch is told of some, and workers only say what they see."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.execution import gpus
from lowland.execution import local as workers_module
from lowland.execution.local import Workers
from lowland.execution.outcome import LocalScorer
from lowland.execution.room import Room
from lowland.testing.processes import PrepareSeen, Seen

UUIDS = "GPU-8f6d2a6c, MIG-1b3e ,GPU-0a"


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch sees two GPUs."""
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(workers_module, "WORTH_SECONDS", 0.0)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("told", "names"),
    [(None, ["0", "1"]), ("3,5", ["3", "5"]), (UUIDS, ["GPU-8f6d2a6c", "MIG-1b3e"]), ("4,2,-1,3", ["4", "2"])],
)
def test_gpus_have_the_names_that_the_variable_gives_them(
    told: str | None, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if told is not None:
        monkeypatch.setenv(gpus.VISIBLE, told)
    assert gpus.visible() == names


@pytest.mark.usefixtures("two")
def test_room_and_who_shares_a_gpu() -> None:
    assert [gpus.places(share) for share in (2.0, 1.0, 0.5, 0.4, 0.3, 1 / 3, 0.1, 0.166)] == [1, 2, 4, 4, 6, 6, 20, 12]
    assert gpus.names(2, 1.0) == ["1", "0"]
    assert gpus.names(1, 1.0) == ["1"]
    assert gpus.names(3, 0.5) == ["1", "0", "1"]


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("size", "share", "sentence"),
    [
        (3, 1.0, r"search.workers=3 .* GPUs that this machine shows: 2, .*=1: 2; .* let 2 of .*gpus_per_worker=0.5"),
        (12, 0.5, r"search.workers=12 .* shows: 2, .*=0.5: 4; .* let 6 .*gpus_per_worker=0.166"),
        (2, 2.0, r"compute.gpus_per_worker=2 is more than the one GPU .* compute.executor=ray"),
    ],
)
def test_more_than_there_is_room_for_is_refused(size: int, share: float, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Workers(Room(size, gpus=share), PrepareSeen())


def test_without_a_gpu_they_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpus.visible() == []
    with pytest.raises(ConfigError, match="this machine shows no GPU"):
        Workers(Room(2, gpus=1.0), PrepareSeen())


def seen(workers: Workers, *, other_than: int | None = None) -> dict[int, Seen]:
    """What each of the workers sees, by its process."""
    found: dict[int, Seen] = {}
    deadline = time.monotonic() + 600
    place = 0
    while len(found) < workers.size:
        assert time.monotonic() < deadline
        genotypes = [Genotype("toy", (place, each)) for each in range(4)]
        local = LocalScorer(lambda _: SimpleNamespace(value=0.0, standard_error=None, details={}))
        for outcome in workers.scores("what do you see?", genotypes, local):
            if getattr(outcome, "details", None) and outcome.details["process"] != other_than:  # type: ignore[union-attr]
                told = Seen(**outcome.details)  # type: ignore[union-attr]
                found[told.process] = told
        place += 1
    return found


@pytest.fixture
def workers(two: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    """Of two GPUs that the user chose."""
    monkeypatch.setenv(gpus.VISIBLE, UUIDS)
    with Workers(Room(gpus=1.0), PrepareSeen()) as found:
        yield found


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_each_worker_sees_one_gpu_and_a_replaced_one_that_of_the_lost(workers: Workers) -> None:
    assert workers.size == 2
    before = seen(workers)
    assert sorted(each.visible for each in before.values()) == ["GPU-8f6d2a6c", "MIG-1b3e"]
    if hasattr(os, "sched_getaffinity"):
        assert {each.cores for each in before.values()} == {len(os.sched_getaffinity(0))}
    assert workers.facts()["gpus"] == 2
    victim = next(iter(before))
    os.kill(victim, signal.SIGKILL)
    after = seen(workers, other_than=victim)
    (new,) = set(after) - set(before)
    assert after[new].visible == before[victim].visible
    assert os.environ[gpus.VISIBLE] == UUIDS


@pytest.mark.usefixtures("two")
def test_two_share_a_gpu_where_each_has_half_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with Workers(Room(gpus=0.5), PrepareSeen()) as workers:
        assert workers.size == 2
        assert [each.visible for each in seen(workers).values()] == ["0", "0"]
        assert workers.facts()["gpus"] == 1
