"""Instance-batch norm: a part of the channels is normalised by each picture on its own, the others by the batch.

Instance norm takes out what differs from picture to picture and not from class to class (brightness, contrast, a veil
of fog), and batch norm keeps what tells classes apart; in all but the last stage both together gain on images of other
conditions. Published networks give it half of the channels; narrow ones lose less on images of the training's
conditions with a quarter, and gain as much on others (measured, `docs/log.md`).

Source: Pan et al., "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net", ECCV 2018 (IBN-a); the
quarter is this project's.

Tensor names: N batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowland.core.errors import ConfigError
from lowland.spaces.values import Norm

SHARES: dict[Norm, float] = {"ibn": 0.5, "ibn-quarter": 0.25}
"""Part of the channels that has instance norm, by `Shape.norm`."""


class InstanceBatchNorm2d(nn.Module):
    """Instance norm over the first ⌊share·C⌋ channels, batch norm over the others: (N, C, H, W) → (N, C, H, W).

    Instance norm: y = γ·(x − μ_nc) / √(σ²_nc + 10⁻⁵) + β, with mean and variance over H and W of each image and
    channel, in training and evaluation alike. As many parameters as a batch norm of C channels.

    Args:
        channels: C.
        affine: Whether there are γ and β.
        share: Part of the channels with instance norm, 0 to 1.
    """

    def __init__(self, channels: int, *, affine: bool = True, share: float = 0.5) -> None:
        super().__init__()
        own = int(channels * share)
        self.split = [own, channels - own]
        self.instance = nn.InstanceNorm2d(self.split[0], affine=affine) if self.split[0] else nn.Identity()
        self.batch = nn.BatchNorm2d(self.split[1], affine=affine)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Normalise; ConfigError for maps of one pixel, which have nothing of their own to be normalised by."""
        if x_NCHW.shape[2:] == (1, 1):
            raise ConfigError(
                "instance-batch norm meets maps of a single pixel; enlarge the images with data.image_size, or set "
                "network.norm to batch"
            )
        first_NCHW, rest_NCHW = torch.split(x_NCHW.contiguous(), self.split, dim=1)
        # Contiguous, since both norms are several times as slow on a slice of channels, and so are their gradients; and
        # in the order of memory in which it came, since every convolution behind would bring it into that order.
        first_NCHW, rest_NCHW = self.instance(first_NCHW.contiguous()), self.batch(rest_NCHW.contiguous())
        if self.training:
            for part_NCHW in (first_NCHW, rest_NCHW):
                if part_NCHW.requires_grad:
                    part_NCHW.register_hook(Tensor.contiguous)
        y_NCHW = torch.cat([first_NCHW, rest_NCHW], dim=1)
        channels_last = x_NCHW.is_contiguous(memory_format=torch.channels_last)
        return y_NCHW.contiguous(memory_format=torch.channels_last) if channels_last else y_NCHW


def mix_norms(norm: Norm, *modules: nn.Module) -> None:
    """Put the instance-batch norm of `SHARES` in the place of every batch norm in `modules`, which are new."""
    for module in modules:
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, InstanceBatchNorm2d(child.num_features, affine=child.affine, share=SHARES[norm]))
            else:
                mix_norms(norm, child)
