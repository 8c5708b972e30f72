"""Sharpness as sharpness-aware minimisation sees it: the rise of the loss after one step of ascent.

Array names: P scalars, B pieces (batches).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lowland.core.errors import ConfigError, NotFiniteError
from lowland.measures.curvature.operator import Hessian
from lowland.measures.per_image import Array

ETA = 0.01
"""Added to |w| in the adaptive step, so that weights of 0 can move too (Kwon et al., 2021, Section 4, η = 0.01)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharpness:
    """max L(w + ε) − L(w) over ‖ε‖ ≤ ρ (adaptive: ‖ε/(|w| + η)‖ ≤ ρ), to first order.

    Attributes:
        rho: Radius ρ.
        adaptive: Whether distances are measured in units of |w| + η (ASAM), η = 0.01.
        rise: L(w + ε) − L(w) with ε from the gradient of all images.
        rise_se: Its standard error over batches, ε taken as given; None for one batch.
        by_batch: Mean over batches of L_b(w + ε_b) − L_b(w), each with the ε_b of its own gradient, as in training with
            SAM; the smaller the batches, the greater it is.
        by_batch_se: Its standard error over batches; None for one batch.
        batches: Number of batches B.
    """

    rho: float
    adaptive: bool
    rise: float
    rise_se: float | None
    by_batch: float
    by_batch_se: float | None
    batches: int


def sharpness(hessian: Hessian, rho: float, *, adaptive: bool = False) -> Sharpness:
    """Climb once, as sharpness-aware minimisation does.

    ε = ρ·g/‖g‖ with g = ∇L (SAM, Foret et al., ICLR 2021, Eq. 2); adaptive ε = ρ·T²g/‖Tg‖ with T = |w| + η (ASAM, Kwon
    et al., ICML 2021, Eq. 5). Where g = 0 one step climbs nowhere and the rise is 0.

    Args:
        hessian: The loss and its gradient, of a candidate or of any model.
        rho: Radius ρ > 0; ASAM's are about ten times SAM's.
        adaptive: Whether to scale by the weights.

    Returns:
        The rise of the loss, in its unit.

    Raises:
        ConfigError: ρ is not a positive number.
        NotFiniteError: a loss or gradient is not finite.
    """
    require_radius(rho)
    scale_P = hessian.weights().abs() + ETA if adaptive else None
    clean_B, sizes_B = hessian.losses()
    with hessian.displaced(_ascent(hessian.gradient(), rho, scale_P)):
        above_B, _ = hessian.losses()
    own_B = []
    for piece, clean in zip(hessian.pieces(), clean_B, strict=True):
        with hessian.displaced(_ascent(hessian.slope(piece), rho, scale_P)):
            own_B.append(float(piece.loss(False)[0]) - clean)
    rise, rise_se = mean_and_error(above_B - clean_B, sizes_B)
    by_batch, by_batch_se = mean_and_error(np.array(own_B), sizes_B)
    if not math.isfinite(rise + by_batch):
        raise NotFiniteError(f"loss is not finite at ρ = {rho:g}")
    return Sharpness(
        rho=float(rho),
        adaptive=adaptive,
        rise=rise,
        rise_se=rise_se,
        by_batch=by_batch,
        by_batch_se=by_batch_se,
        batches=len(sizes_B),
    )


def require_radius(rho: float) -> None:
    """Raise ConfigError where ρ is not a positive number."""
    if not (math.isfinite(rho) and rho > 0.0):
        raise ConfigError(f"the radius of sharpness must be a positive number, got {rho!r}")


def mean_and_error(values_B: Array, sizes_B: Array) -> tuple[float, float | None]:
    """Mean of batches weighed by their images, and its standard error √(B/(B − 1)·Σ n_b²·(v_b − v)²)/n over batches.

    Returns:
        Both; None for the error of a single batch.
    """
    weights_B, batches = sizes_B / sizes_B.sum(), len(sizes_B)
    mean = float(weights_B @ values_B)
    if batches == 1:
        return mean, None
    return mean, float(np.linalg.norm(weights_B * (values_B - mean))) * math.sqrt(batches / (batches - 1))


def _ascent(g_P: Tensor, rho: float, scale_P: Tensor | None) -> Tensor:
    scaled_P = g_P if scale_P is None else scale_P * g_P
    length = float(torch.linalg.vector_norm(scaled_P))
    if not math.isfinite(length):
        raise NotFiniteError("gradient of the loss is not finite")
    step_P = scaled_P if scale_P is None else scale_P * scaled_P
    return step_P * (rho / length) if length else torch.zeros_like(step_P)
