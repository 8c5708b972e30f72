"""Sharpness-aware minimisation: the ascent to w + ε, and what must rest in the second pass.

A step is: gradient g at w; w ← w + ε(g); gradient at w + ε, with the same images, path, dropout and frozen batch-norm
statistics; w ← w, to the bit; then the base optimiser's step with the second gradient. The base optimiser alone decays
weights and has a state, so clipping, checkpoints and learning rate are those of training without SAM.

Sources: Foret et al., SAM, ICLR 2021 (arXiv 2010.01412); Kwon et al., ASAM, ICML 2021 (arXiv 2102.11600).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lowland.core.recipe import OptimizationConfig

RHO = {"sam": 0.05, "asam": 2.0}
"""Default radius: SAM on CIFAR (Foret et al., §3.1); FlatNAS's adaptive one, element-wise with squared weights."""


class Ascent(torch.optim.Optimizer):
    """The first half of a SAM step, and the way back.

    With g the gradient of all parameters that have one, ⊙ the product by element and norms over all of them:
    plain ε = ρ·g/(‖g‖ + 1e-12); adaptive ε = ρ·w²⊙g/(‖|w|⊙g‖ + 1e-12). Parameters without a gradient, such as
    operations not sampled in a step, stay untouched.

    It is an optimiser so that a `GradScaler` can unscale the first gradient and leave the ascent out where that
    gradient has overflowed. The perturbation is that of `pytorch_optimizer.SAM`. Its closure style would allow no
    scaling, averaging over processes or clipping between the two passes, so it is given a base optimiser that does
    nothing, and takes the two half steps without learning from either.

    Args:
        model: Whose parameters climb.
        rho: Radius ρ > 0.
        adaptive: Element-wise adaptive (ASAM).

    Attributes:
        climbed: Whether the parameters are now at w + ε.

    Example:
        The loss ‖w‖²/2 has gradient w, so from w = (3, 4), of length 5, a radius of 0.5 climbs by ε = 0.5·(3, 4)/5:

        >>> model = nn.Linear(2, 1, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[3.0, 4.0]]))
        >>> (model.weight.square().sum() / 2).backward()
        >>> climb = Ascent(model, rho=0.5, adaptive=False)
        >>> climb.step()
        >>> model.weight.data
        tensor([[3.3000, 4.4000]])
        >>> climb.back()
        >>> model.weight.data
        tensor([[3., 4.]])
    """

    def __init__(self, model: nn.Module, *, rho: float, adaptive: bool) -> None:
        from pytorch_optimizer import SAM  # here, since it takes a second to import

        parameters = list(model.parameters())
        super().__init__(parameters, {})
        self._sam = SAM(parameters, _Idle, rho=rho, adaptive=adaptive)
        self.climbed = False

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """From w to w + ε, by the gradients that parameters hold now."""
        self._sam.first_step()
        self.climbed = True

    def back(self) -> None:
        """From w + ε to w, bit for bit."""
        self._sam.second_step()
        self.climbed = False


class _Idle(torch.optim.Optimizer):
    """A base optimiser that leaves everything as it is."""

    def __init__(self, parameters: Any, **defaults: Any) -> None:
        super().__init__(parameters, defaults)

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Nothing."""


def ascent(model: nn.Module, recipe: OptimizationConfig) -> Ascent | None:
    """The recipe's ascent, such as that of `sgd+sam`; None where the recipe is not sharpness-aware."""
    _, plus, kind = recipe.optimizer.partition("+")
    if not plus:
        return None
    return Ascent(model, rho=RHO[kind] if recipe.sam_rho is None else recipe.sam_rho, adaptive=kind == "asam")


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """A block after which the running statistics of batch norms are what they were before it.

    So running means, variances and counts tell of w only, not of w + ε, and of every batch once. In the block batch
    norms update copies: that holds for every kind of batch norm, and for statistics that are no numbers, which a
    momentum of 0 would let through.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    kept = [(module, name, buffer) for module in norms for name, buffer in module.named_buffers(recurse=False)]
    for module, name, buffer in kept:
        setattr(module, name, buffer.clone())
    try:
        yield
    finally:
        for module, name, buffer in kept:
            setattr(module, name, buffer)
