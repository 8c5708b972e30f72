"""PC-DARTS: operations see a part of the channels, and edges compete for their node."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lowland.core.settings import Positive, Rate
from lowland.search.gradient.method import GradientConfig
from lowland.workflow.searchers.gradient.family import GradientSearcher
from lowland.workflow.searchers.searcher import register


@register
class PCDarts(GradientSearcher):
    """The first C/K channels go through the operations, the others pass; the decision is on w·b, b a softmax of β."""

    name = "pc-darts"
    summary = "DARTS on a part of the channels, with weights of edges, after a warm-up of the weights"
    source = "Xu et al., PC-DARTS, ICLR 2020 (arXiv 1907.05737)"
    edges: ClassVar[bool] = True

    class Config(GradientConfig):
        """How much is seen, and from when on α is learnt."""

        learning_rate: Rate = Field(6e-4, description="of architecture parameters (Adam)")
        warmup_epochs: int = Field(15, ge=0, description="epochs in which weights alone are trained")
        partial: Positive = Field(4, description="K: operations see 1/K of the channels; published 4, on ImageNet 2")

    options: PCDarts.Config

    @property
    def partial(self) -> int:
        """K."""
        return self.options.partial
