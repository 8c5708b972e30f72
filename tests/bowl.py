"""A model whose loss is a quadratic of known curvature, and a quick look at it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lowland.measures.landscape import Flatness, flatness

MATRIX = torch.tensor([[3.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, -1.0]], dtype=torch.float64)
AT = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
QUICK: dict[str, Any] = {"draws": 1, "vectors": 2, "eigenvalues": 2}


class Bowl(nn.Module):
    """A loss of 5 + ½ wᵀAw, weighed by what is in the batch."""

    def __init__(self, at: Tensor = AT) -> None:
        super().__init__()
        self.w = nn.Parameter(at.clone())

    def forward(self, factors_N: Tensor) -> Tensor:
        return 5.0 + factors_N * (self.w @ MATRIX @ self.w) / 2


def bowl(model: nn.Module, batch: Tensor) -> Tensor:
    found: Tensor = model(batch)
    return found


ONES = [torch.ones(4, dtype=torch.float64), torch.ones(2, dtype=torch.float64)]


def look(model: nn.Module, loader: Any, **options: Any) -> Flatness:
    return flatness(model, loader, **{**QUICK, **options})
