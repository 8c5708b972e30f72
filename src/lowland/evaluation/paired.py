"""Paired differences between two networks, with 95 % intervals: over test images, or over training seeds.

Tensor names: N test images that both networks saw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """First minus second, and its interval.

    Attributes:
        value: The difference, percentage points.
        low: Lower end of the 95 % interval; None where one observation says nothing of its spread.
        high: Upper end.
        over: What was drawn `n` times: test images (one training of each network), or seeds (the same images).
        n: How many.
    """

    value: float
    low: float | None
    high: float | None
    over: Literal["images", "seeds"]
    n: int

    @property
    def sign(self) -> int:
        """1 or −1 where the interval leaves out zero, else 0."""
        if self.low is None or self.high is None:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    def to_json(self) -> dict[str, Any]:
        """As JSON-like values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`."""
        return cls(**values)


def accuracy_difference(first_N: Tensor, second_N: Tensor) -> Difference:
    """The difference in accuracy on the same images, with an interval over the draw of images.

    With n₁₀ images that only the first network names rightly, and n₀₁ that only the second does, d = (n₁₀ − n₀₁) / N.
    The interval is Bonett and Price's adjusted Wald interval for paired proportions: with p̃₁₀ = (n₁₀ + 1) / (N + 2) and
    p̃₀₁ likewise, p̃₁₀ − p̃₀₁ ± z · √((p̃₁₀ + p̃₀₁ − (p̃₁₀ − p̃₀₁)²) / (N + 2)). Two networks that err on the same
    images have an interval, too, which the plain one would shrink to a point.

    Source: Bonett and Price, J. Educ. Behav. Stat. 37 (2012) 479, Eq. 2; McNemar, Psychometrika 12 (1947) 153.

    Args:
        first_N: Whether the first network names each image rightly, bool.
        second_N: The same of the second.

    Returns:
        d and its interval, percent.

    Example:
        Of 98 images the first network alone is right on 5, and the second alone on 1:

        >>> first_N = torch.arange(98) < 50
        >>> second_N = (torch.arange(98) >= 5) & (torch.arange(98) < 51)
        >>> found = accuracy_difference(first_N, second_N)
        >>> round(found.value, 2), round(found.low, 2), round(found.high, 2)
        (4.08, -1.49, 9.49)
    """
    n = len(first_N)
    only_first = int((first_N & ~second_N).sum())
    only_second = int((second_N & ~first_N).sum())
    p10, p01 = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    half = _normal() * math.sqrt((p10 + p01 - (p10 - p01) ** 2) / (n + 2))
    return Difference(
        value=100 * (only_first - only_second) / n,
        low=100 * max(-1.0, p10 - p01 - half),
        high=100 * min(1.0, p10 - p01 + half),
        over="images",
        n=n,
    )


def mean_difference(first_N: Tensor, second_N: Tensor) -> Difference:
    """The mean difference of two accuracies per image (percent, such as the mean over corruptions), over images.

    d̄ ± t · s/√N, with the standard deviation s of the N differences and Student's t of N − 1 degrees of freedom.

    Returns:
        d̄ and its interval, percent.
    """
    return student((first_N.double() - second_N.double()).tolist(), "images")


def over_seeds(differences: Sequence[Difference]) -> Difference:
    """The mean over seeds of paired differences, with Student's t-interval over the seeds.

    It says how the difference varies with the randomness of training; the test images stay the same. A single seed
    keeps its interval over images.

    Returns:
        The mean and its interval, percent.
    """
    if len(differences) == 1:
        return differences[0]
    return student([each.value for each in differences], "seeds")


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Mean, its standard error s/√n, and half of its 95 % interval by Student's t of n − 1 degrees of freedom.

    Returns:
        The three; of a single value the mean alone.
    """
    n = len(values)
    values_N = torch.tensor(values, dtype=torch.float64)
    mean = float(values_N.mean())
    if n == 1:
        return mean, None, None
    from scipy import stats  # here: it takes half a second to import

    deviation = float(values_N.std())
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * deviation / math.sqrt(n)
    return mean, deviation / math.sqrt(n), half


def student(values: Sequence[float], over: Literal["images", "seeds"]) -> Difference:
    """The mean of independent values, with Student's t-interval; of one value without.

    Returns:
        The mean and its 95 % interval.
    """
    mean, error, half = interval(values)
    if error is None or half is None:
        return Difference(value=mean, low=None, high=None, over=over, n=1)
    return Difference(value=mean, low=mean - half, high=mean + half, over=over, n=len(values))


def _normal() -> float:
    from scipy import stats

    return float(stats.norm.ppf((1 + CONFIDENCE) / 2))
