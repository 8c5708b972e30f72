"""Average-case adaptive sharpness: how far the loss rises under weight noise in proportion to each weight."""

from __future__ import annotations

from pydantic import Field

from lowland.core.settings import Rate, Section
from lowland.measures.measure import register
from lowland.measures.noise.draws import losses_by_draw
from lowland.measures.noise.perturbed_loss import negative_mean
from lowland.measures.shared import CALIBRATED, NOISE
from lowland.measures.subnet import Estimate, Subnet, SubnetMeasure


@register
class AdaptiveSharpness(SubnetMeasure):
    """−S with S = E_z[L(w + σ |w| ⊙ z) − L(w)] in nats, z ~ N(0, 1) per scalar, on every parameter on the path.

    Scaling the perturbation by |w| (Kwon et al.) makes S the same for networks that differ only by factors moved
    between layers. z is symmetric, so |w| ⊙ z and w ⊙ z have one law, and the noise is that of `robustness`. σ is its
    setting `sigma`; the mean is over `measure.draws` draws, each also mirrored where `measure.antithetic`,
    which removes the first-order term and with it most of the error.
    """

    name = "adaptive_sharpness"
    summary = "rise of the loss (nats, negative) under weight noise in proportion to each weight"
    source = "ASAM (Kwon et al., ICML 2021); average case: Andriushchenko et al., ICML 2023, Eq. 3"

    needs = (*CALIBRATED, *NOISE, "draws")

    class Config(Section):
        """Settings of adaptive sharpness."""

        sigma: Rate = Field(0.1, description="relative noise")

    options: Config

    def judge(self, subnet: Subnet) -> Estimate:
        """−S of the candidate; raises NotFiniteError where a loss is not finite."""
        sigma, clean = self.options.sigma, subnet.clean
        losses_KN = losses_by_draw(subnet, self.shared, sigma, relative=True)
        return negative_mean(losses_KN - clean.losses_N, {"sigma": sigma, "loss": clean.loss})
