"""Linear regions: how many different sets of ReLUs the inputs of an untrained network switch on.

Tensor names: N inputs, C channels, H height, W width, A ReLU units of the network, B = ⌈A/8⌉ bytes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lowland.measures.measure import register
from lowland.measures.untrained.initialization import normal_images, normal_network
from lowland.measures.untrained.untrained import RELUS, Untrained, UntrainedMeasure, run_watched

INPUTS, BATCHES = 1000, 3
IMAGE_SIZE = 3
"""TE-NAS counts over 3 batches of 1000 inputs of 3×3 pixels in one channel, in a network of initial width 1."""


def activation_codes(network: nn.Module, x_NCHW: Tensor) -> NDArray[np.uint8]:
    """Which ReLU units each input switches on, in every call of a `nn.ReLU` or `nn.ReLU6` module, one bit per unit.

    Returns:
        (N, B); B = 0 for a network without such a unit.
    """
    codes: list[NDArray[np.uint8]] = []

    def collect(y: object) -> None:
        if isinstance(y, Tensor):
            codes.append(np.packbits((y.flatten(1) > 0).cpu().numpy(), axis=1))

    run_watched(network, x_NCHW, collect, RELUS)
    return np.concatenate(codes, axis=1) if codes else np.empty((len(x_NCHW), 0), np.uint8)


@register
class LinearRegions(UntrainedMeasure):
    """Number of different ReLU codes, and so of linear regions met, among 3000 inputs of 3×3 Gaussian pixels.

    The network is a thin one whatever the settings say, of initial width 1 and for images of one channel: in a wide
    network, or on images of usual size, every input has a region of its own. So it is even then in most networks of the
    DARTS and MobileNetV3 spaces, which the measure therefore cannot tell apart. The depth is that of other measures.
    Batch norm uses each batch's statistics, so that the regions are those for fixed statistics of each.
    """

    name = "linear_regions"
    summary = "number of linear regions of a thin untrained network that random inputs meet"
    source = "TE-NAS (Chen et al., ICLR 2021), Section 3.2"

    def judge(self, untrained: Untrained) -> float:
        """The count, from 1 to 3000."""
        shared = untrained.shared.model_copy(update={"untrained_channels": 1})
        # A stem for large images would leave one pixel of such small ones.
        shape = replace(untrained.shape, in_channels=1, stem="cifar")
        thin = Untrained(shape, untrained.genotype, untrained.context, shared)
        network = normal_network(thin)
        x_NCHW = normal_images(thin, replace(shape, image_size=IMAGE_SIZE), BATCHES * INPUTS)
        codes = [code.tobytes() for part in torch.split(x_NCHW, INPUTS) for code in activation_codes(network, part)]
        untrained.details.update(thin.details)
        return float(len(set(codes)))
