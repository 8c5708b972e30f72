from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from lowland.core.config import MeasureConfig
from lowland.core.genotype import Genotype
from lowland.measures.untrained.aznas import (
    block_gain,
    block_gains,
    block_isotropies,
    isotropy,
    least_increase,
    mean_stability,
    stability,
)
from lowland.measures.untrained.initialization import normal_images, normal_network
from lowland.measures.untrained.untrained import Untrained

from .test_untrained import FULL, SHAPE, context, score

DEAD = stability(0.0)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def probe(*shape: int, seed: int = 1) -> Tensor:
    return 2.0 * torch.randint(2, shape, generator=torch.Generator().manual_seed(seed)).float() - 1.0


def gain(block: nn.Module, x: Tensor) -> float:
    x.requires_grad_()
    y = block(x)
    return block_gain(x, y, probe(*y.shape))


class Chain(nn.Module):
    """Blocks one after the other."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.cells = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for cell in self.cells:
            x = cell(x)
        return x


# --- expressivity and progressivity --------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [2, 5])
def test_orthogonal_channels_of_equal_variance_have_the_greatest_entropy(channels: int) -> None:
    # ± each unit vector: mean 0, covariance I/C.
    x = torch.cat([torch.eye(channels), -torch.eye(channels)]).T[None, :, :, None]
    assert isotropy(x) == pytest.approx(math.log(channels), rel=1e-6)
    assert isotropy(7.0 + 3.0 * x) == pytest.approx(math.log(channels), rel=1e-5)


def test_entropy_of_known_variances_in_any_basis() -> None:
    """Variances 4 : 1 give −0.8 log 0.8 − 0.2 log 0.2, turned or not; repeated channels add nothing."""
    wanted = -0.8 * math.log(0.8) - 0.2 * math.log(0.2)
    plain = torch.tensor([[2.0, -2.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    for matrix in (plain, turn @ plain):
        assert isotropy(matrix.reshape(1, 2, 2, 2)) == pytest.approx(wanted, rel=1e-6)
    assert isotropy(torch.cat([plain, plain]).reshape(1, 4, 2, 2)) == pytest.approx(wanted, rel=1e-5)


def test_positions_of_all_images_are_one_sample() -> None:
    x = normal(6, 3, 4, 2)
    flat = x.permute(1, 0, 2, 3).reshape(1, 3, 8, 6)
    assert isotropy(x) == pytest.approx(isotropy(flat), rel=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0 / 3.0, 1e4 / 3.0])
def test_constant_features_have_no_entropy(value: float) -> None:
    assert isotropy(torch.full((4, 3, 5, 5), value) * torch.tensor([1.0, 2.0, -3.0])[:, None, None]) == 0.0


def test_features_along_one_direction_have_no_entropy() -> None:
    assert isotropy(normal(4, 1, 3, 3) * torch.tensor([1.0, 2.0, -3.0])[:, None, None]) == pytest.approx(0.0, abs=1e-5)


def test_input_and_every_block_are_features() -> None:
    flat = nn.Conv2d(4, 4, 1, bias=False)
    with torch.no_grad():
        flat.weight.copy_(torch.diag(torch.tensor([1.0, 1.0, 0.0, 0.0]))[:, :, None, None])
    found = block_isotropies(Chain(nn.Identity(), flat), normal(256, 4, 8, 8))
    assert found == pytest.approx([math.log(4), math.log(4), math.log(2)], abs=1e-3)
    assert least_increase(found) == found[2] - found[1]


def test_least_increase() -> None:
    assert least_increase([1.0, 3.0, 3.5, 9.0]) == 0.5
    assert least_increase([1.0, 3.0, 2.5, 9.0]) == -0.5


def test_scores_sum_and_compare_the_same_entropies() -> None:
    given = context()
    untrained = Untrained(SHAPE, FULL, given, MeasureConfig())
    found = block_isotropies(normal_network(untrained), normal_images(untrained, SHAPE, 64))
    assert len(found) == 6
    assert score("expressivity").value == math.fsum(found)
    assert score("progressivity").value == least_increase(found)
    assert score("expressivity").details == {"channels": 4, "cells": 1, "random_images": 64}


# --- trainability --------------------------------------------------------------------------------------------------


def test_a_block_that_scales_has_that_gain() -> None:
    """g = 3v, so that the estimate is 3·mean(vvᵀ): its diagonal is exactly 3."""
    scaling = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(scaling.weight, -3.0)
    assert gain(scaling, normal(2, 1, 4, 4)) == pytest.approx(3.0, rel=1e-6)


def test_a_pointwise_convolution_has_the_spectral_norm_of_its_matrix() -> None:
    block = nn.Conv2d(6, 4, 1)
    wanted = torch.linalg.matrix_norm(block.weight[:, :, 0, 0], ord=2).item()
    assert gain(block, normal(64, 6, 16, 16)) == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize("size", [16, 15])
def test_a_strided_convolution_has_the_spectral_norm_of_its_patch_matrix(size: int) -> None:
    """Kernels as large as the stride see disjoint patches; of an odd size 7 of 8 have a second row, or column."""
    block = nn.Conv2d(3, 4, 2, stride=2, bias=False)
    padded = nn.Sequential(nn.ZeroPad2d((0, size % 2, 0, size % 2)), block)
    share = torch.tensor([1.0, 1.0 if size == 16 else 7 / 8])
    wanted = torch.linalg.matrix_norm((block.weight * share[:, None] * share).flatten(1), ord=2).item()
    assert gain(padded, normal(96, 3, size, size)) == pytest.approx(wanted, rel=0.03)


def test_a_position_apart_does_not_count() -> None:
    """A 3×3 kernel without its centre has the mean Jacobian 0 at the position itself, up to sampling."""
    block = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    with torch.no_grad():
        block.weight[:, :, 1, 1] = 0.0
    assert gain(block, normal(64, 4, 16, 16)) < 0.03


def test_blocks_that_pass_nothing_or_their_very_input() -> None:
    dead = nn.Conv2d(2, 2, 1, bias=False)
    nn.init.zeros_(dead.weight)
    x = normal(2, 2, 4, 4).requires_grad_()
    assert gain(dead, x) == 0.0
    assert math.isnan(gain(nn.Identity(), x))
    assert block_gain(x, torch.zeros(2, 2, 4, 4), probe(2, 2, 4, 4)) == 0.0


def test_stability_is_greatest_where_gradients_keep_their_size() -> None:
    assert stability(1.0) == pytest.approx(0.0, abs=2e-6)
    assert stability(2.0) == pytest.approx(-0.5, abs=1e-6)
    assert stability(0.5) == pytest.approx(-0.5, abs=1e-5)
    assert stability(0.0) == pytest.approx(2.0 - 1e6)


def test_an_identity_counts_like_a_dead_block_and_a_dead_block_stops_all_gradients() -> None:
    assert mean_stability([2.0, 1.0]) == pytest.approx(-0.25, abs=1e-5)
    assert mean_stability([2.0, math.nan]) == (DEAD + stability(2.0)) / 2
    assert mean_stability([2.0, math.nan, 0.0]) == DEAD


def test_gains_are_taken_block_by_block() -> None:
    blocks = [nn.Conv2d(3, 3, 1, bias=False) for _ in range(2)]
    for factor, block in zip((2.0, 5.0), blocks, strict=True):
        with torch.no_grad():
            block.weight.copy_(factor * torch.eye(3)[:, :, None, None])
    assert block_gains(Chain(*blocks), normal(64, 3, 16, 16), 0) == pytest.approx([2.0, 5.0], rel=0.05)


def test_trainability_is_the_mean_over_blocks() -> None:
    given = context()
    untrained = Untrained(SHAPE, FULL, given, MeasureConfig())
    gains = block_gains(normal_network(untrained), normal_images(untrained, SHAPE, 64), given.seed)
    assert len(gains) == 5
    wanted = sum(2.0 - s - 1.0 / (s + 1e-6) for s in gains) / 5
    assert score("trainability").value == pytest.approx(wanted, rel=1e-9)


def test_cells_of_one_skip_connection_are_untrainable() -> None:
    """Three of the five blocks are identities."""
    assert score("trainability", Genotype("nasbench201", (0, 0, 0, 1, 0, 0))).value < 0.6 * DEAD + 1


# --- where they start ----------------------------------------------------------------------------------------------


def test_weights_are_normal_with_variance_2_over_fan_in() -> None:
    untrained = Untrained(SHAPE, FULL, context(), MeasureConfig(untrained_channels=64))
    network = normal_network(untrained)
    weight = network.get_parameter("cells.0.edges.0.1.weight").flatten()
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.03)
    kurtosis = (weight / weight.std()).pow(4).mean().item()
    assert kurtosis == pytest.approx(3.0, abs=0.2)
    assert not network.get_parameter("head.4.bias").any()


def test_gaussian_images_are_the_same_for_every_genotype_and_move_with_the_seed() -> None:
    def images(seed: int, genotype: Genotype) -> Tensor:
        return normal_images(Untrained(SHAPE, genotype, context(seed=seed), MeasureConfig()), SHAPE, 50)

    first = images(1, FULL)
    assert first.shape == (50, 1, 8, 8)
    assert torch.equal(first, images(1, Genotype("nasbench201", (2,) * 6)))
    assert not torch.equal(first, images(2, FULL))
    assert first.mean().item() == pytest.approx(0.0, abs=0.06)
    assert first.std().item() == pytest.approx(1.0, rel=0.05)
