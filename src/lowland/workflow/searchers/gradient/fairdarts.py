"""FairDARTS: operations do not compete; each is open or shut."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from lowland.core.errors import ConfigError
from lowland.core.settings import NonNegative, Probability, Rate
from lowland.search.gradient import architecture as maths
from lowland.search.gradient.architecture import Architecture
from lowland.search.gradient.method import GradientConfig
from lowland.spaces.relaxed import Mixture, Relaxation
from lowland.workflow.searchers.gradient.family import GradientSearcher
from lowland.workflow.searchers.searcher import register


def zero_one(architecture: Architecture) -> Tensor:
    """L₀₁ = −mean (σ(α) − ½)² over the live operations (FairDARTS, Eq. 6): its descent drives each σ to 0 or 1."""
    return -((architecture.operations_KEO.sigmoid() - 0.5) ** 2)[architecture.live_KEO].mean()


@register
class FairDarts(GradientSearcher):
    """Sigmoids instead of a softmax; edges whose operations all stay below the threshold are left out."""

    name = "fairdarts"
    summary = "a sigmoid for each operation, driven to 0 or 1; edges without an open operation are left out"
    source = "Chu et al., FairDARTS, ECCV 2020 (arXiv 1911.12126)"
    none: ClassVar[bool] = False

    class Config(GradientConfig):
        """The zero-one loss, and what counts as open."""

        learning_rate: Rate = Field(3e-3, description="of architecture parameters (Adam)")
        first_beta: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.9, description="β1 of Adam; β2 is .999")
        batch_size: Annotated[int, Field(ge=2)] = Field(128, description="search-split images of an α step")
        zero_one: NonNegative = Field(10.0, description="weight of the zero-one loss")
        threshold: Probability = Field(0.85, description="σ(α) from which an operation is open")

    options: FairDarts.Config

    def require_relaxation(self, relaxation: Relaxation) -> None:
        """Refuse cells whose nodes must have a number of edges."""
        if relaxation.kept is not None and relaxation.fewest == relaxation.kept:
            raise ConfigError(
                f"searcher {self.name} leaves out edges whose operations all stay shut, but every node of this space "
                f"needs {relaxation.fewest}; take space nasbench201 or darts-open"
            )

    def initial(self, relaxation: Relaxation, device: torch.device, seed: int) -> Architecture:
        """All begin half open: α = 0."""
        return Architecture.initial(relaxation, device, seed, none=self.none, spread=0.0)

    def mixture(self, architecture: Architecture) -> Mixture:
        """σ(α)."""
        return Mixture(maths.sigmoid(architecture))

    def penalty(self, architecture: Architecture) -> Tensor | None:
        """The zero-one loss."""
        return self.options.zero_one * zero_one(architecture)

    def genes(self, architecture: Architecture) -> tuple[int, ...]:
        """The strongest edges that are open."""
        return maths.genes(architecture.relaxation, maths.sigmoid(architecture), self.options.threshold)
