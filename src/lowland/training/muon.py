"""Muon: the momentum of convolution kernels is made orthogonal before it is a step; SGD for all other weights.

A kernel of n outputs and m = inputs × height × width weights each is an n×m matrix. Its momentum U·S·Vᵀ becomes nearly
U·Vᵀ (five iterations of Newton and Schulz), so that rare directions count as much as frequent ones:

    b ← μ·b + (1 − μ)·g,   u = (1 − μ)·g + μ·b,   w ← (1 − η·λ)·w − η·√max(1, n/m)·UVᵀ(u)

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the step is that of
`pytorch_optimizer.Muon`.
"""

from __future__ import annotations

import torch
from torch import nn

from lowland.core.recipe import OptimizationConfig

SHARE = 0.5
"""Default rate of kernels, over that of all else."""


class Muon(torch.optim.Optimizer):
    """Orthogonal steps for the kernels of convolutions over several channels, SGD for the rest.

    The rest are norms, biases, the classifier, kernels of depthwise convolutions and of the first one on grey images.
    Both follow one schedule: at a share s of `learning_rate` kernels have s·`muon_learning_rate`, which by default is
    half of it.

    Args:
        model: Whose parameters learn.
        recipe: `muon_learning_rate` η and `muon_weight_decay` λ of the kernels; the rest of SGD. `momentum` and
            `nesterov` are of both.

    Example:
        However small a gradient is, its step has singular values of nearly η (between 0.7 and 1.2 times):

        >>> model = nn.Conv2d(2, 2, 1, bias=False)
        >>> engine = Muon(model, OptimizationConfig(optimizer="muon", muon_learning_rate=0.1))
        >>> before = model.weight.detach().clone()
        >>> model.weight.grad = 1e-6 * torch.tensor([[3.0, 0.0], [0.0, 1.0]])[:, :, None, None]
        >>> engine.step()
        >>> step = (before * (1 - 0.1 * 0.1) - model.weight.detach()).reshape(2, 2)
        >>> bool(((torch.linalg.svdvals(step) > 0.06) & (torch.linalg.svdvals(step) < 0.13)).all())
        True
    """

    def __init__(self, model: nn.Module, recipe: OptimizationConfig) -> None:
        from pytorch_optimizer import Muon as Orthogonal  # here, since it takes a second to import

        kernels = [p for p in model.parameters() if _is_kernel(p)]
        rest = [p for p in model.parameters() if not _is_kernel(p)]
        groups = [{"params": each} for each in (kernels, rest) if each]
        super().__init__(groups, {"lr": recipe.learning_rate})
        own = recipe.muon_learning_rate
        share = SHARE if own is None else own / recipe.learning_rate
        self._engines: list[tuple[torch.optim.Optimizer, float]] = []
        if kernels:
            group = {
                "params": kernels,
                "use_muon": True,
                "momentum": recipe.momentum,
                "nesterov": recipe.nesterov,
                "weight_decay": recipe.muon_weight_decay,
            }
            self._engines.append((Orthogonal([group]), share))
        if rest:
            self._engines.append((sgd(rest, recipe), 1.0))
        for engine, _ in self._engines:
            engine.state = self.state

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of all parameters that have a gradient, at the rate of the parameter groups."""
        rate = self.param_groups[0]["lr"]
        for engine, share in self._engines:
            for group in engine.param_groups:
                group["lr"] = rate * share
            engine.step()


def _is_kernel(parameter: nn.Parameter) -> bool:
    return parameter.ndim == 4 and parameter.shape[1] > 1


def sgd(parameters: list[nn.Parameter], recipe: OptimizationConfig) -> torch.optim.SGD:
    """The recipe's SGD."""
    return torch.optim.SGD(
        parameters,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        foreach=True,
    )
