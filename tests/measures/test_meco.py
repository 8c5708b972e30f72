from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lowland.core.config import MeasureConfig
from lowland.measures.untrained.initialization import normal_images, normal_network
from lowland.measures.untrained.meco import feature_map_eigenvalues, least_correlation_eigenvalue
from lowland.measures.untrained.untrained import Untrained

from .test_untrained import EMPTY, FULL, SHAPE, context, score


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_uncorrelated_channels_have_one_and_dependent_ones_zero() -> None:
    # Rows of a Hadamard matrix without the constant one: zero mean, orthogonal.
    rows_CP = torch.tensor([[1.0, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    x = rows_CP.reshape(1, 3, 2, 2)
    assert least_correlation_eigenvalue(x) == pytest.approx(1.0)
    assert least_correlation_eigenvalue(5.0 * x + 7.0) == pytest.approx(1.0)  # scale and shift do not matter
    twice = torch.cat([x, x[:, :1] - 2.0 * x[:, 1:2]], dim=1)
    assert least_correlation_eigenvalue(twice) == pytest.approx(0.0, abs=1e-6)


def test_two_channels_have_one_minus_their_correlation() -> None:
    x = normal(4, 2, 5, 5)
    x[:, 1] += 0.8 * x[:, 0]
    r = torch.corrcoef(x.movedim(1, 0).flatten(1))[0, 1]
    assert least_correlation_eigenvalue(x) == pytest.approx(1.0 - abs(float(r)), rel=1e-5)


def test_constant_channels_and_few_positions_have_zero() -> None:
    x = normal(2, 3, 4, 4)
    x[:, 1] = 3.1
    assert least_correlation_eigenvalue(x) == 0.0
    assert least_correlation_eigenvalue(torch.zeros(2, 3, 4, 4)) == 0.0
    assert least_correlation_eigenvalue(normal(1, 8, 2, 2)) == pytest.approx(0.0, abs=1e-9)


def test_every_feature_map_counts_and_vectors_do_not() -> None:
    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = feature_map_eigenvalues(network, normal(6, 3, 5, 5))
    assert len(found) == 4  # convolution, ReLU, both together, pooling
    assert found[1] == found[2]
    network[0][1] = nn.ReLU(inplace=True)
    assert feature_map_eigenvalues(network, normal(6, 3, 5, 5)) == found
    assert not network[0][0]._forward_hooks


def test_the_score_is_the_sum_over_the_gaussian_network() -> None:
    config = MeasureConfig(untrained_batch=6)
    untrained = Untrained(SHAPE, FULL, context(), config)
    x = normal_images(untrained, SHAPE, 6)
    wanted = sum(feature_map_eigenvalues(normal_network(untrained), x))
    assert wanted > 0.0
    assert score("meco", untrained_batch=6).value == pytest.approx(wanted)
    assert score("meco", EMPTY, untrained_batch=6).value < wanted
