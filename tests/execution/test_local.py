from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lowland.core.errors import DataError, LowlandError, LowlandWarning
from lowland.core.genotype import Genotype
from lowland.execution import local as workers_module
from lowland.execution.room import Room
from lowland.search import Archive, Evaluator, LocalScorer, Proposal, Scored, ScoringFailure, Workers
from lowland.testing import processes

PATIENCE = 600.0
"""Seconds: what hangs goes on for ever, and on a busy machine an interpreter alone may take a minute to start."""

GENOTYPES = [Genotype("toy", (place % 5, place, 1)) for place in range(24)]


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Start workers after the first candidate, and leave all further ones to them."""
    monkeypatch.setattr(workers_module, "WORTH_SECONDS", 0.0)


@pytest.fixture(scope="module")
def workers():
    """Two workers for all tests that leave them as they were."""
    with Workers(Room(2), processes.Prepare()) as found:
        yield found


def local(case: processes.Case) -> LocalScorer:
    return LocalScorer(case.score)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def ready(workers: Workers, folder: Path) -> set[int]:
    """Begin, and score in this process until all workers can take over; gives their process numbers."""
    deadline = time.monotonic() + PATIENCE
    while workers.dispatcher.alive < workers.size:
        assert time.monotonic() < deadline
        case = processes.Case(folder)
        list(workers.scores(case, [Genotype("toy", (0, 2, place)) for place in range(2)], local(case)))
    (folder / "log").unlink(missing_ok=True)
    return set(workers.processes)


def comparable(outcomes):
    return [
        (o.value, o.standard_error, {k: v for k, v in o.details.items() if k not in ("threads", "tensor")})
        if isinstance(o, Scored)
        else str(o)
        for o in outcomes
    ]


def test_work_that_is_known_to_come_starts_as_many_workers_as_it_keeps_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "WORTH_SECONDS", 5.0)
    case, counts = processes.Case(tmp_path), []
    with Workers(Room(3), processes.Prepare()) as pool:
        for seconds, tasks in ((4.0, 2), (6.0, 2), (0.0, 9)):
            pool.expect(seconds)
            outcomes = pool.scores(case, [Genotype("toy", (0, tasks, place)) for place in range(tasks)], local(case))
            next(outcomes)
            counts.append(len(pool.processes))
            list(outcomes)
    assert counts == [0, 2, 3]


def test_outcomes_are_those_of_one_process_in_order(workers: Workers, tmp_path: Path) -> None:
    case = processes.Case(tmp_path, "failure")
    alone = comparable(local(case).scores(GENOTYPES))
    pids = ready(workers, tmp_path)
    outcomes = list(workers.scores(case, GENOTYPES, local(case)))
    again = list(workers.scores(case, GENOTYPES[:3], local(case)))
    assert comparable(outcomes) == alone
    assert comparable(again) == alone[:3]
    assert sum(isinstance(o, ScoringFailure) for o in outcomes) == 5
    assert "ValueError: not finite" in alone
    assert outcomes[0].details == {"tensor": [1.5, 2.0], "threads": 1}
    rows = [line.split(" ", 2) for line in (tmp_path / "log").read_text().splitlines()]
    assert {int(pid) for pid, _, _ in rows} == pids, "both workers scored, and this process did not"
    assert sorted(genes for _, _, genes in rows) == sorted(str(g.genes) for g in [*GENOTYPES, *GENOTYPES[:3]])


@pytest.mark.parametrize(("fault", "error"), [("bug", TypeError), ("data", DataError)])
def test_bugs_and_faults_of_all_go_through_in_order(workers: Workers, tmp_path: Path, fault: str, error) -> None:
    case = processes.Case(tmp_path, fault)
    ready(workers, tmp_path)
    outcomes = workers.scores(case, GENOTYPES, local(case))
    assert [next(outcomes).value for _ in range(3)] == [processes.value(g) for g in GENOTYPES[:3]]
    with pytest.raises(error) as caught:
        next(outcomes)
    assert any("misbehave" in note for note in caught.value.__notes__)


def test_what_libraries_print_does_not_disturb(workers: Workers, tmp_path: Path) -> None:
    case = processes.Case(tmp_path, "print")
    ready(workers, tmp_path)
    outcomes = list(workers.scores(case, GENOTYPES[:6], local(case)))
    assert [o.value for o in outcomes] == [processes.value(g) for g in GENOTYPES[:6]]


def test_answers_to_an_abandoned_batch_are_not_taken_for_others(workers: Workers, tmp_path: Path) -> None:
    case = processes.Case(tmp_path)
    ready(workers, tmp_path)
    abandoned = workers.scores(case, GENOTYPES, local(case))
    assert next(abandoned).value == processes.value(GENOTYPES[0])
    abandoned.close()
    backwards = GENOTYPES[::-1]
    outcomes = list(workers.scores(case, backwards, local(case)))
    assert [o.value for o in outcomes] == [processes.value(g) for g in backwards]


@pytest.mark.slow
def test_a_killed_workers_candidate_gets_more_tries_the_last_alone(workers: Workers, tmp_path: Path) -> None:
    """Genotype 3 kills two workers and is scored by a third; no candidate is blamed."""
    case = processes.Case(tmp_path, "killed", times=2)
    ready(workers, tmp_path)
    with pytest.warns(LowlandWarning, match=r"2 worker processes died scoring it \(killed by SIGKILL\)"):
        outcomes = list(workers.scores(case, GENOTYPES[:8], local(case)))
    assert [o.value for o in outcomes] == [processes.value(g) for g in GENOTYPES[:8]]
    assert len((tmp_path / "faults").read_text()) == 2


@pytest.mark.slow
def test_a_candidate_that_kills_every_worker_stops_the_search_and_is_not_blamed(tmp_path: Path) -> None:
    case = processes.Case(tmp_path, "killed")
    with Workers(Room(2), processes.Prepare()) as workers:
        ready(workers, tmp_path)
        outcomes = workers.scores(case, GENOTYPES[:8], local(case))
        assert [next(outcomes).value for _ in range(3)] == [processes.value(g) for g in GENOTYPES[:3]]
        with pytest.raises(LowlandError, match=r"not even alone \(6 worker processes died scoring it"):
            next(outcomes)


@pytest.mark.parametrize("times", [1, 2])
def test_memory_short_in_a_worker_is_tried_again_alone(workers: Workers, tmp_path: Path, times: int) -> None:
    case = processes.Case(tmp_path, "memory", times=times)
    ready(workers, tmp_path)
    outcomes = workers.scores(case, GENOTYPES[:5], local(case))
    assert [next(outcomes).value for _ in range(3)] == [processes.value(g) for g in GENOTYPES[:3]]
    if times == 1:
        with pytest.warns(LowlandWarning, match="MemoryError"):
            assert [o.value for o in outcomes] == [processes.value(g) for g in GENOTYPES[3:5]]
    else:
        with pytest.raises(LowlandError, match="not even alone"):
            next(outcomes)


def test_workers_start_only_when_worth_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(workers_module, "WORTH_SECONDS", 1e6)
    case = processes.Case(tmp_path)
    with Workers(Room(2), processes.Prepare()) as workers:
        list(workers.scores(case, GENOTYPES, local(case)))
        assert not workers.processes


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [("data", DataError, "gone"), ("killed", LowlandError, "no worker process could start .*killed by SIGKILL")],
)
def test_workers_that_cannot_begin_say_why(tmp_path: Path, fault: str, error, message: str, monkeypatch) -> None:
    # The parent scores one and then waits: it must not be done before they have ended, however slowly they start.
    here = Workers._here
    monkeypatch.setattr(Workers, "_here", lambda self, *what: None if self._started else here(self, *what))
    case = processes.Case(tmp_path)
    with Workers(Room(1), processes.Prepare(fault)) as workers, pytest.raises(error, match=message):
        list(workers.scores(case, GENOTYPES, local(case)))


def test_a_stop_keeps_what_is_archived_and_leaves_no_process(tmp_path: Path, toy) -> None:
    case = processes.Case(tmp_path, "slow")
    proposals = [Proposal(Genotype("toy", (place % 5, place % 4, 1, 1, place)), 0, "random") for place in range(20)]

    class Parallel:
        def scores(self, genotypes):
            return workers.scores(case, genotypes, local(case))

    def score_three(archive: Archive, pids: set[int]) -> None:
        for index, _ in enumerate(Evaluator(toy, Parallel(), archive, "m", toy.cost)(proposals)):
            for process in pids:
                os.kill(process, signal.SIGTERM)  # as a job manager does to the whole group
            if index == 2:  # the fourth candidate would take a minute
                raise KeyboardInterrupt

    with Archive(tmp_path / "a.sqlite") as archive:
        with Workers(Room(2), processes.Prepare()) as workers:
            pids = ready(workers, tmp_path)
            began = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                score_three(archive, pids)
        assert time.monotonic() - began < 60, "it was not waited for"
        assert not any(alive(process) for process in pids)
        assert [c.genotype for c in archive.candidates(order="created")] == [p.genotype for p in proposals[:3]]


ORPHANS = """
import os, sys, time
from pathlib import Path
from lowland.core.genotype import Genotype
from lowland.execution import local
from lowland.execution.outcome import LocalScorer
from lowland.execution.room import Room
from lowland.testing import processes

if __name__ == "__main__":
    local.WORTH_SECONDS = 0.0
    folder = Path(sys.argv[1])
    workers = local.Workers(Room(2), processes.Prepare())
    case = processes.Case(folder)
    while workers.dispatcher.alive < workers.size:
        list(workers.scores(case, [Genotype("toy", (0, 2, place)) for place in range(2)], LocalScorer(case.score)))
    (folder / "pids").write_text(" ".join(map(str, workers.processes)))
    slow = processes.Case(folder, "slow")
    list(workers.scores(slow, [Genotype("toy", (3, 0, place)) for place in range(8)], LocalScorer(slow.score)))
"""


@pytest.mark.skipif(os.name != "posix", reason="asks for processes by number")
def test_workers_end_when_their_parent_was_killed_while_they_score(tmp_path: Path) -> None:
    (tmp_path / "orphans.py").write_text(ORPHANS)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "orphans.py"), str(tmp_path)])
    deadline = time.monotonic() + PATIENCE
    while not (tmp_path / "faults").exists():  # a slow candidate is being scored
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    deadline = time.monotonic() + 40  # before the slow candidate is done
    while any(map(alive, pids)):
        assert time.monotonic() < deadline, "orphans live on"
        time.sleep(0.05)
