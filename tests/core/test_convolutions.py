"""Gradients of convolutions in bfloat16, of which PyTorch has two kinds wrong on CPUs."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from lowland.core.convolutions import DilatedConv2d, StridedConv2d
from lowland.core.device import Compute
from lowland.spaces.depthwise import DepthwiseConv2d

BF16 = Compute(device=torch.device("cpu"), autocast_dtype=torch.bfloat16, channels_last=True)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(40, 64, 3, padding=2, dilation=2),
        nn.Conv2d(16, 16, 3, padding=4, dilation=4, groups=16),
        nn.Conv2d(32, 32, 3, padding=2, dilation=2, groups=4),
        nn.Conv2d(16, 32, 3, padding=2, dilation=2),
        DepthwiseConv2d(8, 3, dilation=2),
        DepthwiseConv2d(8, 5, dilation=2),
        DepthwiseConv2d(8, 5, stride=2, dilation=2),
    ],
)
@pytest.mark.parametrize("side", [16, 32, 40])
def test_the_gradient_in_bfloat16_is_nearly_the_exact_one(conv: nn.Conv2d, side: int) -> None:
    exact, fast = deepcopy(conv), BF16.prepare(deepcopy(conv))
    x_NCHW = torch.randn(8, conv.in_channels, side, side, generator=torch.Generator().manual_seed(side))
    exact(x_NCHW).square().sum().backward()
    with BF16.autocast():
        y_NCHW = fast(BF16.place(x_NCHW))
    y_NCHW.float().square().sum().backward()
    assert exact.weight.grad is not None
    assert fast.weight.grad is not None
    difference = (exact.weight.grad - fast.weight.grad).abs().max() / exact.weight.grad.abs().max()
    assert float(difference) < 0.03


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(24, 24, 3, stride=3, padding=1),
        nn.Conv2d(32, 32, 5, stride=2, padding=2),
        nn.Conv2d(32, 32, 3, stride=2, padding=1, groups=4),
        DepthwiseConv2d(168, 3, stride=2),
        DepthwiseConv2d(24, 5, stride=2),
        DepthwiseConv2d(24, 7, stride=2),
    ],
)
def test_the_gradient_of_a_stride_beyond_the_image_holds_nothing_of_what_the_memory_held(
    conv: nn.Conv2d, width: int
) -> None:
    exact, fast = deepcopy(conv), BF16.prepare(deepcopy(conv))
    x_NCHW = torch.randn(32, conv.in_channels, 4, width, generator=torch.Generator().manual_seed(width))
    exact(x_NCHW).square().sum().backward()
    assert exact.weight.grad is not None
    for _ in range(4):
        fast.zero_grad()
        before = [
            torch.full((size,), 1e4) for size in (64, 256, 1000, 1512, 4096, 9216, 20000, 65536) for _ in range(30)
        ]
        del before
        with BF16.autocast():
            y_NCHW = fast(BF16.place(x_NCHW))
        y_NCHW.float().square().sum().backward()
        assert fast.weight.grad is not None
        difference = (exact.weight.grad - fast.weight.grad).abs().max() / exact.weight.grad.abs().max()
        assert float(difference) < 0.03


def test_only_what_may_be_wrong_is_changed_and_copies_stay_right() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3),
        nn.Conv2d(16, 32, 3, dilation=2),
        nn.Conv2d(32, 40, 3, dilation=2),
        nn.Conv2d(40, 40, 3, stride=2),
        nn.Conv2d(40, 40, 1, stride=2),
        DepthwiseConv2d(40, 3, dilation=2),
    )
    names = list(network.state_dict())
    copied = deepcopy(BF16.prepare(network))
    assert [type(each) for each in copied] == [
        nn.Conv2d,
        nn.Conv2d,
        DilatedConv2d,
        StridedConv2d,
        nn.Conv2d,
        DepthwiseConv2d,
    ]
    assert list(copied.state_dict()) == names
    exact = Compute(device=torch.device("cpu"))
    assert type(exact.prepare(nn.Conv2d(5, 5, 3, dilation=2))) is nn.Conv2d
