"""Reliability: how often networks are right when they are so and so sure, in the bins of the calibration error.

Tensor names: N images, K classes, J bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from lowland.evaluation.section import Line

if TYPE_CHECKING:
    from torch import Tensor

BINS = 15
"""Confidence bins ((b−1)/15, b/15] of the expected calibration error (Guo et al. 2017, section 5)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reliability:
    """One network's confidence and accuracy by bin of confidence; bins without images are left out.

    Attributes:
        confidence: Mean of the largest probability in each bin, percent.
        accuracy: Share of the bin's images that are named right, percent.
        n: Its images.
    """

    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    n: tuple[int, ...]

    @classmethod
    def of(cls, logits_NK: Tensor, labels_N: Tensor) -> Self:
        """From logits and labels.

        Returns:
            The bins that hold images.

        Example:
            >>> import torch
            >>> Reliability.of(torch.tensor([0.8, 0.2]).log().expand(4, 2), torch.tensor([0, 0, 0, 1]))
            Reliability(confidence=(80.0,), accuracy=(75.0,), n=(4,))
        """
        import torch  # those who read what was found need none of it

        probability_NK = logits_NK.double().softmax(dim=1)
        confidence_N, named_N = probability_NK.max(dim=1)
        right_N = (named_N == labels_N).double()
        bin_N = ((confidence_N * BINS).ceil().long() - 1).clamp(0, BINS - 1)
        n_J = torch.bincount(bin_N, minlength=BINS)
        sums = [torch.zeros(BINS, dtype=torch.float64).index_add_(0, bin_N, each) for each in (confidence_N, right_N)]
        held = n_J.nonzero().squeeze(1)
        confidence, accuracy = (
            tuple(round(value, 4) for value in (100 * each[held] / n_J[held]).tolist()) for each in sums
        )
        return cls(confidence=confidence, accuracy=accuracy, n=tuple(n_J[held].tolist()))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `asdict`, also after a round trip through JSON."""
        return cls(**{name: tuple(each) for name, each in values.items()})

    def line(self, label: str) -> Line:
        """Accuracy against confidence, with binomial standard errors."""
        errors = tuple(
            (share * (100 - share) / n) ** 0.5 if n > 1 else None
            for share, n in zip(self.accuracy, self.n, strict=True)
        )
        return Line(label=label, x=self.confidence, y=self.accuracy, errors=errors)
