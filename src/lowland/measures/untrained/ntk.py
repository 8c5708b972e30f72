"""Neural tangent kernel of an untrained network: the better conditioned, the easier it is to train.

Tensor names: N images, C channels, H height, W width, P weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lowland.measures.measure import register
from lowland.measures.shared import TRAINING_IMAGES
from lowland.measures.untrained.untrained import Untrained, UntrainedMeasure, gradients, weights


def tangent_kernel(network: nn.Module, x_NCHW: Tensor) -> Tensor:
    """Θ_ij = ⟨∂f(xᵢ)/∂w, ∂f(xⱼ)/∂w⟩ with f the sum of the logits and w the weights of convolutions and linear layers.

    All images run as one batch, so that batch norm sees them together. Costs one backward pass per image, and memory
    for N·P floats.

    Returns:
        (N, N), float64, on the CPU.
    """
    of = weights(network)
    outputs_N = network(x_NCHW).sum(dim=1)
    rows = []
    for image, output in enumerate(outputs_N):
        found = gradients(output, of, retain_graph=image + 1 < len(outputs_N))
        rows.append(torch.cat([g.flatten() for g in found]))
    jacobian_NP = torch.stack(rows)
    # Products of fp32 gradients, but sums in float64, part by part on the CPU, which always has it.
    kernel_NN = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for part_NP in torch.split(jacobian_NP, 2**16, dim=1):
        part_NP = part_NP.cpu().double()
        kernel_NN += part_NP @ part_NP.T
    return kernel_NN


def log_condition(kernel_NN: Tensor) -> float:
    """Logarithm of the condition number of a positive semidefinite kernel.

    λ_min is taken as at least N·ε·λ_max with ε = 2⁻²³, the resolution of the fp32 gradients, so that κ ≤ 1/(N·ε); a
    kernel of zeros, whose network has no gradient, has that worst value too.

    Returns:
        log κ with κ = λ_max / λ_min, 0 to log 1/(N·ε).
    """
    worst = 1.0 / (len(kernel_NN) * torch.finfo(torch.float32).eps)
    eigenvalues = torch.linalg.eigvalsh(kernel_NN)
    least, greatest = float(eigenvalues[0]), float(eigenvalues[-1])
    if least * worst <= greatest:
        return math.log(worst)
    return math.log(greatest / least)


@register
class NtkCondition(UntrainedMeasure):
    """−log κ of the neural tangent kernel on one batch (κ_N of TE-NAS, where less is better)."""

    name = "ntk"
    summary = "minus the log condition number of an untrained network's neural tangent kernel"
    source = "TE-NAS (Chen et al., ICLR 2021), Section 3.1"

    needs = TRAINING_IMAGES

    def judge(self, untrained: Untrained) -> float:
        """The negative logarithm, 0 or less."""
        x_NCHW, _ = untrained.images()
        return -log_condition(tangent_kernel(untrained.placed, x_NCHW))
