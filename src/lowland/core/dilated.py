"""Dilated convolutions whose gradients are right in bfloat16 on CPUs.

PyTorch 2.14's weight gradient of a dilated convolution in bfloat16 and channels_last, of images of some 30 rows or
more, is anything, up to 10¹⁸ times the right one, where oneDNN does not compute it: with groups, or with channels that
are no multiple of 16 (docs/log.md). Such convolutions are computed in float32 here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BLOCK = 16
"""Channels of which oneDNN takes multiples."""


class DilatedConv2d(nn.Conv2d):
    """`nn.Conv2d` that computes in float32 where a gradient is asked for under autocast on a CPU."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', H', W')."""
        if x_NCHW.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x_NCHW)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x_NCHW.to(self.weight.dtype))


def with_right_gradients(module: nn.Module) -> None:
    """Make a `DilatedConv2d` of every plain convolution in `module` whose gradient may be wrong; weights stay."""
    for each in module.modules():
        if type(each) is nn.Conv2d and max(each.dilation) > 1 and not _by_onednn(each):
            each.__class__ = DilatedConv2d


def _by_onednn(conv: nn.Conv2d) -> bool:
    return conv.groups == 1 and conv.in_channels % BLOCK == 0 and conv.out_channels % BLOCK == 0
