"""Early stopping by curvature: the dominant eigenvalue of ∇²α L_val (R-DARTS, arXiv 1909.09656, §5.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

EVERY = 2
"""Epochs between two readings."""

WINDOW = 5
"""Readings in a centred mean."""

LAG = 4
"""A mean is compared with that so many readings before."""

FACTOR = 1.3
"""Growth above which the search stops."""

EARLIEST = 10
"""First epoch whose genotype may be returned."""


def dominant_eigenvalue(
    gradients: Callable[[], Sequence[Tensor]], parameters: Sequence[Tensor], epsilon: float = 1e-2
) -> float:
    """The largest eigenvalue of a Hessian, row by row by central differences of the gradient.

    Args:
        gradients: ∇L at the parameters of the moment.
        parameters: Few; afterwards what they were, bit for bit.
        epsilon: Length of the differences.

    Returns:
        λ_max of the symmetric part.
    """
    rows = []
    for parameter in parameters:
        flat = parameter.detach().view(-1)
        for place in range(flat.numel()):
            kept = flat[place].clone()
            found = []
            for sign in (1.0, -1.0):
                flat[place] = kept + sign * epsilon
                found.append(torch.cat([g.detach().reshape(-1) for g in gradients()]))
            flat[place] = kept
            rows.append((found[0] - found[1]) / (2 * epsilon))
    hessian = torch.stack(rows).double()
    return float(torch.linalg.eigvalsh((hessian + hessian.T) / 2)[-1])


def stopped_at(readings: Sequence[float]) -> int | None:
    """Whether the newest reading ends a search.

    With m_t the mean of readings t − 2 … t + 2, known two readings later: the search ends where m_t > 1.3·m_{t−4}, and
    returns the genotype of the epoch of reading t − 4, which is then 12 epochs old, where that epoch is at least 10.

    Args:
        readings: Eigenvalues, one every `EVERY` epochs, the first of epoch 0.

    Returns:
        The epoch whose genotype is returned; None: the search goes on.
    """
    half = WINDOW // 2
    middle = len(readings) - 1 - half
    before = middle - LAG
    if before - half < 0 or before * EVERY < EARLIEST:
        return None
    now, then = (sum(readings[t - half : t + half + 1]) / WINDOW for t in (middle, before))
    return before * EVERY if now > FACTOR * then else None
