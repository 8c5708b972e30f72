"""One-shot accuracy: top-1 accuracy of a candidate on the search split."""

from __future__ import annotations

from lowland.measures.measure import register
from lowland.measures.subnet import Estimate, Subnet, SubnetMeasure


@register
class Accuracy(SubnetMeasure):
    """Top-1 accuracy in [0, 1] with inherited weights and calibrated batch norm; standard error √(p(1 − p)/N)."""

    name = "accuracy"
    summary = "top-1 accuracy on the search split with inherited weights"
    source = "SPOS (Guo et al., ECCV 2020), Eq. 8"

    def judge(self, subnet: Subnet) -> Estimate:
        """Accuracy of the clean outcome."""
        clean = subnet.clean
        return Estimate(
            value=clean.accuracy,
            influence_N=clean.correct_N - clean.accuracy,
            details={"loss": clean.loss, "images": clean.images},
        )
