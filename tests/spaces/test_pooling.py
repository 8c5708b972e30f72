"""Average pooling: values and gradients are those of PyTorch's kernel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lowland.spaces.pooling import AveragePool3x3, average_pool_3x3, quick


def image(height: int, width: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(height)
    x_NCHW = torch.randn(2, 5, height, width, generator=generator, dtype=torch.float64).to(dtype)
    return x_NCHW.contiguous(memory_format=torch.channels_last).requires_grad_()


def reference(x_NCHW: Tensor) -> Tensor:
    return functional.avg_pool2d(x_NCHW, 3, 1, 1, count_include_pad=False)


@pytest.mark.parametrize("size", [(2, 2), (2, 7), (3, 3), (8, 5)])
def test_values_and_gradients_are_those_of_avg_pool2d(size: tuple[int, int]) -> None:
    x_NCHW = image(*size)
    mine, theirs = average_pool_3x3(x_NCHW), reference(x_NCHW)
    torch.testing.assert_close(mine, theirs, rtol=1e-13, atol=1e-13)
    grad = torch.randn_like(theirs)
    (found,), (expected,) = (torch.autograd.grad(out, x_NCHW, grad) for out in (mine, theirs))
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


def test_it_can_be_differentiated_twice_and_leaves_its_input_alone() -> None:
    x_NCHW = image(4, 3)
    before = x_NCHW.detach().clone()
    assert torch.autograd.gradcheck(average_pool_3x3, x_NCHW)
    assert torch.autograd.gradgradcheck(average_pool_3x3, x_NCHW)
    assert torch.equal(x_NCHW, before)


def test_a_gradient_is_left_alone() -> None:
    x_NCHW = image(4, 4)
    grad = torch.ones(2, 5, 4, 4, dtype=torch.float64)
    torch.autograd.grad(average_pool_3x3(x_NCHW), x_NCHW, grad)
    assert torch.equal(grad, torch.ones_like(grad))


def test_in_bfloat16_it_is_as_exact_as_avg_pool2d() -> None:
    x_NCHW = image(16, 16, torch.bfloat16).detach()
    exact = reference(x_NCHW.double())
    mine, theirs = ((out.double() - exact).abs().mean() for out in (average_pool_3x3(x_NCHW), reference(x_NCHW)))
    assert mine < 2 * theirs


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 4)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_module_pools_every_size_and_layout(
    stride: int, size: tuple[int, int], layout: torch.memory_format
) -> None:
    x_NCHW = image(*size).detach().contiguous(memory_format=layout)
    expected = functional.avg_pool2d(x_NCHW, 3, stride, 1, count_include_pad=False)
    torch.testing.assert_close(AveragePool3x3(stride)(x_NCHW), expected)


def test_it_is_used_where_it_is_quicker() -> None:
    assert quick(image(4, 4))
    assert not quick(image(4, 4).contiguous())
    assert not quick(image(1, 4))
    assert not quick(torch.empty(2, 5, 4, 4, device="meta").to(memory_format=torch.channels_last))


def test_it_exports_as_pooling() -> None:
    exported = torch.export.export(AveragePool3x3(), (image(4, 4).detach(),))
    assert "avg_pool2d" in exported.graph_module.code
