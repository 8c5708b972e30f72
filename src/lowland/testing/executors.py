"""The conformance suite of executors."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from lowland.core.errors import DataError, LowlandWarning
from lowland.core.files import plain
from lowland.core.genotype import Genotype
from lowland.core.registry import EXECUTORS
from lowland.core.threads import threads_of
from lowland.execution.executor import Executor
from lowland.execution.outcome import Gave, LocalScorer, Outcome, Scored, ScoringFailure
from lowland.execution.room import Room
from lowland.execution.tasks import LocalTasks
from lowland.testing.processes import Case, Link, Linked, Prepare, PrepareLinks, value

GENOTYPES = [Genotype("toy", (place % 5, place, 1)) for place in range(12)]


class ExecutorSuite:
    """Every promise of `Executor`, as tests of one of them.

        class TestMine(ExecutorSuite):
            name = "mine"

    What is scored comes from `lowland.testing.processes`, which processes of any executor can import.

    Attributes:
        name: Of the executor, which must be registered when the test runs.
        kills: Whether its workers are processes that a candidate can end without ending the test.
    """

    name: ClassVar[str]
    kills: ClassVar[bool] = False

    def executor(self, size: int) -> Executor:
        """One with `size` processes."""
        made: Executor = EXECUTORS.load(self.name)(Room(size), Prepare())
        return made

    def chained(self, case: Case, size: int) -> list[list[object]]:
        """What the tasks of four chains of 1, 2, 3, 4 tasks gave, each in its order."""
        links = [Link(case, Genotype("toy", (place, place, 1)), left=place) for place in range(4)]
        found: list[list[object]] = [[] for _ in links]
        heard: list[list[object]] = [[] for _ in links]
        at = list(links)

        def following(chain: int, given: Gave | ScoringFailure) -> Link | None:
            heard[chain].append(given.value if isinstance(given, Gave) else str(given))
            after = at[chain].next() if isinstance(given, Gave) else None
            at[chain] = after or at[chain]
            return after

        here = Linked()
        made: Executor = EXECUTORS.load(self.name)(Room(size, threads=2), PrepareLinks())
        with made as executor, threads_of(2):
            for chain, given in executor.chains("ask", links, following, LocalTasks(lambda task: here("ask", task))):
                found[chain].append(given.value if isinstance(given, Gave) else str(given))
        assert found == heard
        return found

    @pytest.mark.parametrize("size", [1, 2, 5])
    def test_chains_give_what_they_give_in_the_calling_process(self, size: int, tmp_path: Path) -> None:
        assert self.chained(Case(tmp_path), size) == CHAINED

    def test_chains_may_be_added_while_others_are_under_way(self, tmp_path: Path) -> None:
        first, second = (Link(Case(tmp_path), Genotype("toy", (place, place, 1)), left=place) for place in (3, 1))
        at, here = {0: first, 1: second}, Linked()

        def following(chain: int, given: Gave | ScoringFailure) -> Link | None:
            after = at[chain].next()
            at[chain] = after or at[chain]
            return after

        made: Executor = EXECUTORS.load(self.name)(Room(2, threads=2), PrepareLinks())
        with made as executor, threads_of(2):
            under_way = executor.open_chains(following, LocalTasks(lambda task: here("ask", task)))
            assert (under_way.left, under_way.turn()) == (0, [])
            assert under_way.add("ask", first) == 0
            found = under_way.turn()
            assert found
            assert under_way.add("ask", second) == 1
            found += under_way.turn(wait=False)
            while under_way.left:
                found += under_way.turn()
        for chain, place in ((0, 3), (1, 1)):
            assert [given.value for of, given in found if of == chain and isinstance(given, Gave)] == CHAINED[place]

    def test_a_chain_survives_memory_that_is_short_once_and_lost_workers(self, tmp_path: Path) -> None:
        fault = "killed" if self.kills else "memory"
        with pytest.warns(LowlandWarning, match="alone, after the first one ran short"):
            assert self.chained(Case(tmp_path, fault, times=2 if self.kills else 1), 2) == CHAINED

    def test_a_chain_ends_where_its_task_crashes_workers(self, tmp_path: Path) -> None:
        if not self.kills:
            pytest.skip("its workers cannot be ended")
        found = self.chained(Case(tmp_path, "crash"), 2)
        assert found[:3] == CHAINED[:3]
        assert [str(each)[:37] for each in found[3]] == ["2 worker processes crashed doing it ("]

    def test_a_fault_of_a_task_is_one_of_all(self, tmp_path: Path) -> None:
        with pytest.raises(DataError):
            self.chained(Case(tmp_path, "data"), 2)

    def test_registered_under_its_name(self) -> None:
        of = EXECUTORS.load(self.name)
        assert of.name == self.name
        assert of.summary
        assert of.source

    @pytest.mark.parametrize("size", [1, 2, 5])
    def test_rows_are_those_of_the_calling_process_in_order(self, size: int, tmp_path: Path) -> None:
        case = Case(tmp_path, "failure")
        local = LocalScorer(case.score)
        expected = [row(outcome) for outcome in local.scores(GENOTYPES)]
        assert {status for status, *_ in expected} == {"scored", "failed"}
        with self.executor(size) as executor:
            assert [row(outcome) for outcome in executor.scores(case, GENOTYPES, local)] == expected
            assert [row(outcome) for outcome in executor.scores(case, GENOTYPES[::-1], local)] == expected[::-1]
            assert list(executor.scores(case, [], local)) == []

    @pytest.mark.parametrize("size", [1, 2, 5])
    def test_genotypes_made_while_others_are_scored_come_back_in_order(self, size: int, tmp_path: Path) -> None:
        """The first three are there at once, each further one when an earlier one is known."""
        case = Case(tmp_path, "failure")
        local = LocalScorer(case.score)
        expected = [row(outcome) for outcome in local.scores(GENOTYPES)]
        made, found = 0, list[object]()

        def more() -> list[Genotype]:
            nonlocal made
            before, made = made, min(len(found) + 3, len(GENOTYPES))
            return GENOTYPES[before:made]

        with self.executor(size) as executor:
            for group in executor.stream(case, more, local):
                found += map(row, group)
        assert found == expected

    def test_a_batch_may_be_closed_before_its_end_and_an_executor_twice(self, tmp_path: Path) -> None:
        case = Case(tmp_path)
        local = LocalScorer(case.score)
        executor = self.executor(2)
        outcomes = executor.scores(case, GENOTYPES, local)
        assert next(outcomes).value == value(GENOTYPES[0])
        outcomes.close()
        (last,) = executor.scores(case, GENOTYPES[-1:], local)
        assert last.value == value(GENOTYPES[-1])
        executor.close()
        executor.close()

    def test_a_fault_of_all_candidates_goes_through(self, tmp_path: Path) -> None:
        case = Case(tmp_path, "data")
        with self.executor(2) as executor:
            outcomes = executor.scores(case, GENOTYPES, LocalScorer(case.score))
            assert [next(outcomes).value for _ in range(3)] == [value(each) for each in GENOTYPES[:3]]
            with pytest.raises(DataError):
                next(outcomes)

    def test_memory_that_was_short_once_is_no_candidates_failure(self, tmp_path: Path) -> None:
        case = Case(tmp_path, "memory", times=1)
        with self.executor(2) as executor, pytest.warns(LowlandWarning, match="second attempt, alone"):
            found = [row(outcome) for outcome in executor.scores(case, GENOTYPES, LocalScorer(case.score))]
        assert [each[:2] for each in found] == [("scored", value(genotype)) for genotype in GENOTYPES]

    def test_lost_workers_are_no_candidates_failure(self, tmp_path: Path) -> None:
        if not self.kills:
            pytest.skip("its workers cannot be ended")
        case, few = Case(tmp_path, "killed", times=2), GENOTYPES[:8]  # one of them ends two workers
        with self.executor(2) as executor:
            with pytest.warns(LowlandWarning, match="2 worker processes died scoring it"):
                found = [row(outcome) for outcome in executor.scores(case, few, LocalScorer(case.score))]
            assert executor.facts()["lost"] == 2
        assert [each[:2] for each in found] == [("scored", value(genotype)) for genotype in few]

    def test_two_crashes_of_its_own_fail_a_candidate(self, tmp_path: Path) -> None:
        if not self.kills:
            pytest.skip("its workers cannot be ended")
        case, few = Case(tmp_path, "crash"), GENOTYPES[:8]
        with self.executor(2) as executor:
            found = [row(outcome) for outcome in executor.scores(case, few, LocalScorer(case.score))]
        status, reason = found.pop(3)
        assert status == "failed"
        assert str(reason).startswith("2 worker processes crashed scoring it (")
        assert [each[:2] for each in found] == [("scored", value(genotype)) for genotype in few[:3] + few[4:]]

    def test_a_bug_goes_through_and_is_no_candidates_failure(self, tmp_path: Path) -> None:
        case = Case(tmp_path, "bug")
        with self.executor(2) as executor:
            outcomes = executor.scores(case, GENOTYPES, LocalScorer(case.score))
            assert [next(outcomes).value for _ in range(3)] == [value(each) for each in GENOTYPES[:3]]
            with pytest.raises(TypeError):
                next(outcomes)


CHAINED: list[list[object]] = [
    [("ask", value(Genotype("toy", (place, place + step, 1))), 2) for step in range(place + 1)] for place in range(4)
]
"""What `ExecutorSuite.chained` gives."""


def row(outcome: Outcome) -> tuple[object, ...]:
    """All of an outcome that a search keeps, but the time it took; equal to the last bit."""
    if isinstance(outcome, Scored):
        return "scored", outcome.value, outcome.standard_error, plain(outcome.details)
    return "failed", str(outcome)
