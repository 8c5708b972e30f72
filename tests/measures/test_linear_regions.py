from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lowland.core.genotype import Genotype
from lowland.measures.untrained.linear_regions import activation_codes

from .test_untrained import EMPTY, FULL, score


def regions(network: nn.Module, x: torch.Tensor) -> int:
    return len({code.tobytes() for code in activation_codes(network, x)})


def lines(count: int) -> nn.Module:
    """ReLUs on `count` lines in general position through the plane: 1 + n + n(n − 1)/2 regions (Schläfli)."""
    layer = nn.Linear(2, count).double()
    angles = torch.arange(count, dtype=torch.float64) * torch.pi / count + 0.1
    with torch.no_grad():
        layer.weight.copy_(torch.stack([angles.cos(), angles.sin()], dim=1))
        layer.bias.copy_(torch.linspace(-0.5, 0.7, count, dtype=torch.float64) ** 2)
    return nn.Sequential(layer, nn.ReLU())


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_regions_of_lines_in_the_plane(count: int) -> None:
    axis = torch.linspace(-30, 30, 1201, dtype=torch.float64)
    assert regions(lines(count), torch.cartesian_prod(axis, axis)) == 1 + count + count * (count - 1) // 2


def test_codes_by_hand() -> None:
    x = torch.tensor([[1.0, -1.0, 2.0], [1.0, 1.0, -3.0], [5.0, -2.0, 0.5]])
    network = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.ReLU6())
    assert np.unpackbits(activation_codes(network, x)[:, :1], axis=1)[:, :3].tolist() == [
        [1, 0, 1],
        [1, 1, 0],
        [1, 0, 1],
    ]
    assert activation_codes(network, x).shape == (3, 2)
    assert regions(network, x) == 2
    assert not any(module._forward_hooks for module in network.modules())


def test_a_linear_network_has_one_region() -> None:
    assert regions(nn.Linear(2, 2), torch.randn(20, 2)) == 1


def test_score_counts_among_3000_inputs_of_a_thin_network() -> None:
    found = score("linear_regions")
    assert found.details == {"channels": 1, "cells": 1, "random_images": 3000}
    assert 1 < found.value <= 3000
    assert found.value == int(found.value)
    assert found.value == score("linear_regions", untrained_channels=9).value


def test_operations_that_fold_space_add_regions() -> None:
    skip, pool = (score("linear_regions", Genotype("nasbench201", (0, 0, 0, gene, 0, 0))).value for gene in (1, 4))
    assert score("linear_regions", FULL).value > skip > score("linear_regions", EMPTY).value == 1.0
    assert skip > pool
