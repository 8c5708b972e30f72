"""Flatness of the loss around a candidate's weights (GeNAS, Eq. 3 and 4).

With L(σ) the mean loss under Gaussian weight noise of standard deviation σ, at σ₁ < … < σ_T:

    slopes = Σ_{i=1}^{T−1} |(L(σ_{i+1}) − L(σ_i)) / (σ_{i+1} − σ_i)|
    depth  = |L(σ₁) / σ₁|
    F      = 1 / (slopes + α·depth)

Array names: K noise draws, T noise levels, N images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lowland.core.errors import NotFiniteError
from lowland.core.settings import NonNegative, Positive, Rate, Section
from lowland.measures.curvature.direction import Scale, losses_along_hessian
from lowland.measures.measure import register
from lowland.measures.per_image import Array, sampling_error
from lowland.measures.perturbation import effective_sigmas
from lowland.measures.shared import CALIBRATED, NOISE
from lowland.measures.subnet import Estimate, Subnet, SubnetMeasure


def flatness_parts(losses: Sequence[float] | Array, sigmas: Sequence[float]) -> tuple[float, float]:
    """`slopes` and `depth` of the loss at increasing noise levels, both in loss per unit of σ."""
    losses_T, sigmas_T = np.asarray(losses, dtype=np.float64), np.asarray(sigmas, dtype=np.float64)
    slopes = np.abs(np.diff(losses_T) / np.diff(sigmas_T)).sum()
    return float(slopes), float(abs(losses_T[0] / sigmas_T[0]))


def flatness_value(losses: Sequence[float] | Array, sigmas: Sequence[float], alpha: float) -> float:
    """Flatness by GeNAS Eq. 4; α = 0 is Eq. 3.

    Args:
        losses: Mean loss at every noise level.
        sigmas: Noise levels, increasing.
        alpha: Weight of the depth term.

    Returns:
        F = 1/(slopes + α·depth) in units of σ per loss; greater is flatter and deeper.

    Raises:
        NotFiniteError: the denominator is 0, so the flatness is infinite.

    Example:
        At the minimum of a quadratic with Hessian H, noise σ costs L(σ) = σ²/2·tr H on average, so slopes are
        tr H/2·Σ(σᵢ + σᵢ₊₁), depth is tr H/2·σ₁, and F is inverse to the trace. With tr H = 2, F = 1/((3 + 5) + α·1):

        >>> sigmas, trace = (1.0, 2.0, 3.0), 2.0
        >>> losses = [trace / 2 * sigma**2 for sigma in sigmas]
        >>> flatness_value(losses, sigmas, alpha=0.0)
        0.125
        >>> flatness_value(losses, sigmas, alpha=2.0)
        0.1
    """
    slopes, depth = flatness_parts(losses, sigmas)
    denominator = slopes + alpha * depth
    if not denominator > 0.0:
        raise NotFiniteError(
            f"flatness is infinite: the loss does not change between the noise levels {list(sigmas)} (α = {alpha:g})"
        )
    return 1.0 / denominator


def flatness_gradient(losses: Sequence[float] | Array, sigmas: Sequence[float], alpha: float) -> Array:
    """Derivative of the flatness by the loss at every level.

    At a kink (two equal losses) the sub-gradient that ignores this slope is taken.

    Returns:
        ∂F/∂L(σᵢ) (T,): −F² times the signed weight with which each loss enters the denominator.
    """
    losses_T, sigmas_T = np.asarray(losses, dtype=np.float64), np.asarray(sigmas, dtype=np.float64)
    signed = np.sign(np.diff(losses_T)) / np.diff(sigmas_T)
    weights_T = np.zeros_like(losses_T)
    weights_T[1:] += signed
    weights_T[:-1] -= signed
    weights_T[0] += alpha * np.sign(losses_T[0]) / sigmas_T[0]
    gradient: Array = -(flatness_value(losses, sigmas, alpha) ** 2) * weights_T
    return gradient


@dataclass(frozen=True, kw_only=True, slots=True)
class FlatnessEstimate:
    """Flatness estimated from K draws, T levels and N images.

    With L̂ᵢ the mean over draws and images and F̂ = F(L̂), the standard error is √(images² + noise²):

    - images: the delta method over images, which are the same at every level, so that their covariance counts:
      Uₙ = Σᵢ ∂F/∂Lᵢ·(lₙᵢ − L̂ᵢ) with lₙᵢ the loss of image n averaged over draws; images² = Σ Uₙ²/N².
    - noise: the jackknife over draws; with F₍ₖ₎ the flatness without draw k (at all levels),
      noise² = (K − 1)/K · Σₖ (F₍ₖ₎ − F̄₍·₎)². Not estimable from one draw.

    Draws and images are crossed; the sum counts their interaction twice, so it errs on the side of caution by at most
    the interaction's variance/(N·K).

    Attributes:
        value: F̂.
        slopes: Sum of absolute slopes, loss per unit of σ.
        depth: L̂(σ₁)/σ₁, loss per unit of σ.
        losses_T: L̂ at every level.
        losses_se_T: Their standard errors, over images and, from two draws on, over draws.
        influence_N: Uₙ.
        noise_se: The jackknife's standard error, or None for one draw.
    """

    value: float
    slopes: float
    depth: float
    losses_T: Array
    losses_se_T: Array
    influence_N: Array
    noise_se: float | None

    @property
    def images_se(self) -> float:
        """Standard error over images alone."""
        return sampling_error(self.influence_N)


def estimate_flatness(losses_KTN: Array, sigmas: Sequence[float], alpha: float) -> FlatnessEstimate:
    """Estimate the flatness from per-image losses (K draws, T levels, N images).

    Returns:
        The flatness with its standard errors, over images and over draws.

    Raises:
        NotFiniteError: the flatness is infinite.

    Example:
        The loss ‖w‖²/2 of P weights at w = 0 has tr H = P, so L(σ) = σ²·P/2, and with α = 1 and levels 1, 2, 3
        F = 2/(9·P) (see `flatness_value`). Drawing the noise instead finds it within its standard error:

        >>> z_KP = np.random.default_rng(0).standard_normal((100, 50))
        >>> losses_KT = np.array([[np.sum((sigma * z_P) ** 2) / 2 for sigma in (1, 2, 3)] for z_P in z_KP])
        >>> found = estimate_flatness(losses_KT[:, :, None], sigmas=(1, 2, 3), alpha=1.0)
        >>> exact = 2 / (9 * 50)
        >>> abs(found.value - exact) < 2 * found.noise_se < 0.05 * exact
        True
    """
    draws, _, images = losses_KTN.shape
    losses_TN = losses_KTN.mean(axis=0)
    losses_T: Array = losses_TN.mean(axis=1)
    slopes, depth = flatness_parts(losses_T, sigmas)
    residuals_TN = losses_TN - losses_T[:, None]
    variance_T = (residuals_TN**2).sum(axis=1) / images**2
    noise_se = None
    if draws > 1:
        losses_KT = losses_KTN.mean(axis=2)
        variance_T = variance_T + losses_KT.var(axis=0, ddof=1) / draws
        without_KT = (losses_KT.sum(axis=0) - losses_KT) / (draws - 1)
        values_K = np.array([flatness_value(left_T, sigmas, alpha) for left_T in without_KT])
        noise_se = math.sqrt((draws - 1) / draws * float(((values_K - values_K.mean()) ** 2).sum()))
    return FlatnessEstimate(
        value=flatness_value(losses_T, sigmas, alpha),
        slopes=slopes,
        depth=depth,
        losses_T=losses_T,
        losses_se_T=np.sqrt(variance_T),
        influence_N=flatness_gradient(losses_T, sigmas, alpha) @ residuals_TN,
        noise_se=noise_se,
    )


@register
class Flatness(SubnetMeasure):
    """F on the search split; weights perturbed around the inherited ones, batch norm calibrated at clean weights.

    Along Gaussian noise, or along the loss Hessian's top eigenvectors (`direction`; Table 7).
    """

    name = "flatness"
    summary = "inverse of the loss's slope and depth under weight noise (flat and deep is good)"
    source = "GeNAS (Jeong et al., IJCAI 2023), Eq. 3 and 4"

    needs = (*CALIBRATED, *NOISE, "draws", "noise_images", "hessian_images")

    class Config(Section):
        """Settings of flatness."""

        sigmas: tuple[Rate, ...] = Field((2e-3, 1e-2, 2e-2), description="noise levels σ₁ < σ₂ < …")
        alpha: NonNegative = Field(1.0, description="weight of the depth term (Eq. 4); 0 gives Eq. 3")
        gamma: NonNegative = Field(16.0, description="weight in a sum (Eq. 5)")
        beta: Rate | None = Field(None, description="scale in a sum; default 1/σ₁")
        levels: Literal["absolute", "incremental"] = Field(
            "absolute", description="noise of std σᵢ each time, or increments σᵢ − σᵢ₋₁ added up as in the public code"
        )
        direction: Literal["random", "hessian"] = Field(
            "random", description="along Gaussian noise, or along the Hessian's top eigenvectors (GeNAS Table 7)"
        )
        hessian_vectors: Positive = Field(1, description="how many top eigenvectors the direction hessian follows")
        hessian_scale: Scale = Field(
            "unit", description="along these, move by σ (PyHessian), or by σ·√P as far as noise on P weights does"
        )

        @model_validator(mode="after")
        def _increasing(self) -> Self:
            if len(self.sigmas) < 2 or any(b <= a for a, b in zip(self.sigmas, self.sigmas[1:], strict=False)):
                raise ValueError(f"sigmas must be at least two increasing values, got {list(self.sigmas)}")
            return self

    options: Config

    @property
    def weight(self) -> float:
        """γ·β with β = 1/σ₁ unless set (Eq. 5)."""
        beta = self.options.beta if self.options.beta is not None else 1.0 / self.options.sigmas[0]
        return self.options.gamma * beta

    def identity(self) -> dict[str, Any]:
        """As of every measure; `hessian_scale` is told only where it is the unit scale of a Hessian direction.

        So identities from before that setting, all of the scale `noise`, mean what they meant.

        Returns:
            The settings that decide its scores.
        """
        found = super().identity()
        if self.options.direction == "random" or self.options.hessian_scale == "noise":
            del found["options"]["hessian_scale"]
        return found

    def judge(self, subnet: Subnet) -> Estimate:
        """Flatness of the candidate; raises NotFiniteError where a loss is not finite or the flatness is infinite."""
        own = self.options
        facts: dict[str, Any] = {}
        if own.direction == "hessian":
            losses_KTN, facts = losses_along_hessian(
                subnet, own.sigmas, own.levels, own.hessian_vectors, own.hessian_scale, self.shared
            )
        else:
            losses_KTN = subnet.losses_under_noise(own.sigmas, own.levels, self.shared)
        found = estimate_flatness(losses_KTN, own.sigmas, own.alpha)
        return Estimate(
            value=found.value,
            influence_N=subnet.noise_influence(found.influence_N, self.shared),
            noise_variance=0.0 if found.noise_se is None else found.noise_se**2,
            details={
                "slopes": found.slopes,
                "depth": found.depth,
                "sigmas": list(own.sigmas),
                "effective_sigmas": list(effective_sigmas(own.sigmas, own.levels)),
                "losses": found.losses_T.tolist(),
                "losses_standard_error": found.losses_se_T.tolist(),
                "standard_error_images": found.images_se,
                "standard_error_noise": found.noise_se,
                "draws": losses_KTN.shape[0],
                "images": losses_KTN.shape[2],
                **facts,
            },
        )
