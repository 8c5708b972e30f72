"""How well a score tells other images from those of the test: AUROC, AUPR, FPR95, with bootstrap standard errors.

Tensor names: N images of both kinds, M distinct scores, D bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lowland.core import seeds
from lowland.evaluation.section import Estimate
from lowland.evaluation.shift.judging import Judge
from lowland.evaluation.shift.results import Detection

DRAWS = 200
"""Bootstrap draws; the error of a standard error is then about 5 %."""

RECALL = 0.95
"""Share found at which the share of false alarms is read off (Hendrycks and Gimpel 2017; Liang et al. 2018)."""

SCORES = ("softmax", "energy")
"""Of each image; the greater, the less it looks like those of the test."""

Floats = NDArray[np.float64]


def strangeness(columns: Sequence[int] | None = None) -> Judge:
    """Score images by the logits at `columns`, by default all.

    Softmax: −log max softmax(logits), which orders images as −max softmax does (Hendrycks and Gimpel 2017,
    arXiv:1610.02136) and keeps apart those that round to 1. Energy: −log Σ exp(logits) (Liu et al. 2020,
    arXiv:2010.03759, Eq. 4 at temperature 1).

    Returns:
        The judge, of two values in the order of `SCORES`.
    """
    index = None if columns is None else torch.tensor(columns)

    def judge(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        chosen_BK = (logits_BK if index is None else logits_BK[:, index]).double()
        energy_B = -chosen_BK.logsumexp(dim=1)
        return torch.stack((-chosen_BK.amax(dim=1) - energy_B, energy_B), dim=1)

    return judge


def detection(known: Floats, others: Floats, *, seed: int, key: str) -> Detection:
    """Tell `others` from `known` by a score that is greater for others.

    Args:
        known: Scores of test images.
        others: Scores of other images.
        seed: The run's seed.
        key: What is told, so that each has draws of its own.

    Returns:
        Each figure in percent, with the standard deviation over bootstrap draws of both kinds apart as its standard
        error, and the number of all images.

    Example:
        >>> found = detection(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0]), seed=0, key="docs")
        >>> found.auroc.value, found.aupr.value, found.fpr95.value, found.fpr95_in.value
        (100.0, 100.0, 0.0, 0.0)
    """
    rng = seeds.numpy_rng(seed, "detection", key)
    ones = _figures(known, others, np.ones((1, len(known))), np.ones((1, len(others))))[:, 0]
    drawn = [
        rng.multinomial(len(each), np.full(len(each), 1 / len(each)), size=DRAWS).astype(np.float64)
        for each in (known, others)
    ]
    errors = np.concatenate(
        [_figures(known, others, drawn[0][row : row + 1], drawn[1][row : row + 1]) for row in range(DRAWS)], axis=1
    ).std(axis=1, ddof=1)
    n = len(known) + len(others)
    found = [
        Estimate(value=float(value), standard_error=float(error), n=n)
        for value, error in zip(ones, errors, strict=True)
    ]
    return Detection(auroc=found[0], aupr=found[1], fpr95=found[2], fpr95_in=found[3])


def _figures(known: Floats, others: Floats, known_D: Floats, others_D: Floats) -> Floats:
    """AUROC, AUPR, FPR95 with others positive, and with known positive, percent (4, D), of weighted images."""
    out = _curves(others, known, others_D, known_D)
    return 100 * np.stack((*out, _curves(-known, -others, known_D, others_D)[2]))


def _curves(
    positive: Floats, negative: Floats, positive_DN: Floats, negative_DN: Floats
) -> tuple[Floats, Floats, Floats]:
    """AUROC, average precision, and false-positive rate where at least 95 % of the positives are found; shares (D,)."""
    scores_N = np.concatenate((positive, negative))
    order = np.argsort(-scores_N, kind="stable")
    last_M = np.flatnonzero(np.append(np.diff(scores_N[order]) != 0, True))  # of each run of equal scores
    weights_DN = np.concatenate((positive_DN, np.zeros_like(negative_DN)), axis=1)[:, order]
    hits_DM = weights_DN.cumsum(axis=1)[:, last_M]
    weights_DN = np.concatenate((np.zeros_like(positive_DN), negative_DN), axis=1)[:, order]
    alarms_DM = weights_DN.cumsum(axis=1)[:, last_M]
    recall_DM = hits_DM / hits_DM[:, -1:]
    alarm_DM = alarms_DM / alarms_DM[:, -1:]
    step_DM = np.diff(recall_DM, axis=1, prepend=0.0)
    before_DM = np.concatenate((np.zeros_like(alarm_DM[:, :1]), alarm_DM[:, :-1]), axis=1)
    # The area above the curve between two scores: half of it where a tie holds both kinds.
    auroc_D = (step_DM * (1 - (alarm_DM + before_DM) / 2)).sum(axis=1)
    precision_DM = np.divide(hits_DM, hits_DM + alarms_DM, out=np.zeros_like(hits_DM), where=hits_DM > 0)
    aupr_D = (step_DM * precision_DM).sum(axis=1)
    first_D = (recall_DM >= RECALL - 1e-12).argmax(axis=1)
    return auroc_D, aupr_D, alarm_DM[np.arange(len(alarm_DM)), first_D]
