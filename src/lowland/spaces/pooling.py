"""Average pooling of 3×3 windows that is quick on CPUs.

PyTorch's CPU kernel for channels-last tensors takes longer than a 3×3 convolution from all to all channels
(docs/log.md). A depthwise convolution with ones gives the same sums several times sooner; a window at an edge holds 6
pixels instead of 9, and one in a corner 4, so the outermost rows and columns count 3/2.

Tensor names: N batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class AveragePool3x3(nn.AvgPool2d):
    """Mean of the pixels of each 3×3 window that lie inside the image; "same" padding."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__(3, stride, 1, count_include_pad=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, ⌈H/stride⌉, ⌈W/stride⌉)."""
        return average_pool_3x3(x_NCHW) if self.stride == 1 and quick(x_NCHW) else super().forward(x_NCHW)


def quick(x_NCHW: Tensor) -> bool:
    """Whether `average_pool_3x3` is of use: for channels-last images of at least 2×2 pixels on a CPU."""
    return (
        x_NCHW.device.type == "cpu"
        and min(x_NCHW.shape[2:]) > 1
        and x_NCHW.is_contiguous(memory_format=torch.channels_last)
        and not torch.compiler.is_compiling()
    )


def average_pool_3x3(x_NCHW: Tensor) -> Tensor:
    """`avg_pool2d(x, 3, 1, 1, count_include_pad=False)` up to rounding, for images of at least 2×2 pixels.

    Differentiable any number of times.

    Returns:
        (N, C, H, W).
    """
    result: Tensor = _AveragePool.apply(x_NCHW)
    return result


class _AveragePool(torch.autograd.Function):
    """Pooling is the box sum B, which is its own transpose, and then the division D of every pixel by its count."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x_NCHW: Tensor) -> Tensor:
        return _divided(_box_sum(x_NCHW))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Nothing of the input is needed for the gradient."""

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _box_sum(_divided(grads[0].clone(memory_format=torch.channels_last)))


def _box_sum(x_NCHW: Tensor) -> Tensor:
    ones_C1kk = x_NCHW.new_ones((x_NCHW.shape[1], 1, 3, 3))
    return functional.conv2d(x_NCHW, ones_C1kk, padding=1, groups=len(ones_C1kk))


def _divided(x_NCHW: Tensor) -> Tensor:
    """In place."""
    x_NCHW *= 1 / 9
    for dim, last in ((2, x_NCHW.shape[2] - 1), (3, x_NCHW.shape[3] - 1)):
        x_NCHW.select(dim, 0).mul_(1.5)
        x_NCHW.select(dim, last).mul_(1.5)
    return x_NCHW
