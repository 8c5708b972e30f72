"""Gaussian weights and Gaussian images: what AZ-NAS, VKDNW and TE-NAS judge an untrained network on, without data.

Tensor names: N images, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowland.core.seeds import torch_generator
from lowland.measures.untrained.untrained import Untrained
from lowland.spaces.values import Shape


def normal_network(untrained: Untrained) -> nn.Module:
    """Redraw the weights of the untrained network from N(0, 2 / fan-in) and set its biases to zero.

    Only convolutions and linear layers change; batch norm keeps scale 1 and shift 0. AZ-NAS and VKDNW start from this
    initialisation (He et al., ICCV 2015, Eq. 10), under which a layer behind a ReLU keeps the size of its input.

    Returns:
        The network, on the device.
    """
    generator = torch_generator(untrained.context.seed, "Gaussian weights", untrained.genotype)
    for module in untrained.network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return untrained.placed


def normal_images(untrained: Untrained, shape: Shape, count: int) -> Tensor:
    """Independent N(0, 1) pixels, the same for every genotype; `details` tells how many images.

    Returns:
        (N, C, H, W), float32, on the device.
    """
    generator = torch_generator(untrained.context.seed, "Gaussian images")
    x_NCHW = torch.randn(count, shape.in_channels, shape.image_size, shape.image_size, generator=generator)
    untrained.details["random_images"] = count
    return untrained.context.compute.place(x_NCHW)
