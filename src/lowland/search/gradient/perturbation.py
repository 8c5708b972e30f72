"""Perturbed mixtures of SDARTS (arXiv 2002.05283): random, or adversarial to the training loss.

Tensor names: K kinds of cells, E edges, O operations.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LossOf = Callable[[Tensor], Tensor]
"""Weights of operations (K, E, O) → the training loss of a batch."""

ASCENTS = 7
"""Steps of the adversary (public code)."""


def radius(share: float, first: float, last: float) -> float:
    """ε after a share of the epochs: it grows linearly, from .03 to .3 in the public code."""
    return first + (last - first) * share


def uniform(weights_KEO: Tensor, live_KEO: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """W + δ with δ ~ U[−ε, ε] for each live entry (SDARTS-RS, Eq. 6)."""
    noise_KEO = torch.rand(weights_KEO.shape, generator=generator).to(weights_KEO.device)
    return weights_KEO + epsilon * (2 * noise_KEO - 1) * live_KEO


def adversarial(
    weights_KEO: Tensor, live_KEO: Tensor, epsilon: float, generator: torch.Generator, loss: LossOf
) -> Tensor:
    """W + δ with the δ in the box |δ| ≤ ε that raises the loss most (SDARTS-ADV, Eq. 7).

    Projected gradient ascent: from a random δ, `ASCENTS` steps of 2ε/7 along the sign of the gradient, each clamped to
    the box. Where the loss is lower than without any, δ is 0.

    Returns:
        The perturbed weights (K, E, O), not yet projected.
    """
    clean = float(loss(weights_KEO).detach())
    delta_KEO = uniform(weights_KEO, live_KEO, epsilon, generator) - weights_KEO
    for _ in range(ASCENTS):
        delta_KEO = delta_KEO.detach().requires_grad_()
        (slope_KEO,) = torch.autograd.grad(loss(weights_KEO + delta_KEO), delta_KEO)
        with torch.no_grad():
            delta_KEO = (delta_KEO + 2 * epsilon / ASCENTS * slope_KEO.sign()).clamp(-epsilon, epsilon) * live_KEO
    perturbed_KEO = weights_KEO + delta_KEO
    return perturbed_KEO if float(loss(perturbed_KEO).detach()) >= clean else weights_KEO


def projected(weights_KEO: Tensor) -> Tensor:
    """Weights clipped to [0, 1] and divided by the sum of their edge, as in the public code.

    The quotient can leave the box that the perturbation kept to.

    Returns:
        (K, E, O), ≥ 0; rows add up to 1, but rows in which all is clipped stay 0.
    """
    clipped_KEO = weights_KEO.clamp(0.0, 1.0)
    return clipped_KEO / clipped_KEO.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(clipped_KEO.dtype).tiny)
