"""Filter-normalised noise: how far the loss rises along random directions that are as long as each filter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from lowland.core.settings import Rate, Section
from lowland.measures.measure import register
from lowland.measures.noise.draws import losses_by_draw
from lowland.measures.noise.perturbed_loss import negative_mean
from lowland.measures.perturbation import Noise
from lowland.measures.shared import CALIBRATED, NOISE
from lowland.measures.subnet import Estimate, Subnet, SubnetMeasure


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterNoise(Noise):
    """The perturbation w_f + σ ‖w_f‖·z_f/‖z_f‖ of every filter f, z ~ N(0, 1) per scalar, σ = √Σ_j c_j².

    A filter is one output channel of a convolution or one output row of a linear layer: a slice of the first
    dimension. Vectors (biases, batch-norm scale and shift) have no filters and stay as they are, as in the paper.
    """

    def apply(self, name: str, weight: Tensor) -> Tensor:
        """A perturbed copy of `weight`."""
        if weight.ndim < 2:
            return weight.clone()
        direction = Noise.apply(self, name, torch.zeros_like(weight))
        filters = tuple(range(1, weight.ndim))
        length = _norm(weight, filters) / _norm(direction, filters)
        return weight.addcmul(direction, length, value=math.hypot(*self.coefficients.values()))


def _norm(weight: Tensor, dims: tuple[int, ...]) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(weight, dim=dims, keepdim=True)
    return norm


@register
class FilterNormalisedNoise(SubnetMeasure):
    """−S with S = E_d[L(w + σ d) − L(w)] in nats, d a random direction with ‖d_f‖ = ‖w_f‖ for every filter f.

    Multiplying a filter that batch norm follows by a constant changes neither the network nor S, which plain noise does
    not respect. σ is its setting `sigma`; `measure.draws` draws, mirrored too where `measure.antithetic`.
    """

    name = "filter_noise"
    summary = "rise of the loss (nats, negative) under filter-normalised weight noise"
    source = "filter-wise normalisation: Li et al., NeurIPS 2018, Section 4"

    needs = (*CALIBRATED, *NOISE, "draws")

    class Config(Section):
        """Settings of filter noise."""

        sigma: Rate = Field(0.1, description="noise in units of each filter's norm")

    options: Config

    def judge(self, subnet: Subnet) -> Estimate:
        """−S of the candidate; raises NotFiniteError where a loss is not finite."""
        sigma, clean = self.options.sigma, subnet.clean
        losses_KN = losses_by_draw(subnet, self.shared, sigma, kind=FilterNoise)
        return negative_mean(losses_KN - clean.losses_N, {"sigma": sigma, "loss": clean.loss})
