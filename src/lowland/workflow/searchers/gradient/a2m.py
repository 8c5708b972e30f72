"""A²M: architecture parameters in a flat region of the validation loss."""

from __future__ import annotations

from pydantic import Field

from lowland.core.settings import NonNegative
from lowland.search.gradient.method import GradientConfig
from lowland.workflow.searchers.gradient.family import GradientSearcher
from lowland.workflow.searchers.searcher import register


@register
class A2M(GradientSearcher):
    """DARTS with the gradient behind an ascent in α; `flat_rho` does the same to every other gradient searcher."""

    name = "a2m"
    summary = "DARTS whose architecture parameters seek a flat region: the gradient is taken behind an ascent"
    source = "A²M / FlatDARTS (arXiv 2503.10404)"

    class Config(GradientConfig):
        """Its ρ."""

        flat_rho: NonNegative = Field(0.01, description="ρ, published .01 on NAS-Bench-201 and .1 on DARTS")
