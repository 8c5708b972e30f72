"""Costs computed from descriptions equal what running the module counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lowland.spaces.cost import classifier_cost, module_cost
from lowland.spaces.operations import ConvBN, DilatedConv, FactorizedReduce, SeparableConv
from lowland.spaces.values import Cost

MODULES = {
    "conv": lambda: nn.Conv2d(6, 8, 3, padding=1),
    "grouped strided conv": lambda: nn.Conv2d(6, 8, (3, 5), (2, 1), padding=(1, 2), groups=2, bias=False),
    "dilated conv without padding": lambda: nn.Conv2d(6, 4, 3, dilation=2),
    "conv bn": lambda: ConvBN(6, 10, 3, 2),
    "conv bn not affine": lambda: ConvBN(6, 10, 1, affine=False),
    "dilated": lambda: DilatedConv(6, 10, 5, 2),
    "separable": lambda: SeparableConv(6, 10, 3, 2),
    "factorized reduce": lambda: FactorizedReduce(6, 9),
    "pools": lambda: nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2, 2), nn.Conv2d(6, 2, 1)),
    "ceil pool": lambda: nn.Sequential(nn.AvgPool2d(2, 2, ceil_mode=True, padding=1), nn.Conv2d(6, 2, 1)),
    "dilated pool": lambda: nn.Sequential(nn.MaxPool2d(2, 1, dilation=3), nn.Conv2d(6, 2, 1)),
    "classifier": lambda: nn.Sequential(
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Identity(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(6, 7),
    ),
    "adaptive pool that keeps the height": lambda: nn.Sequential(nn.AdaptiveAvgPool2d((None, 2)), nn.Conv2d(6, 3, 1)),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 7), (16, 11)])
def test_cost_equals_what_runs(name, height, width):
    module = MODULES[name]()
    cost, out_height, out_width = module_cost(module, height, width)
    with FlopCounterMode(display=False) as counter:
        output = module(torch.zeros(2, 6, height, width))
    assert cost.macs == counter.get_total_flops() / 2 / 2
    assert cost.parameters == sum(p.numel() for p in module.parameters())
    assert (out_height, out_width) == (tuple(output.shape[2:]) or (1, 1))


def test_ceil_mode_follows_torch():
    for size in range(2, 14):
        for kernel, stride, padding in ((2, 2, 0), (3, 2, 1), (2, 3, 1), (3, 3, 0)):
            if size + 2 * padding < kernel:
                continue
            pool = nn.MaxPool2d(kernel, stride, padding, ceil_mode=True)
            _, height, _ = module_cost(pool, size, size)
            assert height == pool(torch.zeros(1, 1, size, size)).shape[2], (size, kernel, stride, padding)


def test_meta_modules_cost_the_same():
    with torch.device("meta"):
        described = SeparableConv(6, 10, 5, 2)
    assert module_cost(described, 12, 12) == module_cost(SeparableConv(6, 10, 5, 2), 12, 12)


def test_frozen_weights_are_not_trainable_parameters():
    conv = nn.Conv2d(2, 2, 1, bias=False).requires_grad_(False)
    assert module_cost(conv, 4, 4)[0] == Cost(0, 2 * 2 * 16)


@pytest.mark.parametrize(
    "module", [nn.ConvTranspose2d(2, 2, 3), nn.Sequential(nn.GRU(2, 2)), nn.Conv2d(2, 2, 3, padding="same")], ids=str
)
def test_unknown_types_are_never_free(module):
    with pytest.raises(TypeError, match=r"ConvTranspose2d|GRU|padding"):
        module_cost(module, 8, 8)


def test_misfits_are_refused():
    with pytest.raises(ValueError, match="does not fit a 2×2 input"):
        module_cost(nn.Conv2d(2, 2, 5), 2, 2)
    with pytest.raises(ValueError, match="Flatten"):
        module_cost(nn.Linear(2, 2), 4, 4)


def test_classifier_conventions():
    assert classifier_cost(832, 1000) == Cost(833_000, 832_000)
    # The difference of the two conventions at DARTS' C = 52: (16·C − 1)·1000 MACs.
    assert classifier_cost(832, 1000, "profiler").macs - classifier_cost(832, 1000).macs == 831_000
