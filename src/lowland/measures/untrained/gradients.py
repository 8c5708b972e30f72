"""Gradients of an untrained network on one batch of training images: gradient norm and SNIP."""

from __future__ import annotations

import math

from lowland.measures.measure import register
from lowland.measures.shared import TRAINING_IMAGES
from lowland.measures.untrained.untrained import Untrained, UntrainedMeasure, loss_gradients, weights


@register
class GradientNorm(UntrainedMeasure):
    """Σ_layers ‖∂L/∂w‖₂ with L the mean cross-entropy of one batch; layers are convolutions and linear layers.

    It is 0 where no image reaches a weight.
    """

    name = "grad_norm"
    summary = "norm of the loss gradient of an untrained network, summed over layers"
    source = "Abdelfattah et al., ICLR 2021, Section 3.2"

    needs = TRAINING_IMAGES

    def judge(self, untrained: Untrained) -> float:
        """The sum of norms, in nats per unit of weight."""
        network = untrained.placed
        return math.fsum(float(g.norm()) for g in loss_gradients(network, *untrained.images()))


@register
class Snip(UntrainedMeasure):
    """Σ |w · ∂L/∂w| with L the mean cross-entropy of one batch: what pruning each weight by itself would change."""

    name = "snip"
    summary = "how much the loss of an untrained network depends on each of its weights, summed"
    source = "SNIP (Lee et al., ICLR 2019), Section 4.1; as a measure: Abdelfattah et al., ICLR 2021"

    needs = TRAINING_IMAGES

    def judge(self, untrained: Untrained) -> float:
        """The sum, in nats."""
        network = untrained.placed
        found = loss_gradients(network, *untrained.images())
        return math.fsum(float((w.detach() * g).abs().sum()) for w, g in zip(weights(network), found, strict=True))
