"""Trace of the loss Hessian, the mean curvature of the loss at a candidate's weights, by Hutchinson's estimate.

Array names: P perturbed scalars, K random vectors, G groups of images, N images of the search split.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field

from lowland.core.settings import Positive, Section
from lowland.measures.curvature.hessian import LossHessian
from lowland.measures.measure import register
from lowland.measures.per_image import Array
from lowland.measures.shared import CALIBRATED
from lowland.measures.subnet import Estimate, Subnet, SubnetMeasure

GROUPS = 8
"""Groups of images whose traces are told apart, for the standard error over images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceEstimate:
    """The trace estimated from K vectors and G groups of images.

    Attributes:
        value: Mean over vectors of vᵀHv.
        images_se: Standard error over images, √(G/(G − 1)·Σ_g n_g²·(t_g − t)²)/n with t_g the trace of group g of n_g
            images; None where there is one group.
        noise_se: Standard error over vectors, s/√K; None for one vector.
        deviations_G: t_g − t.
    """

    value: float
    images_se: float | None
    noise_se: float | None
    deviations_G: Array


def estimate_trace(forms_GK: Array, sizes_G: Array) -> TraceEstimate:
    """Estimate the trace from vₖᵀ H_g vₖ, and the number of images of every group.

    Returns:
        The trace with its standard errors, over vectors and over images.

    Example:
        With v of ±1, vᵀHv = Σᵢ Hᵢᵢ + Σ_{i≠j} vᵢvⱼHᵢⱼ. For a diagonal H every vector gives the trace exactly:

        >>> v_KP = np.array([[1.0, 1.0], [1.0, -1.0]])
        >>> forms_K = np.einsum("kp,pq,kq->k", v_KP, np.diag([1.0, 3.0]), v_KP)
        >>> found = estimate_trace(forms_K[None], np.array([100]))
        >>> found.value, found.noise_se
        (4.0, 0.0)

        Other entries are noise of mean 0; here they add ±4, which these two vectors happen to cancel:

        >>> forms_K = np.einsum("kp,pq,kq->k", v_KP, np.array([[1.0, 2.0], [2.0, 3.0]]), v_KP)
        >>> found = estimate_trace(forms_K[None], np.array([100]))
        >>> found.value, round(found.noise_se, 6)
        (4.0, 4.0)
    """
    groups, draws = forms_GK.shape
    traces_K = sizes_G @ forms_GK / sizes_G.sum()
    value = float(traces_K.mean())
    deviations_G: Array = forms_GK.mean(axis=1) - value
    spread = float(np.linalg.norm(sizes_G * deviations_G) / sizes_G.sum())
    return TraceEstimate(
        value=value,
        images_se=spread * math.sqrt(groups / (groups - 1)) if groups > 1 else None,
        noise_se=float(traces_K.std(ddof=1)) / math.sqrt(draws) if draws > 1 else None,
        deviations_G=deviations_G,
    )


def group_influence(found: TraceEstimate, sizes_G: Array, subnet: Subnet) -> Array:
    """Influences of all scored images with √(Σ U²)/N = `images_se`, equal within a group, 0 beyond the groups."""
    count = sum(len(labels_N) for _, labels_N in subnet.context.scored)
    influence_N = np.zeros(count)
    groups = len(sizes_G)
    if groups > 1:
        per_image_G = -found.deviations_G * np.sqrt(sizes_G * groups / (groups - 1)) * count / sizes_G.sum()
        influence_N[: int(sizes_G.sum())] = np.repeat(per_image_G, sizes_G.astype(int))
    return influence_N


@register
class HessianTrace(SubnetMeasure):
    """−tr H with H the Hessian of the mean cross-entropy (nats) of the first `hessian_images` search images.

    Hutchinson: tr H = E[vᵀHv] for v of independent ±1; its `draws` vectors, the same for all candidates where
    `measure.noise` is shared, over the parameters at `measure.position`. Flat is a small trace: Gaussian noise so
    small that no rectifier changes sides raises the loss by σ²/2·tr H on average.

    In a sum the images' influence is known by groups only, so its covariance with other parts is underestimated; the
    standard error of the measure itself is not.
    """

    name = "hessian_trace"
    summary = "trace of the Hessian of the loss (nats per squared weight, negative), by random vectors"
    source = "Hutchinson, 1990; for neural networks: PyHessian (Yao et al., 2020), Section 3"

    needs = (*CALIBRATED, "noise", "position", "hessian_images")

    class Config(Section):
        """Settings of the trace."""

        draws: Positive = Field(8, description="random vectors of Hutchinson's estimate")

    options: Config

    def judge(self, subnet: Subnet) -> Estimate:
        """−tr H of the candidate; raises NotFiniteError where a curvature is not finite."""
        shared, draws = self.shared, self.options.draws
        keys = () if shared.noise == "shared" else (subnet.context.space.key(subnet.genotype),)
        hessian = LossHessian(subnet, subnet.perturbable(shared.position), shared.hessian_images)
        signs_KP = torch.stack([hessian.signs("trace", draw, *keys) for draw in range(draws)])
        forms_GK, sizes_G = hessian.quadratic_forms(signs_KP, GROUPS)
        found = estimate_trace(forms_GK, sizes_G)
        return Estimate(
            value=-found.value,
            influence_N=group_influence(found, sizes_G, subnet),
            noise_variance=(found.noise_se or 0.0) ** 2,
            details={
                "trace": found.value,
                "standard_error_images": found.images_se,
                "standard_error_noise": found.noise_se,
                "draws": draws,
                "images": hessian.images,
                "parameters": hessian.size,
            },
        )
