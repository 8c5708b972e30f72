"""The loss landscape around a network: loss against the strength σ of Gaussian weight noise (GeNAS Figures 2 and 3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from lowland.core.errors import ConfigError, LowlandError
from lowland.evaluation.classification import standard_error


def loss_curve(
    loss_at: Callable[[float, int], float],
    sigmas: Sequence[float],
    draws: int,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """L(σ) = mean over draws of the loss with noise N(0, σ²) added to the weights.

    A flat minimum shows as a curve that stays low while σ grows. At σ = 0 all draws agree, so it is evaluated once.

    Args:
        loss_at: (σ, draw) → mean cross-entropy in nats; the same arguments must give the same loss.
        sigmas: Standard deviations of the noise, ≥ 0, in the unit of the weights.
        draws: Independent noise draws per σ, ≥ 1.
        progress: Called with (evaluations done, in all).

    Returns:
        `sigmas`; `loss`, the mean loss at each, nats; `standard_error` over the draws at each (0 at σ = 0; None where
        there is a single draw); and `draws`.

    Raises:
        ConfigError: a σ is negative or not finite, there is none, or `draws` < 1.
        LowlandError: a loss is NaN or infinite.
    """
    if not sigmas or any(not math.isfinite(sigma) or sigma < 0 for sigma in sigmas):
        raise ConfigError(f"evaluate.curve_sigmas must be one or more finite values ≥ 0, got {list(sigmas)}")
    if draws < 1:
        raise ConfigError(f"evaluate.curve_draws must be at least 1, got {draws}")
    total = sum(draws if sigma > 0 else 1 for sigma in sigmas)
    done = 0
    means: list[float] = []
    errors: list[float | None] = []
    for sigma in sigmas:
        losses: list[float] = []
        for draw in range(draws if sigma > 0 else 1):
            losses.append(float(loss_at(sigma, draw)))
            if not math.isfinite(losses[-1]):
                raise LowlandError(
                    f"the loss with weight noise σ = {sigma:g} is {losses[-1]} (draw {draw}); "
                    "leave large values out of evaluate.curve_sigmas, or use compute.precision=fp32"
                )
            done += 1
            if progress is not None:
                progress(done, total)
        values = torch.tensor(losses, dtype=torch.float64)
        means.append(float(values.mean()))
        errors.append(standard_error(values) if sigma > 0 else 0.0)
    return {"sigmas": [float(sigma) for sigma in sigmas], "loss": means, "standard_error": errors, "draws": draws}
