"""P-DARTS (arXiv 1904.12760): fewer operations as the supernet deepens, and fewer skips in the end.

Tensor names: K kinds of cells, E edges, O operations.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lowland.search.gradient.architecture import genes, skips
from lowland.spaces.relaxed import Relaxation


def best(weights_KEO: Tensor, live_KEO: Tensor, count: int) -> Tensor:
    """The `count` heaviest live operations of each edge (K, E, O); all where there are no more."""
    ordered_KEO = weights_KEO.masked_fill(~live_KEO, -1.0).argsort(dim=-1, descending=True, stable=True)
    kept_KEO = torch.zeros_like(live_KEO)
    return kept_KEO.scatter(-1, ordered_KEO[..., :count], True) & live_KEO


def skip_dropout(rate: float, epoch: int, epochs: int, frozen: int) -> float:
    """Dropout behind skips (public code).

    rate·(n − 1 − e)/n in epoch e of n while α is frozen, then rate·exp(−.2·(e − frozen)).

    Returns:
        A probability.
    """
    if epoch < frozen:
        return rate * (epochs - 1 - epoch) / epochs
    return rate * math.exp(-0.2 * (epoch - frozen))


def restricted(relaxation: Relaxation, weights_KEO: Tensor, most: int) -> tuple[int, ...]:
    """The genotype with at most so many skips in the first kind of cell (the normal one).

    `none` is no choice any more. While there are too many skips, the lightest of those chosen is given up and the
    genotype read again.

    Returns:
        The operation of each edge, one kind of cell after another.
    """
    weights_KEO = weights_KEO.detach().float().cpu().clone()
    weights_KEO[..., 0] = -1.0
    found = genes(relaxation, weights_KEO, -1.0)
    while skips(relaxation, found)[relaxation.kinds[0]] > most:
        chosen = [edge for edge in range(relaxation.edges) if found[edge] == relaxation.skip]
        weakest = min(chosen, key=lambda edge: float(weights_KEO[0, edge, relaxation.skip]))
        # Below 0, which operations have that are no choice any more: where nothing else is left one of them is taken.
        weights_KEO[0, weakest, relaxation.skip] = -1.0
        found = genes(relaxation, weights_KEO, -1.0)
    return found
