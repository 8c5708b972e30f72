"""Gradients of the validation loss with respect to architecture parameters: first order, second order, flat.

Losses are called anew for every pass, at the weights and architecture parameters of that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

Loss = Callable[[], Tensor]
Gradients = list[Tensor]

RADIUS = 0.01
"""Length of the step of DARTS' finite difference (its code)."""


@dataclass(frozen=True, slots=True)
class WeightStep:
    """The step of the weights that the second order looks ahead by.

    Attributes:
        weights: Parameters of the supernet.
        rate: ξ, the learning rate.
        momentum: Of SGD.
        decay: Weight decay.
        buffers: Momentum buffer of each weight; None where it has none yet.
    """

    weights: Sequence[Tensor]
    rate: float
    momentum: float
    decay: float
    buffers: Sequence[Tensor | None]


def gradient(loss: Tensor, parameters: Sequence[Tensor]) -> Gradients:
    """∇ of a loss; zeros where a parameter plays no part in it."""
    found = torch.autograd.grad(loss, list(parameters), allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def first_order(validation: Loss, alphas: Sequence[Tensor]) -> Gradients:
    """∇α L_val(w, α), at the weights as they are (DARTS, ξ = 0)."""
    return gradient(validation(), alphas)


def second_order(train: Loss, validation: Loss, alphas: Sequence[Tensor], step: WeightStep) -> Gradients:
    """The gradient through one step of the weights (DARTS, Eqs. 7 and 8).

    With w′ = w − ξ·(momentum·buffer + ∇w L_tr(w, α) + decay·w), v = ∇w′ L_val(w′, α) and r = .01/‖v‖:

        ∇α L_val(w′, α) − ξ·[∇α L_tr(w + r·v, α) − ∇α L_tr(w − r·v, α)] / 2r

    Weights are afterwards what they were, bit for bit.

    Returns:
        One gradient for each of `alphas`.
    """
    weights = step.weights
    ahead = gradient(train(), weights)
    with torch.no_grad():
        move = [
            g + step.decay * w + (0.0 if buffer is None else step.momentum * buffer)
            for g, w, buffer in zip(ahead, weights, step.buffers, strict=True)
        ]
    with moved(weights, move, -step.rate):
        both = gradient(validation(), [*alphas, *weights])
    direct, v = both[: len(alphas)], both[len(alphas) :]
    norm = torch.sqrt(sum(((part**2).sum() for part in v), torch.zeros((), device=v[0].device)))
    if float(norm) == 0.0:
        return direct
    radius = RADIUS / float(norm)
    with moved(weights, v, radius):
        above = gradient(train(), alphas)
    with moved(weights, v, -radius):
        below = gradient(train(), alphas)
    return [g - step.rate * (p - n) / (2 * radius) for g, p, n in zip(direct, above, below, strict=True)]


def flat(
    gradients: Callable[[], Gradients],
    alphas: Sequence[Tensor],
    *,
    rho: float,
    epsilon: float,
    at: str = "perturbed",
) -> Gradients:
    """The gradient of the loss at the end of an ascent of length ρ·‖∇‖ (A²M, arXiv 2503.10404; not normalised).

    With α̃ = α + ρ·∇L(α) and g̃ = ∇L(α̃): g̃ + ρ·[∇L(a + ε·g̃) − ∇L(a − ε·g̃)] / 2ε, whose second part is ρ·∇²L(a)·g̃.
    The chain rule asks for a = α; the public code takes a = α̃.

    Args:
        gradients: ∇L at the architecture parameters of the moment, first or second order.
        alphas: The parameters; afterwards what they were, bit for bit.
        rho: ρ; 0: the plain gradient.
        epsilon: ε of the finite difference.
        at: `perturbed`: a = α̃; `start`: a = α.

    Returns:
        One gradient for each of `alphas`.
    """
    start = gradients()
    if rho == 0.0:
        return start
    with moved(alphas, start, rho):
        ascended = gradients()
        if at == "perturbed":
            product = _hessian_product(gradients, alphas, ascended, epsilon)
    if at != "perturbed":
        product = _hessian_product(gradients, alphas, ascended, epsilon)
    return [g + rho * h for g, h in zip(ascended, product, strict=True)]


def _hessian_product(
    gradients: Callable[[], Gradients], alphas: Sequence[Tensor], direction: Gradients, epsilon: float
) -> Gradients:
    """∇²L·d by a central difference."""
    with moved(alphas, direction, epsilon):
        above = gradients()
    with moved(alphas, direction, -epsilon):
        below = gradients()
    return [(p - n) / (2 * epsilon) for p, n in zip(above, below, strict=True)]


@contextmanager
def moved(tensors: Sequence[Tensor], direction: Sequence[Tensor], length: float) -> Iterator[None]:
    """A block in which `tensors` are moved by `length` times `direction`; then they are put back, bit for bit."""
    kept = [tensor.detach().clone() for tensor in tensors]
    try:
        with torch.no_grad():
            for tensor, part in zip(tensors, direction, strict=True):
                tensor.add_(part, alpha=length)
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, kept, strict=True):
                tensor.copy_(value)
