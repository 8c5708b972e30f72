"""AZ-NAS: expressivity, progressivity and trainability of an untrained network's blocks (its fourth proxy is `macs`).

The network has Gaussian weights and sees `measure.untrained_batch` Gaussian images, as published. Its blocks are the
cells and, where there are such, the reduction blocks; what goes into the first is the feature map 0.

Tensor names: N images, C channels, H height, W width, P positions N·H·W.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from lowland.core.seeds import torch_generator
from lowland.measures.measure import register
from lowland.measures.shared import RANDOM_IMAGES
from lowland.measures.untrained.blocks import visit_blocks
from lowland.measures.untrained.initialization import normal_images, normal_network
from lowland.measures.untrained.untrained import Untrained, UntrainedMeasure

STABILISER = 1e-6
"""ε in −σ − 1/(σ + ε) + 2, as in the public code: what bounds the score of a block through which nothing flows."""


def channel_covariance(x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (C) and covariance (C, C; float64, on the CPU) of the channels over all positions of all images."""
    x_PC = x_NCHW.detach().movedim(1, -1).flatten(0, -2)
    mean_C = x_PC.mean(dim=0)
    centred_PC = x_PC - mean_C
    return mean_C, (centred_PC.T @ centred_PC / len(centred_PC)).cpu().double()


def isotropy(x_NCHW: Tensor) -> float:
    """Entropy of the normalised eigenvalues p of the channels' covariance over all positions of all images.

    It is log C where the features are isotropic, and 0 where they vary along one direction only or not at all
    (AZ-NAS, Eq. 1 – 3).

    Returns:
        −Σ p log p in nats, 0 to log C.
    """
    mean_C, covariance_CC = channel_covariance(x_NCHW)
    eigenvalues_C = torch.linalg.eigvalsh(covariance_CC).clamp(min=0.0)
    total = float(eigenvalues_C.sum())
    # A constant feature map differs from its mean by rounding only.
    if total <= (torch.finfo(x_NCHW.dtype).eps * float(mean_C.norm())) ** 2:
        return 0.0
    return float(torch.special.entr(eigenvalues_C / total).sum())


def block_isotropies(network: nn.Module, x_NCHW: Tensor) -> list[float]:
    """`isotropy` of feature map 0 and of every block's output, in the order in which they are computed."""
    found: list[float] = []

    def visit(input_NCHW: Tensor, output_NCHW: Tensor) -> None:
        if not found:
            found.append(isotropy(input_NCHW))
        found.append(isotropy(output_NCHW))

    with torch.no_grad():
        visit_blocks(network, x_NCHW, visit)
    return found


def least_increase(values: Sequence[float]) -> float:
    """Smallest difference of successive values (AZ-NAS, Eq. 5)."""
    return min(after - before for before, after in pairwise(values))


def block_gain(input_NCHW: Tensor, output_NCHW: Tensor, probe_NCHW: Tensor) -> float:
    """Spectral norm σ of the mean Jacobian, over all positions, of a block's output channels by its input channels.

    With a random probe v of entries ±1 at the output and g = Jᵀv at the input, J ≈ mean_p v_p g_pᵀ (AZ-NAS, Eq. 6 – 8).
    A block of stride s maps s × s pixels to one: its input channels are the C·s² of such a patch, padded with zeros
    where the size is odd.

    Returns:
        σ, 0 or more: 0 where the output does not depend on the input, and NaN for the identity, which is no trainable
        block though its gain is 1.
    """
    if not output_NCHW.requires_grad:
        return 0.0
    (gradient_NCHW,) = torch.autograd.grad(output_NCHW, input_NCHW, probe_NCHW, materialize_grads=True)
    if gradient_NCHW.shape == probe_NCHW.shape and torch.equal(gradient_NCHW, probe_NCHW):
        return math.nan
    height, width = probe_NCHW.shape[2:]
    stride = math.ceil(gradient_NCHW.shape[2] / height)
    if stride > 1:
        rest = (width * stride - gradient_NCHW.shape[3], height * stride - gradient_NCHW.shape[2])
        gradient_NCHW = functional.pixel_unshuffle(functional.pad(gradient_NCHW, (0, rest[0], 0, rest[1])), stride)
    gradient_PC, probe_PC = (x_NCHW.movedim(1, -1).flatten(0, -2) for x_NCHW in (gradient_NCHW, probe_NCHW))
    jacobian_CC = (gradient_PC.T @ probe_PC / len(probe_PC)).cpu().double()
    return float(torch.linalg.matrix_norm(jacobian_CC, ord=2))


def stability(gain: float) -> float:
    """Score the gain of a block's gradient.

    AZ-NAS, Eq. 9.

    Returns:
        −σ − 1/(σ + ε) + 2: 0 for a gain of 1, which lets gradients neither vanish nor explode, and less for any other.
    """
    return 2.0 - gain - 1.0 / (gain + STABILISER)


def block_gains(network: nn.Module, x_NCHW: Tensor, seed: int) -> list[float]:
    """`block_gain` of every block, with probes that are the same for all networks of the same sizes."""
    found: list[float] = []

    def visit(input_NCHW: Tensor, output_NCHW: Tensor) -> None:
        generator = torch_generator(seed, "Rademacher", len(found))
        probe_NCHW = 2.0 * torch.randint(2, output_NCHW.shape, generator=generator).to(output_NCHW) - 1.0
        found.append(block_gain(input_NCHW, output_NCHW, probe_NCHW))

    visit_blocks(network, x_NCHW, visit)
    return found


def mean_stability(gains: Sequence[float]) -> float:
    """Mean of `stability` over blocks of the given gains, an identity (NaN) counting like a block that passes nothing.

    The public code gives −∞ to a network with an identity among its blocks. Where a block really passes nothing, all
    blocks before it get no gradient either, so that this is the mean then: the least there is.

    Returns:
        The mean of `stability`.
    """
    worst = stability(0.0)
    if 0.0 in gains:
        return worst
    return math.fsum(worst if math.isnan(gain) else stability(gain) for gain in gains) / len(gains)


def _isotropies(untrained: Untrained) -> list[float]:
    x_NCHW = normal_images(untrained, untrained.shape, untrained.shared.untrained_batch)
    return block_isotropies(normal_network(untrained), x_NCHW)


@register
class Expressivity(UntrainedMeasure):
    """Σ of the entropies of the principal components' variances of every feature map."""

    name = "expressivity"
    summary = "how evenly an untrained network's features use all directions, summed over blocks"
    source = "AZ-NAS (Lee et al., CVPR 2024), Eq. 4"

    needs = RANDOM_IMAGES

    def judge(self, untrained: Untrained) -> float:
        """The sum, in nats; at most Σ log C over the feature maps."""
        return math.fsum(_isotropies(untrained))


@register
class Progressivity(UntrainedMeasure):
    """Smallest increase of the expressivity from one feature map to the next."""

    name = "progressivity"
    summary = "smallest increase of the expressivity from one block of an untrained network to the next"
    source = "AZ-NAS (Lee et al., CVPR 2024), Eq. 5"

    needs = RANDOM_IMAGES

    def judge(self, untrained: Untrained) -> float:
        """The increase, in nats, mostly negative."""
        return least_increase(_isotropies(untrained))


@register
class Trainability(UntrainedMeasure):
    """Mean over the blocks of −σ − 1/σ + 2, with σ the gain that gradients get from a block on their way back."""

    name = "trainability"
    summary = "how little gradients shrink or grow on their way back through an untrained network's blocks"
    source = "AZ-NAS (Lee et al., CVPR 2024), Eq. 9"

    needs = RANDOM_IMAGES

    def judge(self, untrained: Untrained) -> float:
        """The mean, 0 or less up to 1e-6; about −1e6 where nothing passes, and that for each block of skips alone."""
        x_NCHW = normal_images(untrained, untrained.shape, untrained.shared.untrained_batch)
        return mean_stability(block_gains(normal_network(untrained), x_NCHW, untrained.context.seed))
