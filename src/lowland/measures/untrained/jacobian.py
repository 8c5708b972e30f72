"""Jacobian covariance: how independently an untrained network's outputs change around different images.

Tensor names: N images, C channels, H height, W width, D = C·H·W input values.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowland.measures.measure import register
from lowland.measures.shared import TRAINING_IMAGES
from lowland.measures.untrained.untrained import Untrained, UntrainedMeasure, gradients

STABILISER = 1e-5
"""k in log(λ + k) + 1/(λ + k), as in the public code."""


def input_jacobian(network: nn.Module, x_NCHW: Tensor) -> Tensor:
    """Gradient (N, D) of the sum of all logits by each image's pixels."""
    x_NCHW = x_NCHW.detach().clone().requires_grad_()
    (jacobian_NCHW,) = gradients(network(x_NCHW).sum(), [x_NCHW])
    return jacobian_NCHW.flatten(1)


def correlation_score(jacobian_ND: Tensor) -> float:
    """Score the eigenvalues λ of the images' correlation matrix.

    An image whose Jacobian has no variance gets the eigenvalue 0, the worst: about −1/k.

    Returns:
        −Σ log(λ + k) + 1/(λ + k), greatest for λ = 1.
    """
    centred_ND = jacobian_ND.cpu().double()
    centred_ND = centred_ND - centred_ND.mean(dim=1, keepdim=True)
    # normalize leaves rows of zeros as they are.
    unit_ND = nn.functional.normalize(centred_ND, dim=1, eps=torch.finfo(torch.float64).tiny)
    stabilised_N = torch.linalg.eigvalsh(unit_ND @ unit_ND.T).clamp(min=0.0) + STABILISER
    return -float((stabilised_N.log() + stabilised_N.reciprocal()).sum())


@register
class JacobianCovariance(UntrainedMeasure):
    """Eigenvalue score of the correlations between images of the Jacobian of the logits' sum by the pixels."""

    name = "jacob_cov"
    summary = "how uncorrelated an untrained network's input gradients are between images"
    source = "Mellor et al., arXiv 2006.04647v1; as in Abdelfattah et al., ICLR 2021"

    needs = TRAINING_IMAGES

    def judge(self, untrained: Untrained) -> float:
        """The score; −N for uncorrelated images, about −1e5 for each image that repeats another's Jacobian."""
        x_NCHW, _ = untrained.images()
        return correlation_score(input_jacobian(untrained.placed, x_NCHW))
