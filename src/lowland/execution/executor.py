"""The executor: where scores are computed. Every executor gives the same rows, on any number of processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

from lowland.core.genotype import Genotype
from lowland.core.registry import EXECUTORS
from lowland.core.threads import available_cores
from lowland.execution.chains import Chains, Following, InTurn
from lowland.execution.outcome import Gave, LocalScorer, MeasuredScore, Outcome, ScoringFailure
from lowland.execution.room import Room
from lowland.execution.tasks import LocalTasks, TaskFunction

MeasureFunction = Callable[[Any, Genotype], MeasuredScore]
"""(what to measure, genotype) → its score."""


class Executor(ABC):
    """Scores genotypes. Use it as a context manager, or close it.

    An executor has no settings of its own (no `Config`): how many processes there are is `search.workers` for all, and
    what scores depend on must be the same under every executor.

    Attributes:
        everywhere: Whether it takes the place of the calling process however many workers there are, on any device:
            its workers may be on other machines, which see none of this one's files.

    Args:
        room: How many processes may compute at a time, and what each of them gets.
        prepare: Called once in every process that scores; gives the function that measures there. It must be importable
            by name.

    Its `room` is that, and its `size` the number of processes.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    everywhere: ClassVar[bool] = False

    def __init__(self, room: Room, prepare: Callable[[], MeasureFunction | TaskFunction]) -> None:
        self.room = room
        self.size = room.size or max(1, available_cores() // room.threads)
        self._prepare = prepare

    @classmethod
    def require(cls) -> None:
        """Raise ConfigError where it cannot be used here, before anything is written."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds, at once where something is being scored; calling it again does nothing."""

    @abstractmethod
    def scores(self, request: Any, genotypes: Sequence[Genotype], local: LocalScorer) -> Generator[Outcome]:
        """The outcome of every genotype, in their order, each as soon as it is known; may be closed before the end.

        Args:
            request: What to measure; goes to the function that each process prepared.
            genotypes: What to score.
            local: Scores in this process as any other does.

        Raises:
            LowlandError: A fault that is no single candidate's, as in `LocalScorer.score`; or memory that ran short
                twice over one candidate, the second time with nothing else being scored (`LocalScorer.again`).
        """

    def stream(
        self, request: Any, more: Callable[[], Sequence[Genotype]], local: LocalScorer
    ) -> Generator[list[Outcome]]:
        """Score genotypes that are made while others are being scored, so that nobody waits for a batch's last one.

        An executor that has no way of its own takes what is there as a batch, and then what has been made since.

        Args:
            request: What to measure, as in `scores`.
            more: Genotypes made since it was last called, perhaps none: further ones may follow what is yielded.
            local: Scores in this process as any other does.

        Yields:
            Outcomes in the order of the genotypes, those together that are known together, so that one write keeps
            them. It ends where nothing is being scored and there is no more.

        Raises:
            LowlandError: As in `scores`.
        """
        while batch := more():
            for outcome in self.scores(request, batch, local):
                yield [outcome]

    def expect(self, seconds: float) -> None:
        """Say that work of so many seconds is known to come, before any was timed: workers may be started for it."""
        del seconds

    def open_chains(self, following: Following, local: LocalTasks) -> Chains:
        """Chains of tasks, side by side, none yet. An executor that has no way of its own carries them out here.

        Args:
            following: (chain, what its last task came to) → its next task, or None.
            local: Carries out a task in this process.

        Returns:
            The chains, to which more may be added at any time; the executor does nothing else meanwhile.
        """
        return InTurn(following, local)

    def chains(
        self, request: Any, first: Sequence[Any], following: Following, local: LocalTasks
    ) -> Generator[tuple[int, Gave | ScoringFailure]]:
        """Carry out chains of tasks of one kind to their ends; see `Chains`.

        Args:
            request: What kind of task; goes to the function that each process prepared, a `TaskFunction`.
            first: The first task of each chain.
            following: Called here for everything that a task gave, before it is yielded.
            local: Carries out a task in this process.

        Yields:
            Number of the chain, and what its task gave; a failure where worker processes crashed over it.

        Raises:
            LowlandError: A fault that is no single task's, as in `scores`.
        """
        under_way = self.open_chains(following, local)
        for task in first:
            under_way.add(request, task)
        while under_way.left:
            yield from under_way.turn()

    def facts(self) -> dict[str, Any]:
        """How its workers stand: `alive`, `running`, `lost`, `retried`, `copied`, `rate` (per second); {}: none."""
        return {}


register = EXECUTORS.register
"""Class decorator: make an executor available by its `name` (`core.registry`)."""
