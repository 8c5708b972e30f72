"""DropNAS: operations are dropped by groups, and weights and α learn together.

Tensor names: K kinds of cells, E edges, O operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from lowland.core.config import Config as RunConfig
from lowland.core.errors import ConfigError
from lowland.search.gradient import architecture as maths
from lowland.search.gradient.architecture import Architecture
from lowland.search.gradient.method import GradientConfig, Moment
from lowland.spaces.relaxed import Mixture
from lowland.workflow.searchers.gradient.family import GradientSearcher
from lowland.workflow.searchers.searcher import register


def kept_operations(
    size: tuple[int, int, int], groups: Sequence[Sequence[int]], rate: float, generator: torch.Generator
) -> Tensor:
    """Draw which operations an edge keeps (DropNAS, §3.2).

    Each of a group of n drops out with probability rate^(1/n), so that `rate` is how often all of them would; then
    one of them, at random, stays.

    Returns:
        bool (K, E, O).
    """
    kept_KEO = torch.ones(size, dtype=torch.bool)
    for group in groups:
        chance = torch.rand(*size[:2], len(group), generator=generator)
        kept_KEn = chance >= rate ** (1 / len(group))
        saved_KE1 = torch.randint(len(group), (*size[:2], 1), generator=generator)
        empty_KE1 = ~kept_KEn.any(dim=-1, keepdim=True)
        kept_KEn |= empty_KE1 & (torch.arange(len(group)) == saved_KE1)
        kept_KEO[..., list(group)] = kept_KEn
    return kept_KEO


def rebalanced(alpha_KEO: Tensor, kept_KEO: Tensor, mass_KE: Tensor) -> Tensor:
    """Shift the α of kept operations so that their total probability is again what it was before the step.

    α += ln[ρ/(1 − ρ)·Σ_dropped e^α / Σ_kept e^α], ρ the mass before (DropNAS, its code). Where all are kept, nothing
    is to be put right.

    Returns:
        α (K, E, O).
    """
    empty = float("-inf")
    kept_KE = alpha_KEO.masked_fill(~kept_KEO, empty).logsumexp(dim=-1)
    dropped_KE = alpha_KEO.masked_fill(kept_KEO, empty).logsumexp(dim=-1)
    shift_KE = torch.where(kept_KEO.all(dim=-1), 0.0, mass_KE.logit() + dropped_KE - kept_KE)
    return torch.where(kept_KEO, alpha_KEO + shift_KE.unsqueeze(-1), alpha_KEO)


@register
class DropNas(GradientSearcher):
    """One level: weights and α learn from all training images, in the same step, from the operations kept in it."""

    name = "dropnas"
    summary = "DARTS on one level, with operations dropped by groups in every step"
    source = "Hong et al., DropNAS, IJCAI 2020 (arXiv 2201.10493)"
    learns: ClassVar[Literal["bilevel", "together", "by epoch"]] = "together"

    class Config(GradientConfig):
        """How much is dropped."""

        drop_rate: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
            3e-5, description="r: probability with which a whole group of n would drop; each of it drops with r^(1/n)"
        )

    options: DropNas.Config

    def require(self, config: RunConfig) -> None:
        """Refuse what has no sense where there is one step for both."""
        super().require(config)
        if "+" in config.supernet.optimizer:
            raise ConfigError(
                f"searcher {self.name} learns weights and architecture in one pass, and supernet.optimizer="
                f"{config.supernet.optimizer} makes two; take sgd or adamw"
            )
        for name, off in (("order", "first"), ("flat_rho", 0.0), ("stop", "never"), ("warmup_epochs", 0)):
            if getattr(self.options, name) != off:
                raise ConfigError(
                    f"search.options.{self.name}.{name} is of searches that learn the architecture from images of its "
                    "own; leave it out"
                )

    def for_weights(self, architecture: Architecture, moment: Moment) -> Mixture:
        """Softmax over the operations kept in this step."""
        relaxation = architecture.relaxation
        others = [place for place in range(len(relaxation.operations)) if place not in relaxation.convolutions]
        groups = (relaxation.convolutions, others)
        kept_KEO = kept_operations(relaxation.size, groups, self.options.drop_rate, moment.generator())
        self._kept = kept_KEO.to(architecture.operations_KEO.device)
        kept = Architecture(relaxation, architecture.operations_KEO, architecture.live_KEO & self._kept)
        return Mixture(maths.softmax(kept))

    @property
    def adam_decay(self) -> float:
        """None: decay is a step of its own, of what has a gradient."""
        return 0.0

    def step(self, architecture: Architecture, optimizer: torch.optim.Optimizer) -> None:
        """Adam; decay of what has a gradient; and the mass of the kept operations as before."""
        alpha_KEO = architecture.operations_KEO
        mass_KE = (maths.softmax(architecture).detach() * self._kept).sum(dim=-1)
        moved_KEO = torch.zeros_like(self._kept) if alpha_KEO.grad is None else alpha_KEO.grad != 0
        optimizer.step()
        with torch.no_grad():
            alpha_KEO.mul_(1 - self.options.learning_rate * self.options.weight_decay * moved_KEO)
            alpha_KEO.copy_(rebalanced(alpha_KEO, self._kept, mass_KE))
