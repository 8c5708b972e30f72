"""Depthwise convolutions: values and gradients are those of PyTorch's convolution."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lowland.spaces.depthwise import DepthwiseConv2d, depthwise_conv2d


def tensors(kernel: int, side: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(kernel + side)
    x_NCHW = torch.randn(3, 4, side, side + 1, generator=generator, dtype=torch.float64)
    weight_C1kk = torch.randn(4, 1, kernel, kernel, generator=generator, dtype=torch.float64)
    x_NCHW = x_NCHW.to(dtype).contiguous(memory_format=torch.channels_last)
    return x_NCHW.requires_grad_(), weight_C1kk.to(dtype).requires_grad_()


def reference(x_NCHW: Tensor, weight_C1kk: Tensor, stride: int, padding: int, dilation: int) -> Tensor:
    return functional.conv2d(x_NCHW, weight_C1kk, None, stride, padding, dilation, len(weight_C1kk))


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padded", [True, False])
def test_values_and_gradients_are_those_of_conv2d(kernel: int, stride: int, dilation: int, padded: bool) -> None:
    padding = dilation * (kernel - 1) // 2 if padded else 0
    settings = (stride, padding, dilation)
    x_NCHW, weight_C1kk = tensors(kernel, 14)
    mine, theirs = depthwise_conv2d(x_NCHW, weight_C1kk, *settings), reference(x_NCHW, weight_C1kk, *settings)
    assert torch.equal(mine, theirs)
    grad = torch.randn_like(mine)
    found = torch.autograd.grad(mine, (x_NCHW, weight_C1kk), grad)
    expected = torch.autograd.grad(theirs, (x_NCHW, weight_C1kk), grad)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_it_can_be_differentiated_twice(kernel: int, stride: int) -> None:
    x_NCHW, weight_C1kk = tensors(kernel, 6)
    small = x_NCHW[:1, :, :, :6].detach().requires_grad_()

    def function(x: Tensor, weight: Tensor) -> Tensor:
        return depthwise_conv2d(x, weight, stride, kernel // 2)

    assert torch.autograd.gradgradcheck(function, (small, weight_C1kk))


def test_only_the_gradient_asked_for_is_computed() -> None:
    x_NCHW, weight_C1kk = tensors(5, 8)
    frozen = weight_C1kk.detach()
    (grad,) = torch.autograd.grad(depthwise_conv2d(x_NCHW, frozen, 2, 2).sum(), x_NCHW)
    expected = torch.autograd.grad(reference(x_NCHW, frozen, 2, 2, 1).sum(), x_NCHW)[0]
    torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_under_autocast_it_computes_in_bfloat16(stride: int) -> None:
    x_NCHW, weight_C1kk = tensors(5, 14, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        mine = depthwise_conv2d(x_NCHW, weight_C1kk, stride, 2)
        theirs = reference(x_NCHW, weight_C1kk, stride, 2, 1)
    assert mine.dtype == torch.bfloat16
    assert torch.equal(mine, theirs)
    grad = torch.randn_like(mine)
    found = torch.autograd.grad(mine, (x_NCHW, weight_C1kk), grad)
    expected = torch.autograd.grad(theirs, (x_NCHW, weight_C1kk), grad)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.01 * other.norm()


def test_gradients_by_functional_transforms() -> None:
    x_NCHW, weight_C1kk = tensors(5, 8)

    def loss(weight: Tensor) -> Tensor:
        return depthwise_conv2d(x_NCHW.detach(), weight, 1, 2).square().sum()

    found = torch.func.grad(loss)(weight_C1kk.detach())
    (expected,) = torch.autograd.grad(loss(weight_C1kk), weight_C1kk)
    torch.testing.assert_close(found, expected)


def test_the_module_pads_to_the_same_size_and_exports() -> None:
    module = DepthwiseConv2d(4, 5, stride=2, dilation=2)
    x_NCHW = torch.randn(2, 4, 9, 9)
    assert module(x_NCHW).shape == (2, 4, 5, 5)
    exported = torch.export.export(module, (x_NCHW,)).module()
    torch.testing.assert_close(exported(x_NCHW), module(x_NCHW))
