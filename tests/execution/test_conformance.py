"""What every executor promises: the same rows in the same order, on any number of processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import worker_toys

from lowland.core.errors import DataError
from lowland.core.files import plain
from lowland.core.genotype import Genotype
from lowland.core.registry import EXECUTORS
from lowland.execution import local as local_module
from lowland.execution.outcome import LocalScorer, Outcome, Scored

GENOTYPES = [Genotype("toy", (place % 5, place, 1)) for place in range(12)]

every_executor = pytest.mark.parametrize("name", EXECUTORS.names())
any_number = pytest.mark.parametrize("size", [1, 2, 3])


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start worker processes after the first candidate, and wait for them instead of scoring in this process."""
    monkeypatch.setattr(local_module, "WORTH_SECONDS", 0.0)
    hear = local_module.Workers._hear

    def patient(self: local_module.Workers, batch: object, *, wait: bool) -> bool:
        return hear(self, batch, wait=wait or self._started)  # type: ignore[arg-type]

    monkeypatch.setattr(local_module.Workers, "_hear", patient)


def row(outcome: Outcome) -> tuple[object, ...]:
    """All of an outcome that a search keeps, but the time it took."""
    if isinstance(outcome, Scored):
        return "scored", outcome.value, outcome.standard_error, plain(outcome.details)
    return "failed", str(outcome)


@every_executor
@any_number
def test_rows_are_those_of_the_calling_process_in_order(name: str, size: int, tmp_path: Path) -> None:
    case = worker_toys.Case(tmp_path, "failure")
    local = LocalScorer(case.judge)
    expected = [row(outcome) for outcome in local.scores(GENOTYPES)]
    assert {status for status, *_ in expected} == {"scored", "failed"}
    with EXECUTORS.load(name)(size, worker_toys.Prepare()) as executor:
        assert [row(outcome) for outcome in executor.scores(case, GENOTYPES, local)] == expected
        assert [row(outcome) for outcome in executor.scores(case, GENOTYPES[::-1], local)] == expected[::-1]
        assert list(executor.scores(case, [], local)) == []


@every_executor
def test_a_batch_may_be_closed_before_its_end_and_an_executor_twice(name: str, tmp_path: Path) -> None:
    case = worker_toys.Case(tmp_path)
    local = LocalScorer(case.judge)
    executor = EXECUTORS.load(name)(2, worker_toys.Prepare())
    outcomes = executor.scores(case, GENOTYPES, local)
    assert next(outcomes).value == worker_toys.value(GENOTYPES[0])
    outcomes.close()
    (last,) = executor.scores(case, GENOTYPES[-1:], local)
    assert last.value == worker_toys.value(GENOTYPES[-1])
    executor.close()
    executor.close()


@every_executor
def test_a_fault_of_all_candidates_goes_through(name: str, tmp_path: Path) -> None:
    case = worker_toys.Case(tmp_path, "data")
    with EXECUTORS.load(name)(2, worker_toys.Prepare()) as executor:
        outcomes = executor.scores(case, GENOTYPES, LocalScorer(case.judge))
        assert [next(outcomes).value for _ in range(3)] == [worker_toys.value(each) for each in GENOTYPES[:3]]
        with pytest.raises(DataError):
            next(outcomes)
