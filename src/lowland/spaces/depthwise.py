"""Depthwise convolutions whose gradients are quick on CPUs.

PyTorch's CPU gradients of depthwise convolutions have fast and slow paths, up to fifty times apart (docs/log.md): with
respect to the weight, kernels wider than three columns are slow; with respect to the input, strided ones are in
bfloat16. Here the first is put together from blocks of three columns, and the second taken in float32. Values are the
same up to rounding. On other devices, and where no gradient is asked for, this is `conv2d`.

And two paths are wrong in bfloat16: PyTorch 2.14's weight gradient of a dilated convolution, and that of one whose
stride is larger than its input is wide (`core.convolutions`). They are taken in float32 as well, which is quicker.

Tensor names: N batch, C channels, H height, W width, I kernel rows, J kernel columns.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lowland.core.convolutions import narrow

COLUMNS = 3
"""Widest kernel whose weight gradient is fast."""


def depthwise_conv2d(
    x_NCHW: Tensor, weight_C1IJ: Tensor, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Tensor:
    """`conv2d(x, weight, stride=…, padding=…, dilation=…, groups=C)`: every channel with a kernel of its own.

    Differentiable any number of times, and equal to `conv2d` in value; under autocast it computes in its dtype.

    Returns:
        (N, C, H', W'), as `conv2d` gives.
    """
    wanted = torch.is_grad_enabled() and (x_NCHW.requires_grad or weight_C1IJ.requires_grad)
    if not wanted or x_NCHW.device.type != "cpu" or torch.compiler.is_compiling():
        return functional.conv2d(x_NCHW, weight_C1IJ, None, stride, padding, dilation, len(weight_C1IJ))
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x_NCHW, weight_C1IJ = x_NCHW.to(dtype), weight_C1IJ.to(dtype)
    result: Tensor = _Depthwise.apply(x_NCHW, weight_C1IJ, stride, padding, dilation)
    return result


class DepthwiseConv2d(nn.Conv2d):
    """`nn.Conv2d` with one kernel per channel, "same" padding and no bias."""

    def __init__(self, channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        padding = dilation * (kernel - 1) // 2
        super().__init__(channels, channels, kernel, stride, padding, dilation=dilation, groups=channels, bias=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, ⌈H/stride⌉, ⌈W/stride⌉)."""
        return depthwise_conv2d(x_NCHW, self.weight, self.stride[0], int(self.padding[0]), self.dilation[0])


class _Depthwise(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x_NCHW: Tensor, weight_C1IJ: Tensor, stride: int, padding: int, dilation: int) -> Tensor:
        return functional.conv2d(x_NCHW, weight_C1IJ, None, stride, padding, dilation, len(weight_C1IJ))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.settings = inputs[2:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        (grad_NCHW,) = grads
        x_NCHW, weight_C1IJ = ctx.saved_tensors
        of_x, of_weight = ctx.needs_input_grad[:2]
        return (
            _input_gradient(grad_NCHW, x_NCHW, weight_C1IJ, *ctx.settings) if of_x else None,
            _weight_gradient(grad_NCHW, x_NCHW, weight_C1IJ, *ctx.settings) if of_weight else None,
            None,
            None,
            None,
        )


def _input_gradient(
    grad_NCHW: Tensor, x_NCHW: Tensor, weight_C1IJ: Tensor, stride: int, padding: int, dilation: int
) -> Tensor:
    if stride == 1:
        # The convolution with the kernels turned by 180°.
        around = [dilation * (side - 1) - padding for side in weight_C1IJ.shape[2:]]
        return functional.conv2d(grad_NCHW, weight_C1IJ.flip(2, 3), None, 1, around, dilation, len(weight_C1IJ))
    exact = torch.promote_types(grad_NCHW.dtype, torch.float32)
    values = (grad_NCHW.to(exact), x_NCHW.to(exact), weight_C1IJ.to(exact))
    return _gradients(*values, stride, padding, dilation, 0).to(x_NCHW.dtype)


def _weight_gradient(
    grad_NCHW: Tensor, x_NCHW: Tensor, weight_C1IJ: Tensor, stride: int, padding: int, dilation: int
) -> Tensor:
    columns, dtype = weight_C1IJ.shape[3], weight_C1IJ.dtype
    if dilation > 1 or narrow(x_NCHW, stride):
        exact = torch.promote_types(dtype, torch.float32)
        grad_NCHW, x_NCHW, weight_C1IJ = (each.to(exact) for each in (grad_NCHW, x_NCHW, weight_C1IJ))
    if columns <= COLUMNS:
        return _gradients(grad_NCHW, x_NCHW, weight_C1IJ, stride, padding, dilation, 1).to(dtype)
    # The columns from `start` see the image from `start · dilation` on. Padding is written out, since PyTorch is slow
    # again where it is larger than the image.
    seen = (grad_NCHW.shape[3] - 1) * stride + (COLUMNS - 1) * dilation + 1
    blocks, done = [], 0
    while done < columns:
        start = min(done, columns - COLUMNS)
        left = padding - start * dilation
        part_NCHW = functional.pad(x_NCHW, (left, seen - left - x_NCHW.shape[3], padding, padding))
        kernel = weight_C1IJ[..., start : start + COLUMNS]
        block = _gradients(grad_NCHW, part_NCHW, kernel, stride, 0, dilation, 1)
        blocks.append(block[..., done - start :])
        done = start + COLUMNS
    return torch.cat(blocks, 3).to(dtype)


def _gradients(
    grad_NCHW: Tensor,
    x_NCHW: Tensor,
    weight_C1IJ: Tensor,
    stride: int,
    padding: int,
    dilation: int,
    which: int,
) -> Tensor:
    """PyTorch's own gradient with respect to the input (`which` 0) or the weight (1)."""
    groups = len(weight_C1IJ)
    found = torch.ops.aten.convolution_backward(
        grad_NCHW,
        x_NCHW,
        weight_C1IJ,
        None,
        (stride, stride),
        (padding, padding),
        (dilation, dilation),
        False,
        (0, 0),
        groups,
        (which == 0, which == 1, False),
    )
    gradient: Tensor = found[which]
    return gradient
