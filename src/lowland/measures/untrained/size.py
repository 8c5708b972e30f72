"""Size of the untrained network, the baseline that every other untrained measure has to beat."""

from __future__ import annotations

from lowland.measures.measure import register
from lowland.measures.untrained.untrained import Untrained, UntrainedMeasure
from lowland.spaces.values import Cost


def _cost(untrained: Untrained) -> Cost:
    return untrained.context.space.cost(untrained.genotype, untrained.shape)


@register
class Parameters(UntrainedMeasure):
    """Number of trainable scalars, operations that cannot influence the output included, as published."""

    name = "parameters"
    summary = "number of parameters of the network (more is better)"
    source = "NAS-Bench-Suite-Zero (Krishnakumar et al., NeurIPS 2022), baseline `params`"

    def judge(self, untrained: Untrained) -> float:
        """The count."""
        return float(_cost(untrained).parameters)


@register
class Macs(UntrainedMeasure):
    """Number of multiply-accumulates for one image."""

    name = "macs"
    summary = "multiply-accumulates of the network for one image (more is better)"
    source = "NAS-Bench-Suite-Zero (Krishnakumar et al., NeurIPS 2022), baseline `flops`"

    def judge(self, untrained: Untrained) -> float:
        """The count."""
        return float(_cost(untrained).macs)
