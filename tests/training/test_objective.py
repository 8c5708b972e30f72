"""The loss: plain cross-entropy where nothing is asked for; smoothed, mixed and weighted as its formula says."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lowland.core.recipe import OptimizationConfig
from lowland.training.objective import class_weights, cross_entropy, divergence, objective

LABELS_N = torch.tensor([0, 0, 0, 0, 1, 1, 3])
LOGITS_NK = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))


def by_hand(target_NK: Tensor, smoothing: float, weight_K: Tensor) -> float:
    total = 0.0
    surprise_NK = -LOGITS_NK.double().log_softmax(1)
    for target_K, surprise_K in zip(target_NK.tolist(), surprise_NK, strict=True):
        for k in range(4):
            smooth = (1 - smoothing) * surprise_K[k] + smoothing * surprise_K.mean()
            total += target_K[k] * float(weight_K[k]) * float(smooth)
    return total / len(target_NK)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_balance_it_is_torchs_to_the_bit(smoothing: float) -> None:
    loss = objective(OptimizationConfig(label_smoothing=smoothing), LABELS_N, 4)
    assert torch.equal(loss(LOGITS_NK, LABELS_N), F.cross_entropy(LOGITS_NK, LABELS_N, label_smoothing=smoothing))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("mixed", [False, True])
def test_weighted_it_is_the_formula(smoothing: float, mixed: bool) -> None:
    hot_NK = F.one_hot(LABELS_N, 4).float()
    targets = 0.3 * hot_NK + 0.7 * hot_NK.roll(1, 0) if mixed else LABELS_N
    weight_K = class_weights(LABELS_N, 4)
    found = objective(OptimizationConfig(label_smoothing=smoothing, class_balance="loss"), LABELS_N, 4)
    wanted = by_hand(targets if mixed else hot_NK, smoothing, weight_K)
    assert float(found(LOGITS_NK, targets)) == pytest.approx(wanted, rel=1e-5)
    ones = cross_entropy(LOGITS_NK, targets, smoothing=smoothing, weight_K=torch.ones(4))
    torch.testing.assert_close(ones, F.cross_entropy(LOGITS_NK, targets, label_smoothing=smoothing))


def test_weights_make_classes_count_alike() -> None:
    weight_K = class_weights(LABELS_N, 4)
    assert weight_K[2] == 0  # has no images
    per_class = [float(weight_K[LABELS_N[k == LABELS_N]].sum()) for k in (0, 1, 3)]
    assert per_class == pytest.approx([7 / 3] * 3)
    assert float(weight_K[LABELS_N].mean()) == pytest.approx(1.0)
    assert class_weights(torch.arange(4), 4).tolist() == [1.0] * 4


def test_divergence_is_the_formula() -> None:
    views = [torch.randn(5, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    p = torch.stack([view.double().softmax(1) for view in views])
    middle = p.mean(0)
    wanted = (p * (p / middle).log()).sum(2).mean()
    assert float(divergence(*views)) == pytest.approx(float(wanted), rel=1e-5)
    assert float(divergence(views[0], views[0], views[0])) == pytest.approx(0.0, abs=1e-6)
    sure = 50 * torch.eye(3)
    assert float(divergence(*(sure[k : k + 1] for k in range(3)))) == pytest.approx(math.log(3), rel=1e-4)
