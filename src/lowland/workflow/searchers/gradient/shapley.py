"""Shapley-NAS: operations are worth what the supernet loses without them.

Tensor names: K kinds of cells, E edges, O operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from lowland.core.config import Config as RunConfig
from lowland.core.errors import ConfigError
from lowland.core.settings import Positive, Rate
from lowland.search.gradient.architecture import Architecture
from lowland.search.gradient.method import Accuracy, GradientConfig
from lowland.spaces.relaxed import Mixture
from lowland.workflow.searchers.gradient.family import GradientSearcher
from lowland.workflow.searchers.searcher import register


def shapley_values(
    live_KEO: Tensor, accuracy: Callable[[Tensor], float], permutations: int, enough: float, generator: torch.Generator
) -> Tensor:
    """Shapley value of each operation by sampled permutations (Shapley-NAS, §3.2; Castro et al., 2009).

    In a random order operations are taken away one by one; each is worth what the accuracy loses by it. A permutation
    ends where the accuracy falls below `enough` times that of all; what is left is worth 0 in it.

    Args:
        live_KEO: Which operations there are.
        accuracy: Which operations are there (K, E, O) → accuracy in [0, 1].
        permutations: How many are sampled.
        enough: Share of the accuracy at which a permutation ends.
        generator: Of the permutations.

    Returns:
        Mean minus standard deviation over the permutations (K, E, O); 0 for what is no operation.
    """
    places = live_KEO.cpu().nonzero()
    whole = accuracy(live_KEO)
    marginal = torch.zeros(permutations, *live_KEO.shape)
    for sampled_KEO in marginal:
        there_KEO, before = live_KEO.clone(), whole
        for number in torch.randperm(len(places), generator=generator).tolist():
            place = tuple(places[number].tolist())
            there_KEO[place] = False
            now = accuracy(there_KEO)
            sampled_KEO[place] = before - now
            before = now
            if now < enough * whole:
                break
    spread_KEO = marginal.std(dim=0) if permutations > 1 else torch.zeros_like(marginal[0])
    return marginal.mean(dim=0) - spread_KEO


def standardised(values_KEO: Tensor, live_KEO: Tensor) -> Tensor:
    """z-scores of the live values within each kind of cell; 0 for others, and where all are alike."""
    found_KEO = torch.zeros_like(values_KEO)
    for values_EO, live_EO, target_EO in zip(values_KEO, live_KEO.cpu(), found_KEO, strict=True):
        chosen = values_EO[live_EO]
        deviation = float(chosen.std())
        if deviation > 0:
            target_EO[live_EO] = (chosen - chosen.mean()) / deviation
    return found_KEO


@register
class Shapley(GradientSearcher):
    """PC-DARTS' supernet; after a warm-up α moves along the Shapley values of operations, without a gradient."""

    name = "shapley"
    summary = "operations are worth the accuracy that the supernet loses without them (Shapley values)"
    source = "Xiao et al., Shapley-NAS, CVPR 2022 (arXiv 2206.09811)"
    edges: ClassVar[bool] = True
    learns: ClassVar[Literal["bilevel", "together", "by epoch"]] = "by epoch"

    class Config(GradientConfig):
        """How values are sampled, and how α follows them."""

        learning_rate: Rate = Field(0.1, description="of α along the averaged values")
        warmup_epochs: Annotated[int, Field(ge=0)] = Field(25, description="epochs before the first values")
        batch_size: Annotated[int, Field(ge=2)] = Field(1024, description="search-split images that accuracies are of")
        partial: Positive = Field(4, description="K: operations see 1/K of the channels")
        permutations: Positive = Field(10, description="sampled in each epoch")
        enough: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
            0.5, description="share of the accuracy below which a permutation ends"
        )
        average: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.8, description="decay of the averaged values")

    options: Shapley.Config

    @property
    def partial(self) -> int:
        """K."""
        return self.options.partial

    def require(self, config: RunConfig) -> None:
        """Refuse settings of gradients, of which there are none."""
        super().require(config)
        for name, off in (("order", "first"), ("flat_rho", 0.0), ("stop", "never")):
            if getattr(self.options, name) != off:
                raise ConfigError(
                    f"search.options.{self.name}.{name} is of searches that learn by gradients in α, and this one has "
                    "none; leave it out"
                )

    def epoch_ended(
        self, architecture: Architecture, epoch: int, memory: dict[str, Tensor], accuracy: Accuracy, seed: int
    ) -> None:
        """Move α along the averaged z-scores of the epoch's Shapley values."""
        if epoch < self.options.warmup_epochs:
            return
        full, own = self.mixture(architecture).detached(), self.options

        def without(there_KEO: Tensor) -> float:
            return accuracy(Mixture(full.operations_KEO * there_KEO, full.edges_KE))

        generator = torch.Generator().manual_seed(seed)
        values_KEO = shapley_values(architecture.live_KEO, without, own.permutations, own.enough, generator)
        scores_KEO = standardised(values_KEO, architecture.live_KEO).to(full.operations_KEO.device)
        if "average" in memory:
            scores_KEO = own.average * memory["average"] + (1 - own.average) * scores_KEO
        memory["average"] = scores_KEO
        with torch.no_grad():
            architecture.operations_KEO.add_(scores_KEO, alpha=own.learning_rate)
