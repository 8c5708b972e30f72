"""Workers that are killed while they score, wait or start, or that are stopped: the same outcomes, nobody blamed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from lowland.core.genotype import Genotype
from lowland.execution import times
from lowland.execution.local import Workers
from lowland.execution.outcome import LocalScorer, Outcome, Scored
from lowland.execution.room import Room
from lowland.testing import processes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("eager_workers"),
    pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL"),
]

GENOTYPES = [Genotype("toy", (place % 5, place, 1)) for place in range(24)]


def values(outcomes: list[Outcome]) -> list[float]:
    assert all(isinstance(each, Scored) for each in outcomes)
    return [each.value for each in outcomes if isinstance(each, Scored)]


EXPECTED = [processes.value(genotype) for genotype in GENOTYPES]


def test_killed_at_every_third_candidate(tmp_path: Path) -> None:
    case, killed = processes.Case(tmp_path), set[int]()
    with Workers(Room(2), processes.Prepare()) as workers:
        found = []
        for place, outcome in enumerate(workers.scores(case, GENOTYPES, LocalScorer(case.score))):
            found.append(outcome)
            ready = [each for each in workers.processes if workers.dispatcher.knows(each) and each not in killed]
            if place % 3 == 2 and ready:
                os.kill(ready[0], signal.SIGKILL)
                killed.add(ready[0])
        assert values(found) == EXPECTED
        assert len(killed) >= 2
        assert workers.facts()["lost"] >= len(killed) - 2  # the last ones nobody waited for


def test_killed_while_they_start_and_while_they_wait(tmp_path: Path) -> None:
    case = processes.Case(tmp_path)
    with Workers(Room(2), processes.Prepare()) as workers:
        outcomes = workers.scores(case, GENOTYPES, LocalScorer(case.score))
        found = [next(outcomes), next(outcomes)]
        for process in workers.processes[1:]:
            os.kill(process, signal.SIGKILL)  # perhaps it starts still
        found += outcomes
        assert values(found) == EXPECTED
        for process in workers.processes:
            os.kill(process, signal.SIGKILL)  # all wait
        assert values(list(workers.scores(case, GENOTYPES, LocalScorer(case.score)))) == EXPECTED
        assert workers.facts()["retried"] <= workers.facts()["lost"]


def test_a_stopped_worker_is_passed_over_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(times, "IDLE_SECONDS", 0.5)
    case = processes.Case(tmp_path)
    with Workers(Room(2), processes.Prepare()) as workers:
        first = workers.scores(case, GENOTYPES, LocalScorer(case.score))
        assert values(list(first)) == EXPECTED
        deadline = time.monotonic() + 600  # a busy machine takes a minute to start one
        while workers.dispatcher.alive < 2:  # the other one still starts
            assert time.monotonic() < deadline
            list(workers.scores(case, GENOTYPES[:4], LocalScorer(case.score)))
        stopped = workers.processes[0]
        os.kill(stopped, signal.SIGSTOP)
        while stopped in workers.processes:
            assert time.monotonic() < deadline
            assert values(list(workers.scores(case, GENOTYPES, LocalScorer(case.score)))) == EXPECTED
        assert workers.facts()["copied"] >= 1
