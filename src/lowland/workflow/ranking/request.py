"""What `lowland rank` is asked: which measures, against which truth, on how many genotypes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lowland import measures as measuring
from lowland.core.config import Config
from lowland.core.errors import ConfigError
from lowland.evaluation.ranking.truth import TRUTH_COLUMN
from lowland.measures.aggregation import log_rank_sum, rank_sum
from lowland.measures.expression import terms

MEASURES = ("accuracy", "loss", "angle", "flatness", "angle+flatness")
LEAST = 10
"""Fewest genotypes worth a rank correlation."""

SUMS = {"rank sum": rank_sum, "log-rank sum": log_rank_sum}
"""Kinds of rows that combine the ranks by several measures."""


@dataclass(frozen=True, kw_only=True)
class RankingRequest:
    """What is to be ranked, and against what.

    Attributes:
        truth: File of ground truth (`lowland.evaluation.ranking.truth`).
        measures: Measure expressions (`lowland.measures.expression`), such as `angle+flatness` or `flatness(alpha=0)`.
        rank_sums: Further rows, each the sum of the ranks that some measures give (no weights, no labels).
        log_rank_sums: Further rows, each the sum of the logarithms of such ranks.
        sample: Genotypes taken from the truth, one per isomorphism class; 0: all.
        sample_seed: Decides which. It is no part of the run's seed, so that supernets are compared on equal genotypes.
        truth_column: Column of accuracies in distribution.
        shift_column: Column of accuracies under shift; None: `corrupt_mean` where there is one.
        resamples: Bootstrap resamples behind each interval.
    """

    truth: Path
    measures: tuple[str, ...] = MEASURES
    rank_sums: tuple[tuple[str, ...], ...] = ()
    log_rank_sums: tuple[tuple[str, ...], ...] = ()
    sample: int = 1000
    sample_seed: int = 0
    truth_column: str = TRUTH_COLUMN
    shift_column: str | None = None
    resamples: int = 1000

    @property
    def scored(self) -> tuple[str, ...]:
        """Every measure that needs scores: those asked for, then parts of rank sums besides."""
        parts = [part for sums in self.sums.values() for parts in sums for part in parts]
        return tuple(dict.fromkeys([*self.measures, *parts]))

    @property
    def sums(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """The parts of every further row, by kind (a key of `SUMS`)."""
        return {"rank sum": self.rank_sums, "log-rank sum": self.log_rank_sums}


def checked(request: RankingRequest, config: Config) -> RankingRequest:
    """The request with every measure spelled as its label says; ConfigError where it cannot be asked."""
    if not request.measures:
        raise ConfigError("--measures names no measure; `lowland measures` lists them")

    def spelled(option: str, names: tuple[str, ...], least: int = 1) -> tuple[str, ...]:
        found = []
        for name in names:
            own = config.measure.model_copy(update={"name": name})
            measuring.get(own)
            found.append("+".join(term.label for term in terms(own)))
        if len(set(found)) < len(found):
            raise ConfigError(f"{option} {','.join(names)} names a measure twice; name each once")
        if len(found) < least:
            raise ConfigError(f"{option} {','.join(names)} must name two measures or more, separated by commas")
        return tuple(found)

    if request.sample and request.sample < LEAST:
        raise ConfigError(f"--sample {request.sample} must be at least {LEAST} for a rank correlation, or 0 for all")
    if request.resamples < 1:
        raise ConfigError(f"--resamples {request.resamples} must be at least 1")
    return replace(
        request,
        measures=spelled("--measures", request.measures),
        rank_sums=tuple(spelled("--rank-sum", parts, 2) for parts in request.rank_sums),
        log_rank_sums=tuple(spelled("--log-rank-sum", parts, 2) for parts in request.log_rank_sums),
    )
