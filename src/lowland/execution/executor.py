"""The executor: where scores are computed. Every executor gives the same rows, on any number of processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

from lowland.core.genotype import Genotype
from lowland.core.registry import EXECUTORS
from lowland.execution.outcome import LocalScorer, MeasuredScore, Outcome

MeasureFunction = Callable[[Any, Genotype], MeasuredScore]
"""(what to measure, genotype) → its score."""


class Executor(ABC):
    """Scores genotypes. Use it as a context manager, or close it.

    An executor has no settings of its own (no `Config`): how many processes there are is `search.workers` for all, and
    what scores depend on must be the same under every executor.

    Args:
        size: How many processes may score at a time.
        prepare: Called once in every process that scores; gives the function that measures there. It must be importable
            by name.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]

    def __init__(self, size: int, prepare: Callable[[], MeasureFunction]) -> None:
        self.size = size
        self._prepare = prepare

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
    def scores(
        self, request: Any, genotypes: Sequence[Genotype], local: LocalScorer, smaller: Any = None
    ) -> Generator[Outcome]:
        """The outcome of every genotype, in their order, each as soon as it is known; may be closed before the end.

        Args:
            request: What to measure; goes to the function that each process prepared.
            genotypes: What to score.
            local: Scores in this process as any other does.
            smaller: The request at half the batch, for a candidate over which memory ran short; None: there is none.

        Raises:
            LowlandError: A fault that is no single candidate's, as in `LocalScorer.score`; or memory that ran short
                twice over one candidate, the second time with nothing else being scored (`LocalScorer.again`).
        """

    def groups(
        self, request: Any, genotypes: Sequence[Genotype], local: LocalScorer, smaller: Any = None
    ) -> Generator[list[Outcome]]:
        """The outcomes of `scores` in lists: those together that are known together, so that one write keeps them."""
        for outcome in self.scores(request, genotypes, local, smaller):
            yield [outcome]

    def facts(self) -> dict[str, Any]:
        """How its workers stand: `alive`, `running`, `lost`, `retried`, `copied`, `rate` (per second); {}: none."""
        return {}


register = EXECUTORS.register
"""Class decorator: make an executor available by its `name` (`core.registry`)."""
