"""Mixtures of two images and of their labels: mixup and CutMix.

Tensor names: N images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor
from torch.nn import functional as F


def mixed(
    x_NCHW: Tensor, labels_N: Tensor, classes: int, rng: np.random.Generator, *, mixup: float = 0.0, cutmix: float = 0.0
) -> tuple[Tensor, Tensor]:
    """A batch of which every image is mixed with the one before it, and the shares of classes in each mixture.

    - mixup (Zhang et al. 2018, arXiv:1710.09412): λ·x + (1 − λ)·x′ with λ ~ Beta(α, α).
    - CutMix (Yun et al. 2019, arXiv:1905.04899): a rectangle of x′ in x, of share 1 − λ before it is cut at the
      image's edge, around a pixel drawn uniformly; λ is then what is left of x.

    The targets are λ·onehot(y) + (1 − λ)·onehot(y′), so that their cross-entropy is the mixture of the two. One λ and
    rectangle serve a batch, as published. With both, each batch is mixed in one of the two ways, with equal chance.

    Args:
        x_NCHW: Images, normalised; never changed.
        labels_N: int64.
        classes: K.
        rng: Of this batch.
        mixup: α; 0: never.
        cutmix: α; 0: never.

    Returns:
        Images as `x_NCHW`, and float32 targets (N, K) whose rows sum to 1.
    """
    cut = bool(cutmix) and (not mixup or rng.random() < 0.5)
    share = float(rng.beta(cutmix, cutmix) if cut else rng.beta(mixup, mixup))
    other_NCHW = x_NCHW.roll(1, dims=0)
    if cut:
        height, width = x_NCHW.shape[2:]
        (top, bottom), (left, right) = (_stretch(length, math.sqrt(1 - share), rng) for length in (height, width))
        x_NCHW = x_NCHW.clone()
        x_NCHW[:, :, top:bottom, left:right] = other_NCHW[:, :, top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (height * width)
    else:
        x_NCHW = share * x_NCHW + (1 - share) * other_NCHW
    target_NK = F.one_hot(labels_N, classes).float()
    return x_NCHW, share * target_NK + (1 - share) * target_NK.roll(1, dims=0)


def _stretch(length: int, share: float, rng: np.random.Generator) -> tuple[int, int]:
    """First pixel, and the one after the last, of a stretch around a pixel drawn uniformly, cut at the ends."""
    middle, half = int(rng.integers(length)), int(length * share / 2)
    return max(0, middle - half), min(length, middle + half)
