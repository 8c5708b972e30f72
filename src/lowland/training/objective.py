"""The loss of classification: cross-entropy, with labels smoothed, mixed or weighted by class; and consistency.

Tensor names: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lowland.core.recipe import OptimizationConfig


def class_weights(labels_N: Tensor, classes: int) -> Tensor:
    """w_k = N / (K′·n_k) with n_k images of class k and K′ classes that have any, so that their mean over images is 1.

    Example:
        Three images of one class and one of another; the second counts three times as much:

        >>> class_weights(torch.tensor([0, 0, 0, 1]), 2)
        tensor([0.6667, 2.0000])

    Returns:
        float32 (K,); 0 for a class without images.
    """
    count_K = torch.bincount(labels_N, minlength=classes)
    present = int((count_K > 0).sum())
    return torch.where(count_K > 0, len(labels_N) / (present * count_K.clamp(min=1)), 0.0).float()


def cross_entropy(logits_NK: Tensor, targets: Tensor, *, smoothing: float, weight_K: Tensor | None) -> Tensor:
    """Mean over images of Σ_k t_k·w_k·((1 − ε)·(−log p_k) + ε/K·Σ_j (−log p_j)), p the softmax of the logits.

    Args:
        logits_NK: float32.
        targets: Labels, int64 (N,), or t, float (N, K), rows adding up to 1.
        smoothing: ε.
        weight_K: w; None: all 1.

    Returns:
        A scalar.
    """
    if weight_K is None:
        return F.cross_entropy(logits_NK, targets, label_smoothing=smoothing)
    classes = logits_NK.shape[1]
    share_NK = targets if targets.is_floating_point() else F.one_hot(targets, classes)
    weighted_NK = share_NK * weight_K
    smooth_NK = (1 - smoothing) * weighted_NK + smoothing / classes * weighted_NK.sum(dim=1, keepdim=True)
    return -(smooth_NK * logits_NK.log_softmax(dim=1)).sum(dim=1).mean()


def objective(recipe: OptimizationConfig, labels_N: Tensor, classes: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The recipe's loss of logits (N, K) and targets, for training on images with these labels."""
    weight_K = class_weights(labels_N, classes) if recipe.class_balance == "loss" else None

    def loss(logits_NK: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(logits_NK, targets, smoothing=recipe.label_smoothing, weight_K=weight_K)

    return loss


def divergence(*logits_NK: Tensor) -> Tensor:
    """Jensen-Shannon divergence of predictions for views of the same images, mean over images, nats.

    (1/V)·Σ_v KL(p_v ‖ m) with m = (1/V)·Σ_v p_v (AugMix, arXiv:1912.02781, Equation 2), from 0 to log V.

    Example:
        Of two opposite certainties it is log 2:

        >>> divergence(torch.tensor([[99.0, 0.0]]), torch.tensor([[0.0, 99.0]]))
        tensor(0.6931)

    Returns:
        A scalar.
    """
    logs = [logits.log_softmax(dim=1) for logits in logits_NK]
    # As in the public code, so that its logarithm is finite.
    middle_NK = torch.stack([log.exp() for log in logs]).mean(dim=0).clamp(1e-7, 1).log()
    parts = [F.kl_div(middle_NK, log, reduction="batchmean", log_target=True) for log in logs]
    return torch.stack(parts).mean()
