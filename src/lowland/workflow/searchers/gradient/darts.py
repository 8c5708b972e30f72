"""DARTS: the softmax mixture, learnt on two levels."""

from __future__ import annotations

from lowland.workflow.searchers.gradient.family import GradientSearcher
from lowland.workflow.searchers.searcher import register


@register
class Darts(GradientSearcher):
    """First or second order (`order`); the two strongest edges of each node are kept."""

    name = "darts"
    summary = "softmax over all operations of an edge, learnt from validation images beside the weights"
    source = "Liu et al., DARTS, ICLR 2019 (arXiv 1806.09055)"
