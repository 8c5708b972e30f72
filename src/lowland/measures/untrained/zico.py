"""ZiCo: how large an untrained network's gradients are compared with how they vary between batches.

Tensor names: B batches, P weights of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from lowland.measures.measure import register
from lowland.measures.shared import TRAINING_IMAGES
from lowland.measures.untrained.untrained import Untrained, UntrainedMeasure, loss_gradients

BATCHES = 2
"""The published number of batches."""


def inverse_variation(layers: Iterable[Tensor]) -> float:
    """Sum over layers how little the magnitude of gradients (B, P) varies between batches.

    The standard deviation is the population's, of the magnitudes as in the paper; the public code takes that of the
    signed gradients, which is larger where signs differ. Weights whose magnitude does not vary are left out, and so
    are layers in which none does: a network through which nothing flows has 0.

    Returns:
        Σ_layers log Σ_p mean_b|g_bp| / std_b|g_bp|.
    """
    total = 0.0
    for gradients_BP in layers:
        magnitudes_BP = gradients_BP.detach().cpu().double().abs()
        std_P = magnitudes_BP.std(dim=0, correction=0)
        varying_P = std_P > 0
        ratio = float((magnitudes_BP.mean(dim=0)[varying_P] / std_P[varying_P]).sum())
        total += math.log(ratio) if ratio > 0.0 else 0.0
    return total


@register
class Zico(UntrainedMeasure):
    """ZiCo over two batches of `measure.untrained_batch` training images, or two halves of what there is.

    Layers are convolutions and linear layers.
    """

    name = "zico"
    summary = "mean over standard deviation between batches of an untrained network's gradients, in logarithms"
    source = "ZiCo (Li et al., ICLR 2023), Section 3.3"

    needs = TRAINING_IMAGES

    def judge(self, untrained: Untrained) -> float:
        """The sum of logarithms; raises ValueError where there is one training image only."""
        x_NCHW, labels_N = untrained.images(BATCHES)
        if len(x_NCHW) < BATCHES:
            raise ValueError(f"zico compares {BATCHES} batches and needs {BATCHES} training images, got {len(x_NCHW)}")
        network = untrained.placed
        found = [
            loss_gradients(network, x, labels)
            for x, labels in zip(x_NCHW.chunk(BATCHES), labels_N.chunk(BATCHES), strict=True)
        ]
        return inverse_variation(torch.stack([g.flatten() for g in layer]) for layer in zip(*found, strict=True))
