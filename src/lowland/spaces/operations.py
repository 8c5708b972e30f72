"""Candidate operations and building blocks shared by the cell-based spaces (DARTS; NAS-Bench-201).

Where a network has an output stride (`spaces.output_stride`), `dilation` is the distance of pixels that were neighbours
in the network as it was found, and `dense` keeps every pixel where an operation of stride 2 would leave out half.

Tensor names: N batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowland.spaces.depthwise import DepthwiseConv2d


class ConvBN(nn.Sequential):
    """[ReLU →] convolution → batch norm, "same" padding."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int = 1,
        *,
        dilation: int = 1,
        affine: bool = True,
        relu: bool = True,
    ) -> None:
        padding = dilation * (kernel - 1) // 2
        layers: list[nn.Module] = [nn.ReLU()] if relu else []
        layers += [
            nn.Conv2d(c_in, c_out, kernel, stride, padding, dilation=dilation, bias=False),
            nn.BatchNorm2d(c_out, affine=affine),
        ]
        super().__init__(*layers)


class DilatedConv(nn.Sequential):
    """ReLU → dilated depthwise convolution → 1×1 convolution → batch norm (DARTS `dil_conv`, dilation 2)."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int,
        *,
        affine: bool = True,
        dilation: int = 1,
        dense: bool = False,
    ) -> None:
        super().__init__(
            nn.ReLU(),
            DepthwiseConv2d(c_in, kernel, 1 if dense else stride, dilation=2 * dilation),
            nn.Conv2d(c_in, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out, affine=affine),
        )


class SeparableConv(nn.Sequential):
    """Twice ReLU → depthwise → 1×1 convolution → batch norm; the stride is on the first (DARTS `sep_conv`)."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int,
        *,
        affine: bool = True,
        dilation: int = 1,
        dense: bool = False,
    ) -> None:
        super().__init__(
            nn.ReLU(),
            DepthwiseConv2d(c_in, kernel, 1 if dense else stride, dilation),
            nn.Conv2d(c_in, c_in, 1, bias=False),
            nn.BatchNorm2d(c_in, affine=affine),
            nn.ReLU(),
            DepthwiseConv2d(c_in, kernel, dilation=stride * dilation if dense else dilation),
            nn.Conv2d(c_in, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out, affine=affine),
        )


class FactorizedReduce(nn.Module):
    """Halve the resolution without losing pixels: two 1×1 stride-2 convolutions, one shifted by a pixel, concatenated.

    An odd input is zero-padded by one row and column on the far side for the shifted half. `dense`: both convolutions
    have stride 1, the second shifted by `dilation` pixels, and the resolution stays.
    """

    def __init__(self, c_in: int, c_out: int, *, affine: bool = True, dilation: int = 1, dense: bool = False) -> None:
        super().__init__()
        self.dilation, self.dense = dilation, dense
        stride = 1 if dense else 2
        self.relu = nn.ReLU()
        self.conv_1 = nn.Conv2d(c_in, c_out // 2, 1, stride=stride, bias=False)
        self.conv_2 = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=stride, bias=False)
        self.bn = nn.BatchNorm2d(c_out, affine=affine)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, C_in, H, W) → (N, C_out, ⌈H/2⌉, ⌈W/2⌉), or where it is dense (N, C_out, H, W)."""
        x_NCHW = self.relu(x_NCHW)
        out_NCHW: Tensor = self.bn(torch.cat([self.conv_1(x_NCHW), self.conv_2(self._shifted(x_NCHW))], dim=1))
        return out_NCHW

    def _shifted(self, x_NCHW: Tensor) -> Tensor:
        if self.dense:
            shift = self.dilation
            return nn.functional.pad(x_NCHW, (0, shift, 0, shift))[:, :, shift:, shift:]
        odd_h, odd_w = x_NCHW.shape[2] % 2, x_NCHW.shape[3] % 2
        return nn.functional.pad(x_NCHW, (0, odd_w, 0, odd_h))[:, :, 1:, 1:]


def drop_path(x_NCHW: Tensor, probability: float) -> Tensor:
    """Zero whole images of `x_NCHW` with `probability` and rescale the rest (stochastic depth per sample)."""
    keep = 1.0 - probability
    mask_N111 = torch.empty(x_NCHW.shape[0], 1, 1, 1, device=x_NCHW.device, dtype=x_NCHW.dtype).bernoulli_(keep)
    return x_NCHW * mask_N111 / keep
