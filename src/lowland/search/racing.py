"""Racing: every candidate is looked at on few images first, and scored on all only if these do not rule it out."""

from __future__ import annotations

import dataclasses
import math
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from lowland.search.archive import Candidate
from lowland.search.problem import ScoreFunction
from lowland.search.scorer import Proposal

INFLUENCE = "influence"
"""The detail of a first look that holds how much each of its images moved the score."""

ERRORS = 2.0
"""Standard errors by which a candidate must be worse: one-sided, 2.3 % of equals are ruled out."""

FEWEST = 30
"""Images of a first look at least; with fewer, a difference of two standard errors says little."""

_DIGITS = 4


def racing_images(share: float, images: int) -> int:
    """How many of the scored images a first look takes: `share` of them, at least `FEWEST`, at most all."""
    return min(images, max(FEWEST, round(share * images)))


def rounded(influence_N: NDArray[np.float64]) -> list[float]:
    """Influences at four significant digits, as they are archived."""
    return [float(f"{influence:.{_DIGITS}g}") for influence in influence_N.tolist()]


class Racing:
    """Scores candidates as an `Evaluator` does, but rules out those that a first look shows to be no parents.

    A batch (a generation) is looked at by `first`. With p the `parents`-th best candidate that `full` has scored in
    earlier batches, and v¹ the scores of the first look, candidate c is ruled out where

        v¹(c) − v¹(p) < −2·SE,    SE² = Σₙ (Uₙ(c) − Uₙ(p))²/N²

    with Uₙ the influence of image n, from the details (`INFLUENCE`). Both were looked at on the same images, so that
    what is hard for both cancels; their noise is the same on all images, so that it adds no error. Without influences
    SE² is the sum of the squares of both standard errors; without these either, nothing is ruled out. All others are
    scored by `full`, as all are until `parents` of them have been.

    What is ruled out depends only on the archive and the order of the batches, so that a search that is begun again
    rules out the same. Its candidates come back with status `raced`, to be neither ranked nor made parents; the archive
    holds them under the measure of `first`.

    Args:
        first: Scores on few images, under a measure identity of its own.
        full: Scores on all images.
        parents: How many of the best candidates become parents.
        looked: Called after every first look; may raise, so that a stop need not wait for the batch.
    """

    def __init__(
        self, first: ScoreFunction, full: ScoreFunction, parents: int, looked: Callable[[], None] = lambda: None
    ) -> None:
        self.first = first
        self.full = full
        self.parents = parents
        self._looked = looked
        self._ranking: list[Candidate] = []
        self._first_looks: dict[str, Candidate] = {}

    def __call__(self, proposals: Sequence[Proposal]) -> Iterator[Candidate]:
        """The candidates of a batch, scored, failed or raced, in its order; raises as `Evaluator.__call__` does."""
        looks: list[Candidate] = []
        for look in self.first(proposals):
            looks.append(look)
            self._looked()
        bar = self._first_looks[self._ranking[self.parents - 1].key] if len(self._ranking) >= self.parents else None
        go_on = [look.status == "scored" and (bar is None or not significantly_worse(look, bar)) for look in looks]
        scored = self.full([proposal for proposal, kept in zip(proposals, go_on, strict=True) if kept])
        for look, kept in zip(looks, go_on, strict=True):
            if kept:
                candidate = next(scored)
                if candidate.status == "scored":
                    self._first_looks[look.key] = look
                    insort(self._ranking, candidate, key=attrgetter("rank"))
                yield candidate
            else:
                yield look if look.status == "failed" else dataclasses.replace(look, status="raced")


def significantly_worse(look: Candidate, bar: Candidate) -> bool:
    """Whether one first look is worse than another by more than two standard errors of their difference."""
    assert look.value is not None
    assert bar.value is not None
    error = difference_error(look, bar)
    return error is not None and look.value - bar.value < -ERRORS * error


def difference_error(first: Candidate, second: Candidate) -> float | None:
    """Standard error of the difference of two first looks: paired by image, or else of independent ones, or None."""
    if INFLUENCE in first.details and INFLUENCE in second.details:
        influence_N = np.subtract(first.details[INFLUENCE], second.details[INFLUENCE])
        return float(np.linalg.norm(influence_N)) / len(influence_N)
    if first.standard_error is None or second.standard_error is None:
        return None
    return math.hypot(first.standard_error, second.standard_error)
