"""Convolutions whose weight gradients are right in bfloat16 on CPUs, where two of PyTorch 2.14's are not.

- Of a dilated convolution in channels_last, of images of some 30 rows or more, where oneDNN does not compute it (with
  groups, or with channels that are no multiple of 16), it is anything, up to 10¹⁸ times the right one.
- Of a convolution whose stride is larger than its input is wide (a map of one pixel that is halved once more), oneDNN
  leaves taps that see padding alone unwritten: they hold what the memory held before, NaN at times.

Such convolutions are computed in float32 here (docs/log.md).
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


class StridedConv2d(DilatedConv2d):
    """`nn.Conv2d` that does so where its input is narrower than its stride, and is a plain one elsewhere."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', H', W')."""
        if narrow(x_NCHW, self.stride[1]):
            return super().forward(x_NCHW)
        return nn.Conv2d.forward(self, x_NCHW)


def narrow(x_NCHW: Tensor, stride: int) -> bool:
    """Whether images have fewer columns than a convolution's stride; of rows any number may be."""
    return x_NCHW.shape[3] < stride


def with_right_gradients(module: nn.Module) -> None:
    """Put convolutions with right gradients in place of plain ones in `module` that may have wrong ones; weights stay.

    Those with stride are `StridedConv2d`, those with dilation that oneDNN does not compute `DilatedConv2d`.
    """
    for each in module.modules():
        if type(each) is not nn.Conv2d:
            continue
        if max(each.dilation) > 1 and not _by_onednn(each):
            each.__class__ = DilatedConv2d
        elif each.stride[1] > 1 and max(each.kernel_size) > 1:
            each.__class__ = StridedConv2d


def _by_onednn(conv: nn.Conv2d) -> bool:
    return conv.groups == 1 and conv.in_channels % BLOCK == 0 and conv.out_channels % BLOCK == 0
