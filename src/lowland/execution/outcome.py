"""What scoring one genotype gives, and scoring it in this process.

Value types that every executor speaks: a measured score goes in, an outcome (scored or failed) comes out.
"""

from __future__ import annotations

import gc
import math
import time
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from lowland.core.errors import LowlandError, LowlandWarning
from lowland.core.genotype import Genotype
from lowland.core.memory import memory_short

_REASON_LENGTH = 300


class ScoringFailure(Exception):
    """One candidate could not be scored; the message is the reason, one line. The search goes on."""

    seconds: float = 0.0
    """Time spent on it."""


class Shortage(Exception):
    """One candidate was not scored now: memory ran short, or worker processes died over it; the message says which.

    That is no property of the candidate: it is tried once more, alone, and never archived as its failure.
    """

    seconds: float = 0.0
    """Time spent on it."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What scoring a genotype gave: value (greater is better, finite), its standard error, details, and time taken."""

    value: float
    standard_error: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


Outcome = Scored | ScoringFailure
"""What became of one genotype."""


@dataclass(frozen=True, kw_only=True)
class Gave:
    """What a task gave that is no scoring (`execution.tasks`): a value that travels between processes; time taken."""

    value: Any
    seconds: float = 0.0


Attempt = Outcome | Gave | Shortage
"""What became of one attempt to score a genotype, or at another task."""


class Scorer(Protocol):
    """Where scores come from: this process (`LocalScorer`) or what an executor gives."""

    def scores(self, genotypes: Sequence[Genotype]) -> Generator[Outcome]:
        """The outcome of every genotype in their order, each as soon as it is known; may be closed before the end."""


@runtime_checkable
class StreamScorer(Protocol):
    """A scorer that is given genotypes as they are made, and says which outcomes are known together."""

    def stream(self, more: Callable[[], Sequence[Genotype]]) -> Generator[list[Outcome]]:
        """Outcomes in the order of the genotypes, in lists of at least one; see `Executor.stream`."""


class MeasuredScore(Protocol):
    """What a measure returns: value, standard error and details."""

    @property
    def value(self) -> float:
        """The score, greater is better."""

    @property
    def standard_error(self) -> float | None:
        """Its standard error, where it was estimated."""

    @property
    def details(self) -> Mapping[str, Any]:
        """What else is worth keeping."""


class LocalScorer:
    """Scores genotypes in this process with a function, such as a measure bound to its supernet and images.

    A value that is NaN or infinite, and errors of value or arithmetic are this candidate's failure. Running out of
    memory (host or device) is nobody's: the candidate is tried once more, and then the search stops. Everything else
    (a bug, a setting, a stop, a lost accelerator) goes through.
    """

    def __init__(self, measure: Callable[[Genotype], MeasuredScore]) -> None:
        self._measure = measure

    def scores(self, genotypes: Sequence[Genotype]) -> Generator[Outcome]:
        """The outcome of every genotype, computed when it is asked for; raises as `score` does for a fault of all."""
        for genotype in genotypes:
            attempt = self.outcome(genotype)
            yield self.again(genotype, attempt) if isinstance(attempt, Shortage) else attempt

    def outcome(self, genotype: Genotype) -> Outcome | Shortage:
        """The score of `genotype`, or why it has none; raises as `score` does for a fault of all candidates."""
        start = time.perf_counter()
        try:
            return self.score(genotype)
        except (ScoringFailure, Shortage) as failure:
            failure.seconds = time.perf_counter() - start
            return failure

    def again(self, genotype: Genotype, first: Shortage) -> Outcome:
        """Score a candidate once more, with nothing else being scored, after a first attempt that ran short.

        Returns:
            The outcome.

        Raises:
            LowlandError: It ran short again. Nothing is recorded, so that the candidate is tried anew on resuming.
        """
        free_memory()
        found = settled(genotype, first, self.outcome(genotype))
        assert not isinstance(found, Gave)
        return found

    def score(self, genotype: Genotype) -> Scored:
        """Score a candidate.

        Returns:
            Its value, standard error, details and seconds.

        Raises:
            ScoringFailure: This candidate cannot be scored.
            Shortage: Memory ran short, which says nothing of the candidate.
            LowlandError: The accelerator failed, so that no candidate can be scored any more.
        """
        start = time.perf_counter()
        try:
            score = self._measure(genotype)
            value = float(score.value)
        except (RuntimeError, MemoryError, ValueError, ArithmeticError) as error:
            # torch.OutOfMemoryError is a RuntimeError.
            if _accelerator_lost(error):
                raise LowlandError(
                    f"the accelerator failed while scoring {genotype} ({line(error)}); every earlier score is kept: "
                    f"resume the run"
                ) from error
            raise (Shortage if memory_short(error) else ScoringFailure)(line(error)) from error
        if not math.isfinite(value):
            raise ScoringFailure(f"the measure gave {value}")
        error_of = score.standard_error
        return Scored(
            value=value,
            standard_error=None if error_of is None else float(error_of),
            details=score.details,
            seconds=time.perf_counter() - start,
        )


def settled(task: object, first: Shortage, second: Attempt) -> Outcome | Gave:
    """Decide by a second attempt at a genotype or another task, alone.

    Returns:
        What it gave.

    Warns:
        LowlandWarning: The first one ran short.

    Raises:
        LowlandError: The second one did, too.
    """
    done, batch = ("scored", "measure.batch_size") if isinstance(task, Genotype) else ("done", "the batch size")
    if isinstance(second, Shortage):
        raise LowlandError(
            f"{task} could not be {done}, not even alone ({second}): memory is short, or the machine ends its "
            f"processes; every earlier score is kept: free memory, or lower {batch} or search.workers, and "
            f"resume the run"
        )
    warnings.warn(
        f"{task} was {done} at the second attempt, alone, after the first one ran short ({first})",
        LowlandWarning,
        stacklevel=2,
    )
    return second


def free_memory() -> None:
    """Give back what nobody holds any more, on the host and on a GPU."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _accelerator_lost(error: BaseException) -> bool:
    """Whether a device error leaves the device unusable for the rest of the process, unlike running out of memory."""
    import torch

    return isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)


def line(error: BaseException) -> str:
    """An exception as one line of at most 300 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")[:_REASON_LENGTH]
