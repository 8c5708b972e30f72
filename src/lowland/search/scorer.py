"""Scoring candidates: once each, durably, and with a candidate's failure kept from stopping the search."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lowland.errors import LowlandError
from lowland.genotype import Genotype
from lowland.search.archive import Archive, Candidate

if TYPE_CHECKING:
    from lowland.spaces.space import Cost, Space

PATIENCE = 20
"""When every one of this many first candidates fails, it is not the candidates' fault and the search stops."""

_REASON_LENGTH = 300


class Proposal(NamedTuple):
    """A genotype to be scored: which generation of the search proposed it, and how (`random`, `mutation`, …)."""

    genotype: Genotype
    generation: int
    origin: str


class ScoringFailure(Exception):
    """One candidate could not be scored; the message is the reason, one line. The search goes on."""

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


class Scorer(Protocol):
    """Where scores come from: this process (`LocalScorer`) or several (`workers.Workers`)."""

    def scores(self, genotypes: Sequence[Genotype]) -> Generator[Outcome]:
        """The outcome of every genotype in their order, each as soon as it is known; may be closed before the end."""


class Judgement(Protocol):
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

    A value that is NaN or infinite, running out of memory (host or device), and errors of value or arithmetic are this
    candidate's failure. Everything else (a bug, a setting, a stop, a lost accelerator) goes through.
    """

    def __init__(self, judge: Callable[[Genotype], Judgement]) -> None:
        self._judge = judge

    def scores(self, genotypes: Sequence[Genotype]) -> Generator[Outcome]:
        """The outcome of every genotype, computed when it is asked for; raises as `score` does for a fault of all."""
        for genotype in genotypes:
            yield self.outcome(genotype)

    def outcome(self, genotype: Genotype) -> Outcome:
        """The score of `genotype`, or why it has none; raises as `score` does for a fault of all candidates."""
        start = time.perf_counter()
        try:
            return self.score(genotype)
        except ScoringFailure as failure:
            failure.seconds = time.perf_counter() - start
            return failure

    def score(self, genotype: Genotype) -> Scored:
        """The score of `genotype`.

        Raises:
            ScoringFailure: This candidate cannot be scored.
            LowlandError: The accelerator failed, so that no candidate can be scored any more.
        """
        start = time.perf_counter()
        try:
            judgement = self._judge(genotype)
            value = float(judgement.value)
        except (RuntimeError, MemoryError, ValueError, ArithmeticError) as error:
            # torch.OutOfMemoryError is a RuntimeError.
            if _accelerator_lost(error):
                raise LowlandError(
                    f"the accelerator failed while scoring {genotype} ({_line(error)}); every earlier score is kept: "
                    f"resume the run"
                ) from error
            raise ScoringFailure(_line(error)) from error
        if not math.isfinite(value):
            raise ScoringFailure(f"the measure gave {value}")
        error_of = judgement.standard_error
        return Scored(
            value=value,
            standard_error=None if error_of is None else float(error_of),
            details=judgement.details,
            seconds=time.perf_counter() - start,
        )


class Evaluator:
    """Turns proposed genotypes into candidates: from the archive where their function was scored before, else scored.

    Args:
        space: Gives the isomorphism key.
        scorer: Gives the scores.
        archive: Keeps them. A candidate is in it, durably, before it is returned.
        measure: Full identity of the measure, settings included.
        cost: Size of the delivered network of a genotype.
    """

    def __init__(
        self, space: Space, scorer: Scorer, archive: Archive, measure: str, cost: Callable[[Genotype], Cost]
    ) -> None:
        self.space = space
        self.scorer = scorer
        self.archive = archive
        self.measure = measure
        self.cost = cost
        self._reasons: list[str] = []
        self._any_scored = False

    def __call__(self, proposals: Sequence[Proposal]) -> Iterator[Candidate]:
        """The candidates of a batch, scored or failed, in its order; isomorphs within the batch are scored once.

        Raises:
            LowlandError: Every one of the first `PATIENCE` candidates failed; the commonest reason is named. Their
                failures are forgotten, so that they are scored again when the run is resumed.
        """
        keys = [self.space.key(proposal.genotype) for proposal in proposals]
        known: dict[str, Candidate] = {}
        missing: dict[str, Genotype] = {}
        for proposal, key in zip(proposals, keys, strict=True):
            if key in known or key in missing:
                continue
            archived = self.archive.get(self.measure, key)
            if archived is None:
                missing[key] = proposal.genotype
            else:
                known[key] = archived
        with closing(self.scorer.scores(list(missing.values()))) as outcomes:
            for proposal, key in zip(proposals, keys, strict=True):
                size = self.cost(proposal.genotype)
                facts = proposal._asdict() | {"parameters": size.parameters, "macs": size.macs}
                if key in known:
                    # Lends the score only: another search, or this batch, may have proposed an isomorph of other size.
                    candidate = dataclasses.replace(known[key], **facts)
                else:
                    candidate = known[key] = self.archive.record(self._candidate(key, facts, next(outcomes)))
                self._count(candidate)
                yield candidate

    def _count(self, candidate: Candidate) -> None:
        if candidate.status == "scored":
            self._any_scored = True
            return
        self._reasons.append(candidate.reason)
        if len(self._reasons) >= PATIENCE:
            self.require_success()

    def require_success(self) -> None:
        """Raise LowlandError, naming the commonest reason, where candidates failed and none was scored."""
        if self._any_scored or not self._reasons:
            return
        reason, times = Counter(self._reasons).most_common(1)[0]
        self.archive.forget_failed(self.measure)
        raise LowlandError(
            f"none of {len(self._reasons)} candidates could be scored ({times} times: {reason}); remove the cause and "
            f"resume the run: they will be tried again"
        )

    def _candidate(self, key: str, facts: Mapping[str, Any], outcome: Outcome) -> Candidate:
        if isinstance(outcome, ScoringFailure):
            told: dict[str, Any] = {"status": "failed", "reason": str(outcome), "seconds": outcome.seconds}
        else:
            told = {"status": "scored"} | {f.name: getattr(outcome, f.name) for f in dataclasses.fields(outcome)}
        return Candidate(key=key, measure=self.measure, **facts, **told)


def _accelerator_lost(error: BaseException) -> bool:
    """Whether a device error leaves the device unusable for the rest of the process, unlike running out of memory."""
    import torch

    return isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)


def _line(error: BaseException) -> str:
    """An exception as one line of at most 300 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")[:_REASON_LENGTH]
