"""Robustness of the accuracy to relative weight noise (FlatNAS): how many points a random perturbation changes it by.

Array names: K noise draws (M in the paper), S signs (one, or ± where antithetic), N images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from lowland.core.config import MeasureConfig
from lowland.core.settings import Positive, Rate, Section
from lowland.measures.measure import register
from lowland.measures.noise.draws import outcomes_under_noise
from lowland.measures.per_image import Array, sampling_error
from lowland.measures.shared import CALIBRATED, NOISE
from lowland.measures.subnet import Estimate, Subnet, SubnetMeasure


@dataclass(frozen=True, kw_only=True, slots=True)
class RobustnessEstimate:
    """R estimated from K draws and N images, all in percentage points.

    With âₖ the change 100·(acc(w) − acc(w ⊙ (1 + σ zₖ))) on the images, R̂ = (1/K) Σₖ |âₖ|; its standard error is
    √(images² + noise²):

    - images: the delta method over images, which are the same for every draw: Uₙ = (1/K) Σₖ sign(âₖ)·(aₙₖ − âₖ) with
      aₙₖ ∈ {−100, 0, 100} the change of image n; images² = Σ Uₙ²/N². A draw that changes nothing counts 0.
    - noise: the variance of |âₖ| over draws; noise² = s²/K. Not estimable from one draw.

    The absolute value makes R̂ too large on few images: where a draw's true change aₖ is small against the sampling
    error eₖ of âₖ (√(share of images that change sides/N)), |âₖ| is folded-normal with mean √(2/π)·eₖ instead of |aₖ|;
    the bias is gone where |aₖ| > 2eₖ. Draws do not average it away, images do. It is much the same for candidates of
    similar accuracy judged on the same images, so it hides small differences in R rather than inventing large ones.

    Attributes:
        value: R̂.
        error: 100 − top-1 accuracy of the clean network.
        accuracies_KS: Top-1 accuracy under each draw, in percent.
        influence_N: Uₙ.
        error_influence_N: How much each image moves `error`.
        noise_se: Standard error over draws, or None for one draw.
    """

    value: float
    error: float
    accuracies_KS: Array
    influence_N: Array
    error_influence_N: Array
    noise_se: float | None

    @property
    def noise_variance(self) -> float:
        """Variance of R̂ over the choice of noise, 0 where it is not estimated."""
        return 0.0 if self.noise_se is None else self.noise_se**2


def estimate_robustness(clean_N: Array, correct_KSN: Array) -> RobustnessEstimate:
    """Estimate R from which images are classified correctly.

    Args:
        clean_N: 1 where the clean network is right, else 0.
        correct_KSN: The same under every draw and sign; the signs of one draw count as one.

    Returns:
        R in percentage points with its standard errors, over images and over draws.

    Example:
        A linear model says "yes" where w·x > 0. Under the noise w ⊙ (1 + σ z) that sum is normal with mean w·x and
        standard deviation σ·‖w ⊙ x‖, so an image that was right turns wrong with probability Φ(−w·x/(σ·‖w ⊙ x‖)), and R
        of one image is 100 times that. Four equal terms under σ = 2 give 100·Φ(−4/(2·2)) = 15.87 points:

        >>> from statistics import NormalDist
        >>> w_P, x_P, sigma = np.ones(4), np.ones(4), 2.0
        >>> exact = 100 * NormalDist().cdf(-(w_P @ x_P) / (sigma * np.linalg.norm(w_P * x_P)))
        >>> round(exact, 2)
        15.87
        >>> z_KP = np.random.default_rng(0).standard_normal((4000, 4))
        >>> correct_K = (w_P * (1 + sigma * z_KP)) @ x_P > 0
        >>> found = estimate_robustness(np.ones(1), correct_K[:, None, None].astype(float))
        >>> abs(found.value - exact) < 2 * found.noise_se < 1.2
        True
    """
    draws = len(correct_KSN)
    change_KSN = 100.0 * (clean_N - correct_KSN)
    change_KS = change_KSN.mean(axis=2)
    size_K = np.abs(change_KS).mean(axis=1)
    centred_KSN = change_KSN - change_KS[:, :, None]
    influence_N: Array = (np.sign(change_KS)[:, :, None] * centred_KSN).mean(axis=(0, 1))
    return RobustnessEstimate(
        value=float(size_K.mean()),
        error=100.0 * (1.0 - float(clean_N.mean())),
        accuracies_KS=100.0 * correct_KSN.mean(axis=2),
        influence_N=influence_N,
        error_influence_N=100.0 * (clean_N.mean() - clean_N),
        noise_se=math.sqrt(float(size_K.var(ddof=1)) / draws) if draws > 1 else None,
    )


def robustness_of(subnet: Subnet, sigma: float, draws: int, shared: MeasureConfig) -> RobustnessEstimate:
    """R(x, σ) of a calibrated candidate under `draws` draws of relative noise of level `sigma`.

    The noise w ⊙ (1 + σ z) is on every parameter on the path, batch-norm scale and shift and biases too (or on searched
    operations only: `measure.position`); buffers keep the statistics calibrated at clean weights.

    Returns:
        R(x, σ) in percentage points, with its standard errors.

    Raises:
        NotFiniteError: a loss is not finite.
    """
    clean_N = subnet.clean.correct_N
    found = outcomes_under_noise(subnet, shared, sigma, draws, relative=True)
    return estimate_robustness(clean_N, np.array([[outcome.correct_N for outcome in signed] for signed in found]))


def robustness_details(found: RobustnessEstimate, sigma: float, draws: int) -> dict[str, object]:
    """What a score that contains R keeps, as JSON: percentages, standard errors and sample sizes."""
    return {
        "robustness": found.value,
        "robustness_standard_error": math.hypot(sampling_error(found.influence_N), found.noise_se or 0.0),
        "standard_error_images": sampling_error(found.influence_N),
        "standard_error_noise": found.noise_se,
        "accuracy_percent": 100.0 - found.error,
        "error_percent": found.error,
        "error_percent_standard_error": sampling_error(found.error_influence_N),
        "accuracies_percent": found.accuracies_KS.flatten().tolist(),
        "sigma": sigma,
        "draws": draws,
        "images": len(found.influence_N),
    }


@register
class Robustness(SubnetMeasure):
    """−R(x, σ) with R = (1/M) Σᵢ |acc(w) − acc(w ⊙ (1 + σ zᵢ))|, z ~ N(0, 1) per scalar, in percentage points.

    R does not know how accurate the network is: one that guesses is robust. `flatnas` weighs it against the error.
    """

    name = "robustness"
    summary = "change of accuracy (percentage points, negative) under relative weight noise"
    source = "FlatNAS (Gambella et al., 2024, arXiv 2402.19102), robustness R(x, σ)"

    needs = (*CALIBRATED, *NOISE)

    class Config(Section):
        """Settings of R, which `flatnas` follows too."""

        sigma: Rate = Field(0.05, description="relative noise σ of R(x, σ)")
        draws: Positive = Field(20, description="noise draws M")

    options: Config

    def judge(self, subnet: Subnet) -> Estimate:
        """−R of the candidate; raises NotFiniteError where a loss is not finite."""
        sigma, draws = self.options.sigma, self.options.draws
        found = robustness_of(subnet, sigma, draws, self.shared)
        return Estimate(
            value=-found.value,
            influence_N=-found.influence_N,
            noise_variance=found.noise_variance,
            details=robustness_details(found, sigma, draws),
        )
