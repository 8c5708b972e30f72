"""Classification: top-1 and top-5 accuracy, likelihood and calibration of a trained network, with standard errors.

Tensor names: N images, B images of one batch, C channels, H height, W width, K classes, J bins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lowland.core.errors import DataError, LowlandError
from lowland.core.inference import evaluating, outputs
from lowland.data import data_uris
from lowland.evaluation.details import Details
from lowland.evaluation.recall import recall_tables
from lowland.evaluation.reliability import BINS
from lowland.evaluation.results import Classification, ClassificationResults
from lowland.evaluation.section import Estimate, Figure, SuiteSection, Table
from lowland.evaluation.suite import Effort, EvaluationContext, Suite, register

if TYPE_CHECKING:
    from lowland.core.config import Config as RunConfig
    from lowland.core.device import Compute
    from lowland.data import DataSet, Split


def finite(logits_BK: Tensor) -> Tensor:
    """Check that logits (B, K) are finite.

    Returns:
        The same logits, float32 on the CPU.

    Raises:
        LowlandError: a logit is NaN or infinite, so no accuracy would mean anything.
    """
    logits_BK = logits_BK.float().cpu()
    broken = int((~logits_BK.isfinite()).any(dim=1).sum())
    if broken:
        raise LowlandError(
            f"the network's outputs are NaN or infinite for {broken} of {len(logits_BK)} images, so it cannot be "
            "judged: retrain it with a lower retrain.learning_rate, or evaluate with compute.precision=fp32"
        )
    return logits_BK


def predict(
    model: nn.Module,
    split: Split,
    normalise: Callable[[Tensor], Tensor],
    compute: Compute,
    batch_size: int,
) -> tuple[Tensor, Tensor]:
    """Run a network on a whole split.

    Args:
        model: A network on the compute device; it runs in evaluation mode.
        split: Images and labels.
        normalise: uint8 images → what the network was trained on.
        compute: Device and precision.
        batch_size: Images per forward pass; the result does not depend on it beyond rounding.

    Returns:
        Logits (N, K) float32 and labels (N,) int64, both on the CPU, in the split's order.

    Raises:
        DataError: the split is empty.
        LowlandError: the network's outputs are not finite.
    """
    if len(split) == 0:
        raise DataError(
            "there are no test images to evaluate on; give the data set a test split or raise test_fraction"
        )
    parts = torch.split(torch.arange(len(split)), batch_size)
    batches = ((normalise(compute.place(split.images(part))), split.labels_N[part].cpu()) for part in parts)
    with evaluating(model):
        found = [(finite(logits_BK), labels_B) for logits_BK, labels_B in outputs(model, batches, compute)]
    return torch.cat([logits_BK for logits_BK, _ in found]), torch.cat([labels_B for _, labels_B in found])


def ranks(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
    """How many classes stand before the true one, (N,) int64; among equal logits the lower class index stands first."""
    true_N1 = logits_NK.gather(1, labels_N[:, None])
    classes_K = torch.arange(logits_NK.shape[1])
    ahead_NK = (logits_NK > true_N1) | ((logits_NK == true_N1) & (classes_K < labels_N[:, None]))
    return ahead_NK.sum(dim=1)


def classification(logits_NK: Tensor, labels_N: Tensor) -> dict[str, Any]:
    """How well logits name the true class.

    Returns:
        By name:

        - `top1`, `top5`: percent of images whose true class is the first, or among the first five; `top5` is None where
          K ≤ 5, since it would be 100 for every network.
        - `nll`: mean −log softmax(logits)[label], nats.
        - `ece`: expected calibration error Σ_b (n_b / N) |accuracy_b − confidence_b|, percent, over 15 equal-width bins
          ((b−1)/15, b/15] of the largest probability (Guo et al. 2017, Eq. 3).
        - `*_standard_error`: of each over the draw of test images, in the same unit: binomial for accuracies, s/√N for
          the likelihood, and for calibration that of the mean of ±(correct − confidence), each bin's sign held fixed
          (delta method; too large where bins are so well calibrated that their signs are chance). None where N = 1.
        - `balanced`: balanced accuracy, the mean recall of the classes that have images, percent; its standard error is
          √(Σ_k r_k(1 − r_k)/n_k)/K (None where a class has one image, whose spread is not known).
        - `recall`: of each class, in the order of logits, `value` (share of its images that are named rightly, percent;
          None where it has none), `standard_error` (binomial) and its images `n`.
        - `n`: number of images.

    Raises:
        DataError: there are no images.

    Example:
        A network that is always 80 % sure of class 0, and right three times out of four, is 5 points too sure:

        >>> logits_NK = torch.tensor([0.8, 0.2]).log().expand(4, 2)
        >>> found = classification(logits_NK, torch.tensor([0, 0, 0, 1]))
        >>> found["top1"], round(found["ece"], 4)
        (75.0, 5.0)

        Had it been right four times out of five, its calibration error would be 0:

        >>> found = classification(torch.tensor([0.8, 0.2]).log().expand(5, 2), torch.tensor([0, 0, 0, 0, 1]))
        >>> round(found["ece"], 4)
        0.0
    """
    n, num_classes = logits_NK.shape
    if n == 0:
        raise DataError("accuracy needs at least one image, got none; evaluate on a split that is not empty")
    rank_N = ranks(logits_NK, labels_N)
    top1 = float((rank_N == 0).double().mean())
    top5 = float((rank_N < 5).double().mean()) if num_classes > 5 else None

    log_probability_NK = logits_NK.double().log_softmax(dim=1)
    nll_N = -log_probability_NK.gather(1, labels_N[:, None]).squeeze(1)
    confidence_N = log_probability_NK.amax(dim=1).exp()
    gap_N = (rank_N == 0).double() - confidence_N
    bin_N = ((confidence_N * BINS).ceil().long() - 1).clamp(0, BINS - 1)
    gap_J = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bin_N, gap_N)
    signed_N = gap_N * gap_J.sign()[bin_N]

    recall = _recall(rank_N == 0, labels_N, num_classes)
    errors = [each["standard_error"] for each in recall if each["n"]]
    known = [error for error in errors if error is not None]
    return {
        "balanced": sum(each["value"] for each in recall if each["n"]) / len(errors),
        "balanced_standard_error": math.hypot(*known) / len(errors) if len(known) == len(errors) else None,
        "recall": recall,
        "top1": 100 * top1,
        "top1_standard_error": _binomial(top1, n),
        "top5": None if top5 is None else 100 * top5,
        "top5_standard_error": None if top5 is None else _binomial(top5, n),
        "nll": float(nll_N.mean()),
        "nll_standard_error": standard_error(nll_N),
        "ece": 100 * float(gap_J.abs().sum()) / n,
        "ece_standard_error": _percent(standard_error(signed_N)),
        "n": n,
    }


def standard_error(values_N: Tensor) -> float | None:
    """s/√N with the unbiased standard deviation s; None for a single value, which says nothing about its spread."""
    n = len(values_N)
    return float(values_N.double().std()) / math.sqrt(n) if n > 1 else None


def _recall(right_N: Tensor, labels_N: Tensor, classes: int) -> list[dict[str, Any]]:
    """Recall of each class, as `classification` tells it."""
    n_K = labels_N.bincount(minlength=classes)
    right_K = labels_N[right_N].bincount(minlength=classes)
    return [
        {
            "value": 100 * right / n if n else None,
            "standard_error": _binomial(right / n, n) if n else None,
            "n": n,
        }
        for right, n in zip(right_K.tolist(), n_K.tolist(), strict=True)
    ]


def _binomial(share: float, n: int) -> float | None:
    """100·√(p(1−p)/n), percent."""
    return 100 * math.sqrt(share * (1 - share) / n) if n > 1 else None


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _pictures(split: Split, places: Sequence[int]) -> list[str]:
    """Images of a split as `data:` URIs."""
    return data_uris(split.images(torch.tensor(places)))


@register
class ClassificationSuite(Suite[ClassificationResults]):
    """Accuracy, likelihood and calibration on clean test images."""

    name = "classification"
    summary = "top-1, top-5, likelihood and calibration error on clean test images"
    source = "Guo et al. 2017, arXiv:1706.04599 (calibration error)"

    Results = ClassificationResults

    def effort(self, config: RunConfig, data: DataSet) -> Effort:
        """The test images."""
        return Effort(images=len(data.test))

    def run(self, networks: Mapping[str, nn.Module], context: EvaluationContext) -> ClassificationResults:
        """Judge networks as a person runs them after `lowland.load`."""
        data, found, details = context.data, {}, {}
        for rank, model in networks.items():
            with context.threaded:
                judged = predict(model, data.test, data.normalise, context.exact, context.batch_size)
            found[rank] = Classification.from_json(classification(*judged))
            details[rank] = Details.of(*judged)
        best = next(iter(details), None)
        if best is not None:  # the report shows the mistakes of the best network
            details[best] = details[best].pictured(partial(_pictures, data.test))
        return ClassificationResults(found, details, data.classes)

    def figures(self, results: ClassificationResults) -> dict[str, list[Figure]]:
        """Top-1 accuracy; and where classes are unequal, balanced accuracy."""
        return {rank: _figures(found) for rank, found in results.networks.items()}

    def section(self, results: ClassificationResults) -> SuiteSection:
        """One row for each network."""
        columns = ("Network", "Top-1, %", "Top-5, %", "NLL, nats", "ECE, %")
        rows = tuple(
            (
                rank,
                (
                    Estimate(value=found.top1, standard_error=found.top1_standard_error, n=found.n),
                    None
                    if found.top5 is None
                    else Estimate(value=found.top5, standard_error=found.top5_standard_error, n=found.n),
                    Estimate(value=found.nll, standard_error=found.nll_standard_error, n=found.n),
                    Estimate(value=found.ece, standard_error=found.ece_standard_error, n=found.n),
                ),
            )
            for rank, found in results.networks.items()
        )
        sizes = sorted({found.n for found in results.networks.values()})
        note = f"On {', '.join(f'{n:,}' for n in sizes)} clean test images; ± is one standard error."
        tables = (Table(columns=columns, rows=rows, note=note), *recall_tables(results))
        return SuiteSection(title="Clean test images", tables=tables)


def _figures(found: Classification) -> list[Figure]:
    top1 = Figure(label="test top-1", value=found.top1, unit="%", standard_error=found.top1_standard_error, n=found.n)
    if not found.unequal or found.balanced is None:
        return [top1]
    error = found.balanced_standard_error
    return [top1, Figure(label="balanced", value=found.balanced, unit="%", standard_error=error, n=found.n)]
