"""MeCo: how far an untrained network's channels are from being linear combinations of each other.

Tensor names: N images, C channels, H height, W width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lowland.measures.measure import register
from lowland.measures.shared import RANDOM_IMAGES
from lowland.measures.untrained.aznas import channel_covariance
from lowland.measures.untrained.initialization import normal_images, normal_network
from lowland.measures.untrained.untrained import Untrained, UntrainedMeasure, run_watched


def least_correlation_eigenvalue(x_NCHW: Tensor) -> float:
    """The least eigenvalue of the channels' Pearson correlation matrix (C, C) over all positions of all images.

    It is 1 where channels are uncorrelated, and 0 where one of them is a linear combination of the others, is constant,
    or there are fewer positions than channels.

    Returns:
        λ_min, 0 to 1.
    """
    mean_C, covariance_CC = channel_covariance(x_NCHW)
    deviation_C = covariance_CC.diagonal().sqrt()
    # A constant channel differs from its mean by rounding only.
    if bool((deviation_C <= torch.finfo(x_NCHW.dtype).eps * mean_C.cpu().abs()).any()):
        return 0.0
    correlation_CC = covariance_CC / deviation_C[:, None] / deviation_C
    return max(0.0, float(torch.linalg.eigvalsh(correlation_CC)[0]))


def feature_map_eigenvalues(network: nn.Module, x_NCHW: Tensor) -> list[float]:
    """`least_correlation_eigenvalue` of every module's output that is a feature map, each time a module is called.

    Modules within modules count by themselves too, as in the public code.

    Returns:
        One eigenvalue for every call.
    """
    found: list[float] = []
    last: tuple[Tensor, int] | None = None

    def judge(output: object) -> None:
        nonlocal last
        if not isinstance(output, Tensor) or output.ndim != 4:
            return
        # A chain hands on what its last module gave; one that works in place gives the same tensor with other values.
        same = last is not None and output is last[0] and output._version == last[1]
        found.append(found[-1] if same else least_correlation_eigenvalue(output))
        last = output, output._version

    run_watched(network, x_NCHW, judge)
    return found


@register
class MeCo(UntrainedMeasure):
    """Σ over feature maps of the least eigenvalue of their channels' correlation matrix, on Gaussian images.

    The paper takes one image; here it is `measure.untrained_batch` of them together, so that also late feature maps
    have more positions than channels. Weights are Gaussian.
    """

    name = "meco"
    summary = "how independent an untrained network's channels are: least eigenvalue of their correlations, summed"
    source = "MeCo (Jiang et al., NeurIPS 2023), Section 4"

    needs = RANDOM_IMAGES

    def judge(self, untrained: Untrained) -> float:
        """The sum, from 0 to the number of feature maps."""
        x_NCHW = normal_images(untrained, untrained.shape, untrained.shared.untrained_batch)
        return math.fsum(feature_map_eigenvalues(normal_network(untrained), x_NCHW))
