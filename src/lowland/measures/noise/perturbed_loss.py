"""The loss under weight noise of one strength.

Array names: K noise draws, N images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from lowland.core.settings import Rate, Section
from lowland.measures.measure import register
from lowland.measures.noise.draws import losses_by_draw, mean_over_draws
from lowland.measures.per_image import Array
from lowland.measures.shared import CALIBRATED, NOISE
from lowland.measures.subnet import Estimate, Subnet, SubnetMeasure


def negative_mean(losses_KN: Array, details: Mapping[str, Any]) -> Estimate:
    """The negative mean of losses in nats, or of their rises over the clean loss, over draws and images."""
    return mean_over_draws(-losses_KN, details)


@register
class PerturbedLoss(SubnetMeasure):
    """−L(σ) with L(σ) the mean cross-entropy, in nats, under weights w + σ z, z ~ N(0, 1) per scalar.

    One level σ, its setting `sigma`; `measure.draws` draws, the same noise as flatness's first level.
    """

    name = "perturbed_loss"
    summary = "negative cross-entropy (nats) under Gaussian weight noise of one strength"
    source = "L(σ) of GeNAS (Jeong et al., IJCAI 2023), Eq. 3, by itself"

    needs = (*CALIBRATED, *NOISE, "draws")

    class Config(Section):
        """Settings of the perturbed loss."""

        sigma: Rate = Field(4e-2, description="noise level")

    options: Config

    def judge(self, subnet: Subnet) -> Estimate:
        """−L(σ) of the candidate; raises NotFiniteError where a loss is not finite."""
        sigma = self.options.sigma
        return negative_mean(losses_by_draw(subnet, self.shared, sigma), {"sigma": sigma})
