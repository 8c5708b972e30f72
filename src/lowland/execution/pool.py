"""A pool of workers: what executors of several processes share is the dispatcher, and the loop that carries it out.

An executor is a `Pool` with a transport: how a worker starts, is given a candidate, is heard and ended.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from lowland.core.errors import LowlandError
from lowland.core.genotype import Genotype
from lowland.execution.chains import Chains, Following
from lowland.execution.dispatch import Dispatcher
from lowland.execution.executor import Executor, MeasureFunction
from lowland.execution.outcome import Attempt, Gave, LocalScorer, Outcome, ScoringFailure, Shortage, settled
from lowland.execution.room import Room
from lowland.execution.tasks import LocalTasks, TaskFunction
from lowland.execution.tickets import Ending, Settled

STARTS = 3
"""Workers that may fail to start one after another, before the search stops."""


@dataclass(frozen=True)
class Ready:
    """A worker can be given candidates; workers of one host share its memory."""

    worker: Hashable
    host: Hashable


@dataclass(frozen=True)
class Answer:
    """What a worker's candidate came to, or the error that is no single candidate's."""

    worker: Hashable
    ticket: int
    found: Attempt | BaseException


@dataclass(frozen=True)
class Lost:
    """A worker is gone."""

    worker: Hashable
    ending: Ending


@dataclass(frozen=True)
class Broken:
    """A worker could not prepare, for a reason that holds for all."""

    error: BaseException


Event = Ready | Answer | Lost | Broken
"""What is heard of workers."""


class Pool(Executor):
    """Scores genotypes by workers; subclasses say how one is reached."""

    def __init__(self, room: Room, prepare: Callable[[], MeasureFunction | TaskFunction]) -> None:
        super().__init__(room, prepare)
        self.dispatcher = Dispatcher()
        self._began = self._now()
        self._failed_starts = 0

    # --- the transport -----------------------------------------------------------------------------------------------

    @abstractmethod
    def _open(self, left: int) -> None:
        """Start the workers, unless they have started or are not worth it for the `left` candidates of a batch."""

    @abstractmethod
    def _replace(self, worker: Hashable) -> None:
        """Start a worker in the place of one that is gone."""

    @abstractmethod
    def _give(self, worker: Hashable, ticket: int, request: Any, genotype: Any) -> None:
        """Ask a worker for a score, or give it another task; if it is gone that is heard."""

    @abstractmethod
    def _hear(self, seconds: float | None) -> list[Event]:
        """What was heard; waits for something for so many seconds at most (None: as long as it takes)."""

    @abstractmethod
    def _end(self, worker: Hashable) -> None:
        """End a worker that does not answer, at once; that it is gone is heard."""

    @property
    @abstractmethod
    def _starting(self) -> int:
        """Workers that have been started and are not ready yet."""

    def _here(self, local: LocalScorer | LocalTasks, genotype: Any) -> Attempt | None:
        """Score in this process what no worker can take yet; None where this process does not score."""
        return None

    @property
    def _gpus_in_use(self) -> float:
        """GPUs of the workers that are ready, all together."""
        return round(self.dispatcher.alive * self.room.gpus, 3)

    def _now(self) -> float:
        return time.monotonic()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """How its workers stand; see `Executor.facts`."""
        counts, elapsed = self.dispatcher.counts, max(1e-9, self._now() - self._began)
        return {
            "alive": self.dispatcher.alive,
            **({"gpus": self._gpus_in_use} if self.room.gpus else {}),
            "running": self.dispatcher.running,
            "lost": counts.lost,
            "retried": counts.retried,
            "copied": counts.copied,
            "rate": round(counts.answered / elapsed, 3),
        }

    def scores(self, request: Any, genotypes: Sequence[Genotype], local: LocalScorer) -> Generator[Outcome]:
        """The outcome of every genotype; see `Executor.scores`."""
        batches = iter([genotypes])
        for group in self.stream(request, lambda: next(batches, ()), local):
            yield from group

    def stream(
        self, request: Any, more: Callable[[], Sequence[Genotype]], local: LocalScorer
    ) -> Generator[list[Outcome]]:
        """Score genotypes as they are made; see `Executor.stream`.

        Args:
            request: What to measure; goes to the function that each worker prepared.
            more: Genotypes made since it was last called.
            local: Scores as a worker does.

        Yields:
            Outcomes in the order of the genotypes, at least one.

        Raises:
            LowlandError: No worker could start, or as `LocalScorer.score`.
        """
        genotypes: list[Genotype] = []
        self.dispatcher.begin(0, request)
        done, heard = 0, False
        while True:
            for genotype in more():
                genotypes.append(genotype)
                self.dispatcher.extend()
            if done == len(genotypes):
                return
            self._open(len(genotypes) - done)
            if not heard:
                self._take_in(self._hear(0.0))
            for each in self.dispatcher.assignments(self._now()):
                self._give(each.worker, each.ticket, request, genotypes[each.index])
            group, fault = self._group(genotypes)
            done += len(group)
            if group:
                yield group
            if fault is not None:
                raise fault
            heard = not group and self._proceed(done, genotypes, local)

    def _group(self, genotypes: Sequence[Genotype]) -> tuple[list[Outcome], BaseException | None]:
        """Outcomes that are known next; and an error that comes after them."""
        group: list[Outcome] = []
        for index, each in self.dispatcher.settled():
            try:
                found = conclusion(genotypes[index], each)
                assert not isinstance(found, Gave)
                group.append(found)
            except BaseException as fault:
                return group, fault
        return group, None

    def open_chains(self, following: Following, local: LocalTasks) -> Chains:
        """Chains of tasks whose tasks are handed out in turn; see `Executor.open_chains`."""
        return _UnderWay(self, following, local)

    def _proceed(self, index: int, genotypes: Sequence[Any], local: LocalScorer | LocalTasks) -> bool:
        """Score the candidate that is wanted next here where no worker can take it, or wait for workers.

        Returns:
            Whether all that workers have said by now was heard.
        """
        if self.dispatcher.take(index):
            found = self._here(local, genotypes[index])
            if isinstance(found, Shortage):
                self.dispatcher.settle(index, local.again(genotypes[index], found))
                return False
            if found is not None:
                self.dispatcher.settle(index, found)
                return False
            self.dispatcher.give_back(index)
        now, wake = self._now(), self.dispatcher.wake()
        self._take_in(self._hear(None if wake is None else max(0.0, wake - now)))
        self._end_stuck()
        return True

    def _end_stuck(self) -> None:
        for worker in self.dispatcher.stuck(self._now()):
            self._end(worker)

    def _take_in(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Ready):
                self._failed_starts = 0
                self.dispatcher.join(event.worker, event.host)
            elif isinstance(event, Answer):
                self.dispatcher.answered(event.worker, event.ticket, event.found, self._now())
            elif isinstance(event, Lost):
                self._lost(event)
            else:
                raise event.error

    def _lost(self, event: Lost) -> None:
        was_ready = self.dispatcher.knows(event.worker)
        self.dispatcher.lost(event.worker, event.ending)
        self._failed_starts += not was_ready
        if was_ready or self._failed_starts < STARTS:
            self._replace(event.worker)
        elif not self.dispatcher.alive and not self._starting:
            raise LowlandError(
                f"no worker process could start (the last one: {event.ending.how}); every earlier score is kept: lower "
                f"search.workers, or set it to 1, and resume the run"
            )


class _UnderWay(Chains):
    """Chains of tasks at the workers of a pool."""

    def __init__(self, pool: Pool, following: Following, local: LocalTasks) -> None:
        super().__init__(following, local)
        self._pool = pool
        self._tasks: list[Any] = []
        self._chain: list[int] = []
        self._requests: list[Any] = []
        self._left = 0
        self._fault: BaseException | None = None
        pool.dispatcher.begin(0, Chains, "doing")

    def add(self, request: Any, task: Any) -> int:
        """One more chain; see `Chains.add`."""
        self._requests.append(request)
        self._left += 1
        self._append(len(self._requests) - 1, task)
        return len(self._requests) - 1

    def _append(self, chain: int, task: Any) -> None:
        self._pool.dispatcher.extend(self._requests[chain])
        self._tasks.append(task)
        self._chain.append(chain)

    @property
    def left(self) -> int:
        """Chains that are not at their end."""
        return self._left

    def turn(self, *, wait: bool = True) -> list[tuple[int, Gave | ScoringFailure]]:
        """Take in answers and hand out tasks; see `Chains.turn`."""
        pool, heard = self._pool, False
        while self._left:
            if self._fault is not None:
                raise self._fault
            pool._open(self._left)
            if not heard:
                pool._take_in(pool._hear(0.0))
            self._hand_out()
            given = self._given()
            if given:
                self._hand_out()  # before the caller does anything else
                return given
            if self._fault is not None:
                raise self._fault
            if not wait:
                pool._end_stuck()
                return []
            heard = pool._proceed(pool.dispatcher.wanted, self._tasks, self.local)
        return []

    def _given(self) -> list[tuple[int, Gave | ScoringFailure]]:
        """What was given since the last time; what follows is made of it."""
        given: list[tuple[int, Gave | ScoringFailure]] = []
        for index, come_to in self._pool.dispatcher.settled_in_any_order():
            chain = self._chain[index]
            try:
                found = conclusion(self._tasks[index], come_to)
            except BaseException as fault:
                self._fault = self._fault or fault
                continue
            assert isinstance(found, Gave | ScoringFailure)
            given.append((chain, found))
            after, self._tasks[index] = self.following(chain, found), None
            if after is None:
                self._left -= 1
            else:
                self._append(chain, after)
        return given

    def _hand_out(self) -> None:
        pool = self._pool
        for each in pool.dispatcher.assignments(pool._now()):
            pool._give(each.worker, each.ticket, self._requests[self._chain[each.index]], self._tasks[each.index])


def conclusion(genotype: object, found: Settled) -> Outcome | Gave:
    """What a settled candidate, or other task, comes to.

    Returns:
        Its outcome.

    Raises:
        LowlandError: It ran short again, or too many workers were lost over it; nothing is recorded.
        BaseException: A fault of all candidates, as it was raised where it was scored.
    """
    if isinstance(found.found, BaseException) and not isinstance(found.found, ScoringFailure | Shortage):
        raise found.found
    if found.first is not None or isinstance(found.found, Shortage):
        first = found.first or found.found
        assert isinstance(first, Shortage)
        return settled(genotype, first, found.found)
    return found.found
