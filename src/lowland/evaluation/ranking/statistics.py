"""Ranking: how well a measure orders genotypes as ground truth does, each statistic with a bootstrap interval.

- `tau`: Kendall's τ-b in [−1, 1], (C − D) / √((n₀ − n₁)(n₀ − n₂)) with C concordant and D discordant of n₀ pairs, of
  which n₁ and n₂ are tied in the measure and in the truth (Kendall 1945).
- `rho`: Spearman's ρ in [−1, 1], Pearson's correlation of mid-ranks.
- `precision`: the share in [0, 1] of the measure's best tenth that lies in the true best tenth.
- `regret`: best true value minus the true value of the measure's pick, ≥ 0, in the unit of the truth.

All are taken over all genotypes (scope `all`) and among the true best tenth alone (scope `best`). A tenth of n is
⌈n/10⌉ genotypes. Ties with the last genotype of the true best tenth count as in it; ties of the measure are broken at
random, and precision and regret are the expectations over that.

The bootstrap resamples genotypes with replacement. A resample is described by how often it holds each genotype, so all
statistics are computed for many resamples at once, and the genotypes themselves are the resample that holds each once.

Array names: N genotypes, R resamples, G groups of equal values, B rows of a block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lowland.core.seeds import numpy_rng

Array = NDArray[np.float64]

TOP = 0.1
"""The share of genotypes that counts as the best."""

CONFIDENCE = 0.95
SCOPES = ("all", "best")
STATISTICS = ("tau", "rho", "precision", "regret")

_BLOCK = 256
_CELLS = 2_000_000
"""Rows of the pair matrix, and entries of the multiplicities, that are worked on at once, to bound memory."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic and its percentile interval; None where it is undefined (a correlation without any order)."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Bootstrap:
    """The statistics of one measure against one truth: on the genotypes, and on each of R resamples of them.

    Attributes:
        truth_N: The truth, which also tells which genotypes are meant.
        point: (scope, statistic) → its value; NaN where undefined.
        resampled: (scope, statistic) → its value in each resample (R,); NaN where undefined.
    """

    truth_N: Array
    point: Mapping[tuple[str, str], float]
    resampled: Mapping[tuple[str, str], Array]

    def interval(self, scope: str, statistic: str) -> Interval:
        """A statistic with its percentile interval, over the resamples in which it is defined."""
        return _interval(self.point[scope, statistic], self.resampled[scope, statistic])

    def minus(self, other: Bootstrap, scope: str, statistic: str) -> Interval:
        """Compare with another measure on the same genotypes, paired: both see the same resamples.

        Returns:
            The difference, this statistic minus the other's.

        Raises:
            ValueError: the two are not of the same genotypes and resamples.
        """
        mine, others = self.resampled[scope, statistic], other.resampled[scope, statistic]
        if mine.shape != others.shape or not np.array_equal(self.truth_N, other.truth_N):
            raise ValueError("a paired difference needs two measures on the same genotypes and resamples")
        return _interval(self.point[scope, statistic] - other.point[scope, statistic], mine - others)


def bootstrap(values_N: Array, truth_N: Array, *, resamples: int, seed: int) -> Bootstrap:
    """All statistics of one measure; the resamples depend on `seed` and on N only, so that measures can be paired.

    Args:
        values_N: The measure, greater is better, finite.
        truth_N: The truth, greater is better, finite.
        resamples: Number of resamples R.
        seed: Seed of the resamples.

    Returns:
        Every statistic in both scopes, on the genotypes and on each resample.

    Raises:
        ValueError: the lengths differ, there are fewer than two genotypes, or a number is not finite.
    """
    if values_N.shape != truth_N.shape or values_N.ndim != 1 or len(values_N) < 2:
        raise ValueError(f"a ranking needs two equally long vectors, got {values_N.shape} and {truth_N.shape}")
    if not (np.isfinite(values_N).all() and np.isfinite(truth_N).all()):
        raise ValueError("a ranking needs finite numbers")
    number = len(values_N)
    once = statistics(values_N, truth_N, np.ones((1, number)))
    rng = numpy_rng(seed, "ranking bootstrap", number)
    size = max(1, _CELLS // number)
    parts = [
        statistics(values_N, truth_N, multiplicities(number, min(size, resamples - done), rng))
        for done in range(0, resamples, size)
    ]
    return Bootstrap(
        truth_N=truth_N,
        point={key: float(found[0]) for key, found in once.items()},
        resampled={key: np.concatenate([part[key] for part in parts]) for key in once},
    )


def multiplicities(number: int, resamples: int, rng: np.random.Generator) -> Array:
    """How often each of `number` genotypes is in each resample, (R, N): every row sums to N."""
    drawn_RN = rng.integers(number, size=(resamples, number)) + number * np.arange(resamples)[:, None]
    return np.bincount(drawn_RN.ravel(), minlength=resamples * number).reshape(resamples, number).astype(np.float64)


def statistics(values_N: Array, truth_N: Array, counts_RN: Array) -> dict[tuple[str, str], Array]:
    """Every statistic in both scopes, for genotypes that occur `counts_RN` times; NaN where it is undefined."""
    greater_RN, _ = _positions(truth_N, counts_RN)
    best_RN = counts_RN * (greater_RN < _tenth(counts_RN)[:, None])
    found: dict[tuple[str, str], Array] = {}
    for scope, counts in zip(SCOPES, (counts_RN, best_RN), strict=True):
        there = counts.any(axis=0)
        arguments = values_N[there], truth_N[there], counts[:, there]
        with np.errstate(invalid="ignore", divide="ignore"):
            found[scope, "tau"] = kendall(*arguments)
            found[scope, "rho"] = spearman(*arguments)
            found[scope, "precision"] = precision(*arguments)
            found[scope, "regret"] = regret(*arguments)
    return found


def kendall(values_N: Array, truth_N: Array, counts_RN: Array) -> Array:
    """Kendall's τ-b of a measure and the truth in every resample.

    C − D = ½ Σᵢⱼ cᵢ cⱼ sgn(xᵢ − xⱼ) sgn(yᵢ − yⱼ), a product of matrices; all sums are of whole numbers and exact.

    Returns:
        τ-b in [−1, 1], (R,); NaN where the measure or the truth is constant.

    Example:
        Of the 6 pairs of four genotypes one is tied in the truth, four are in order and one is not, so
        τ-b = (4 − 1)/√(6·5):

        >>> values_N, truth_N = np.array([1.0, 2.0, 3.0, 4.0]), np.array([20.0, 10.0, 30.0, 30.0])
        >>> kendall(values_N, truth_N, counts_RN=np.ones((1, 4))).round(6)
        array([0.547723])

        A resample that holds the first genotype twice and the last not at all has pairs (1, 1), tied in both; (1, 2)
        twice, discordant; (1, 3) twice and (2, 3), concordant: τ-b = (3 − 2)/√(5·5).

        >>> kendall(values_N, truth_N, counts_RN=np.array([[2.0, 1.0, 1.0, 0.0]])).round(6)
        array([0.2])
    """
    x_N, y_N = (np.unique(each, return_inverse=True)[1].astype(np.int32) for each in (values_N, truth_N))
    # float32 holds the inner sums exactly up to 2²⁴ genotypes, and is twice as fast.
    counts_NR = np.ascontiguousarray(counts_RN.T, dtype=np.float32)
    balance_R = np.zeros(len(counts_RN))
    for start in range(0, len(x_N), _BLOCK):
        rows = slice(start, start + _BLOCK)
        signs_BN = np.sign(x_N[rows, None] - x_N) * np.sign(y_N[rows, None] - y_N)
        sums_BR = signs_BN.astype(np.float32) @ counts_NR
        balance_R += (counts_NR[rows].astype(np.float64) * sums_BR).sum(axis=0)
    untied = [_untied(each, counts_RN) for each in (values_N, truth_N)]
    result: Array = balance_R / 2 / (np.sqrt(untied[0]) * np.sqrt(untied[1]))
    return result


def spearman(values_N: Array, truth_N: Array, counts_RN: Array) -> Array:
    """Spearman's ρ (R,); NaN where the measure or the truth is constant."""
    total_R = counts_RN.sum(axis=1)
    centred = []
    for each in (values_N, truth_N):
        greater_RN, equal_RN = _positions(each, counts_RN)
        # Mid-rank from the top minus its mean, (n + 1)/2.
        centred.append(greater_RN + (equal_RN + 1) / 2 - (total_R[:, None] + 1) / 2)
    x_RN, y_RN = centred
    covariance = (counts_RN * x_RN * y_RN).sum(axis=1)
    lengths = [np.sqrt((counts_RN * each**2).sum(axis=1)) for each in centred]
    result: Array = covariance / (lengths[0] * lengths[1])
    return result


def precision(values_N: Array, truth_N: Array, counts_RN: Array) -> Array:
    """The share of the measure's best tenth that lies in the true best tenth (R,)."""
    size_R1 = _tenth(counts_RN)[:, None]
    is_best_RN = _positions(truth_N, counts_RN)[0] < size_R1
    greater_RN, equal_RN = _positions(values_N, counts_RN)
    chosen_RN = np.clip(size_R1 - greater_RN, 0, equal_RN) / np.maximum(equal_RN, 1)
    result: Array = (counts_RN * chosen_RN * is_best_RN).sum(axis=1) / size_R1[:, 0]
    return result


def regret(values_N: Array, truth_N: Array, counts_RN: Array) -> Array:
    """Best true value minus the true value of the measure's pick, the mean over tied picks (R,)."""
    picked_RN = counts_RN * (_positions(values_N, counts_RN)[0] == 0)
    best_R = np.where(counts_RN > 0, truth_N, -np.inf).max(axis=1)
    result: Array = (picked_RN * (best_R[:, None] - truth_N)).sum(axis=1) / picked_RN.sum(axis=1)
    return result


def agreement(first_N: Array, second_N: Array) -> float | None:
    """Kendall's τ-b of two measures over the genotypes that both scored (not NaN); None where it is undefined."""
    both = ~(np.isnan(first_N) | np.isnan(second_N))
    if both.sum() < 2:
        return None
    return _defined(float(stats.kendalltau(first_N[both], second_N[both]).statistic))


def as_facts(found: Bootstrap) -> dict[str, Any]:
    """Intervals by scope and statistic, as JSON."""
    return {
        scope: {
            name: {"value": interval.value, "low": interval.low, "high": interval.high}
            for name in STATISTICS
            for interval in [found.interval(scope, name)]
        }
        for scope in SCOPES
    }


def _positions(values_N: Array, counts_RN: Array) -> tuple[Array, Array]:
    """How many genotypes of each resample lie strictly above each one, and how many are equal to it: (R, N) both."""
    unique, group_N = np.unique(values_N, return_inverse=True)
    order = np.argsort(group_N, kind="stable")
    starts = np.searchsorted(group_N[order], np.arange(len(unique)))
    equal_RG = np.add.reduceat(counts_RN[:, order], starts, axis=1)
    upto_RG = np.cumsum(equal_RG, axis=1)
    greater_RG = upto_RG[:, -1:] - upto_RG
    return greater_RG[:, group_N], equal_RG[:, group_N]


def _untied(values_N: Array, counts_RN: Array) -> Array:
    """Number of pairs of each resample that differ in `values_N`: n₀ − n₁."""
    _, equal_RN = _positions(values_N, counts_RN)
    total_R = counts_RN.sum(axis=1)
    result: Array = (total_R**2 - (counts_RN * equal_RN).sum(axis=1)) / 2
    return result


def _tenth(counts_RN: Array) -> Array:
    """Size of the best part of each resample (R,): ⌈n/10⌉."""
    result: Array = np.ceil(np.round(TOP * counts_RN.sum(axis=1), 9))
    return result


def _interval(value: float, resampled_R: Array) -> Interval:
    defined = resampled_R[np.isfinite(resampled_R)]
    if not np.isfinite(value) or not len(defined):
        return Interval(_defined(value), None, None)
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value, float(low), float(high))


def _defined(value: float) -> float | None:
    return value if np.isfinite(value) else None
