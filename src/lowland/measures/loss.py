"""One-shot loss: negative mean cross-entropy of a candidate on the search split."""

from __future__ import annotations

from lowland.measures.measure import register
from lowland.measures.subnet import Estimate, Subnet, SubnetMeasure


@register
class Loss(SubnetMeasure):
    """−L with L the mean cross-entropy in nats, inherited weights and calibrated batch norm."""

    name = "loss"
    summary = "negative cross-entropy (nats) on the search split with inherited weights"
    source = "one-shot search with the validation loss in place of the accuracy (SPOS, Guo et al., ECCV 2020)"

    def judge(self, subnet: Subnet) -> Estimate:
        """Negative mean loss of the clean outcome."""
        clean = subnet.clean
        return Estimate(
            value=-clean.loss,
            influence_N=clean.loss - clean.losses_N,
            details={"accuracy": clean.accuracy, "images": clean.images},
        )
