"""DSRNA: architectures whose outputs follow their input little."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field
from torch import Tensor

from lowland.core.settings import NonNegative
from lowland.search.gradient.jacobian import squared_jacobian
from lowland.search.gradient.method import GradientConfig
from lowland.workflow.searchers.gradient.family import GradientSearcher
from lowland.workflow.searchers.searcher import register


@register
class Dsrna(GradientSearcher):
    """DARTS whose α minimises L_val + γ·mean‖∂z/∂x‖²_F, the Jacobian of the logits z with respect to the image x.

    Of the method's two terms this is the one of the Jacobian (the certified bound is not built). The norm is estimated
    by one random projection, in full precision and with the running statistics of batch norm, so that an image's
    outputs depend on that image alone.
    """

    name = "dsrna"
    summary = "DARTS that also asks for a small Jacobian of the outputs with respect to the image (robustness)"
    source = "Hosseini et al., DSRNA, CVPR 2021 (arXiv 2012.06122), Jacobian term"

    class Config(GradientConfig):
        """Its weight."""

        jacobian: NonNegative = Field(0.01, description="γ, weight of the squared Frobenius norm of the Jacobian")

    options: Dsrna.Config

    def input_penalty(self, logits: Callable[[Tensor], Tensor], x_NCHW: Tensor, seed: int) -> Tensor | None:
        """γ times the mean squared norm; None where γ is 0."""
        if not self.options.jacobian:
            return None
        return self.options.jacobian * squared_jacobian(logits, x_NCHW, seed)
