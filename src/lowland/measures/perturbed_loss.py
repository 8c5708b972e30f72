"""The loss under weight noise of one strength, and how measures made of such losses are estimated.

Array names: K noise draws, N images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lowland.measures.candidate import Candidate, CandidateMeasure, Estimate
from lowland.measures.draws import losses_under_noise
from lowland.measures.measure import register
from lowland.measures.per_image import Array, sampling_error


def negative_mean(losses_KN: Array, details: Mapping[str, Any]) -> Estimate:
    """The negative mean of losses, or of their rises over the clean loss, over draws and images.

    Its standard error is √(images² + noise²): over images of the mean over draws, Σₙ(l̄ₙ − l̄)²/N², and over draws,
    s²/K of their means. The noise is not estimable from one draw. Draws and images are crossed; the sum counts their
    interaction twice, so it errs on the side of caution.

    Args:
        losses_KN: Per-image losses in nats.
        details: JSON facts to keep beside standard errors and sample sizes.
    """
    draws, images = losses_KN.shape
    mean = float(losses_KN.mean())
    influence_N: Array = mean - losses_KN.mean(axis=0)
    variance = float(losses_KN.mean(axis=1).var(ddof=1)) / draws if draws > 1 else None
    return Estimate(
        value=-mean,
        influence_N=influence_N,
        noise_variance=variance or 0.0,
        details={
            **details,
            "standard_error_images": sampling_error(influence_N),
            "standard_error_noise": None if variance is None else math.sqrt(variance),
            "draws": draws,
            "images": images,
        },
    )


@register
class PerturbedLoss(CandidateMeasure):
    """−L(σ) with L(σ) the mean cross-entropy, in nats, under weights w + σ z, z ~ N(0, 1) per scalar.

    One level σ = `perturbed_loss_sigma`, `measure.draws` draws, the same noise as flatness's first level.
    """

    name = "perturbed_loss"
    summary = "negative cross-entropy (nats) under Gaussian weight noise of one strength"
    source = "L(σ) of GeNAS (Jeong et al., IJCAI 2023), Eq. 3, by itself"

    def judge(self, candidate: Candidate) -> Estimate:
        """−L(σ) of the candidate; raises ValueError where a loss is not finite."""
        sigma = self.config.perturbed_loss_sigma
        return negative_mean(losses_under_noise(candidate, self.config, sigma), {"sigma": sigma})
