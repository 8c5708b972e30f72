"""Two-dimensional slices of the loss surface: along random, filter-normalised directions, or Hessian eigenvectors.

Array names: P scalars, X by Y points of a grid, B pieces (batches).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from lowland.core.errors import ConfigError
from lowland.measures.curvature.operator import Hessian
from lowland.measures.surface.sharpness import mean_and_error

Plane = Literal["random", "hessian"]
SPANS: dict[Plane, float] = {"random": 1.0, "hessian": 0.5}
"""How far a slice reaches on either side where nothing else is asked for: Li et al. draw [−1, 1] of filter norms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """The mean loss on a grid in a plane through the weights: L(w + x·d₁ + y·d₂).

    Attributes:
        plane: random: filter-normalised directions; hessian: unit eigenvectors of the two largest eigenvalues.
        coordinates: x and y of the grid alike, from −span to span; in filter norms, or in the unit of the weights.
        losses: Loss by row (y) and column (x), None where it is not finite.
        errors: Standard errors over batches of the rise above the centre; None where there is one batch, or the loss is
            not finite.
        eigenvalues: Of the two directions of the plane hessian; empty for random ones.
        images: Number of images.
        not_finite: Number of points where the loss is not finite.
    """

    plane: Plane
    coordinates: tuple[float, ...]
    losses: tuple[tuple[float | None, ...], ...]
    errors: tuple[tuple[float | None, ...], ...]
    eigenvalues: tuple[float, ...]
    images: int
    not_finite: int

    @property
    def centre(self) -> float | None:
        """The loss at the weights themselves."""
        middle = len(self.coordinates) // 2
        return self.losses[middle][middle]


def filter_normalised(hessian: Hessian, *keys: object) -> Tensor:
    """A random direction with ‖d_f‖ = ‖w_f‖ for every filter f (Li et al., NeurIPS 2018, Section 4).

    A filter is a slice of the first dimension of a weight of two dimensions or more. Vectors, which are biases and the
    scale and shift of batch norm, stay as they are (0 in the direction), as in the paper.

    Returns:
        The direction (P).
    """
    parts = []
    for name, d in hessian.named(hessian.vector(*keys)).items():
        if d.ndim < 2:
            parts.append(torch.zeros_like(d).flatten())
            continue
        weight, dims = hessian.parameters[name].detach(), tuple(range(1, d.ndim))
        norm = torch.linalg.vector_norm(d, dim=dims, keepdim=True).clamp_min(torch.finfo(d.dtype).tiny)
        parts.append((d * (torch.linalg.vector_norm(weight, dim=dims, keepdim=True) / norm)).flatten())
    return torch.cat(parts)


def surface_slice(
    hessian: Hessian,
    plane: Plane,
    directions: tuple[Tensor, Tensor],
    *,
    span: float | None = None,
    points: int = 15,
    eigenvalues: tuple[float, ...] = (),
) -> Slice:
    """Evaluate the loss on a square grid around the weights.

    Args:
        hessian: The loss, of a candidate or of any model.
        plane: What the directions are.
        directions: d₁ and d₂ (P).
        span: Reach s on either side: coordinates run from −s to s; None: that of `SPANS`.
        points: Points in each direction, odd, so that the weights themselves are one, and at least 3.
        eigenvalues: Of the directions, where they are eigenvectors.

    Returns:
        The slice.

    Raises:
        ConfigError: the grid is none.
    """
    require(plane, span, points)
    reach = SPANS[plane] if span is None else span
    coordinates = np.linspace(-reach, reach, points)
    coordinates[points // 2] = 0.0
    first_P, second_P = directions
    clean_B, sizes_B = hessian.losses()
    losses: list[tuple[float | None, ...]] = []
    errors: list[tuple[float | None, ...]] = []
    for y in coordinates:
        row: list[tuple[float | None, float | None]] = []
        for x in coordinates:
            with hessian.displaced(first_P * float(x) + second_P * float(y)):
                losses_B, _ = hessian.losses()
            with np.errstate(invalid="ignore"):
                rise, error = mean_and_error(losses_B - clean_B, sizes_B)
            finite = math.isfinite(rise)
            row.append((mean_and_error(losses_B, sizes_B)[0], error) if finite else (None, None))
        losses.append(tuple(loss for loss, _ in row))
        errors.append(tuple(error for _, error in row))
    return Slice(
        plane=plane,
        coordinates=tuple(coordinates.tolist()),
        losses=tuple(losses),
        errors=tuple(errors),
        eigenvalues=eigenvalues,
        images=hessian.images,
        not_finite=sum(loss is None for row_losses in losses for loss in row_losses),
    )


def require(plane: str, span: float | None, points: int) -> None:
    """Raise ConfigError where a slice cannot be what it is asked to be."""
    if plane not in get_args(Plane):
        raise ConfigError(f"slice {plane!r} is unknown; choose {' or '.join(get_args(Plane))}")
    if span is not None and not (math.isfinite(span) and span > 0.0):
        raise ConfigError(f"the span of a slice must be a positive number, got {span!r}")
    if points < 3 or points % 2 == 0:
        raise ConfigError(f"a slice needs an odd number of points, at least 3, so that one is the model; got {points}")
