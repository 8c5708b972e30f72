"""The spectral density of a symmetric operator by stochastic Lanczos quadrature.

Array names: P dimensions, K random vectors, M nodes, X points of a grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from lowland.measures.curvature.lanczos import Product, lanczos
from lowland.measures.per_image import Array

POINTS = 201
"""Points of the grid on which a density is drawn."""

WIDTH = 0.01
"""Standard deviation of the Gaussian that stands for a node, as a share of the spectrum's width."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpectralDensity:
    """How the eigenvalues of an operator (P, P) are spread: their share per unit of λ.

    A random vector vₖ of ±1 gives a quadrature with nodes λ and weights τ (Στ = 1) that is exact for vₖᵀ f(H) vₖ/P
    where f is a polynomial of degree below twice the number of nodes; the mean over vectors estimates tr f(H)/P.

    Attributes:
        nodes: λ by vector, rising.
        weights: τ by vector; each adds up to 1.
        width: Standard deviation of the Gaussians that stand for the nodes, in units of λ.
        grid: λ of the points.
        values: Mean over vectors of Σ τ N(λ; node, width²) at these points; they integrate to 1.
        errors: Their standard errors over vectors; None for one vector.
    """

    nodes: tuple[tuple[float, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    width: float
    grid: tuple[float, ...]
    values: tuple[float, ...]
    errors: tuple[float, ...] | None

    def moment(self, power: int) -> tuple[float, float | None]:
        """Estimate tr Hᵖ/P, the mean over eigenvalues of λᵖ, and its standard error over vectors (None for one)."""
        each_K = np.array([np.dot(w, np.power(n, power)) for n, w in zip(self.nodes, self.weights, strict=True)])
        return float(each_K.mean()), _error(each_K)

    @property
    def smallest(self) -> float:
        """The smallest node, at or above the smallest eigenvalue: far below 0, the weights lie at no minimum."""
        return min(map(min, self.nodes))


def spectral_density(product: Product, starts: Sequence[Tensor], steps: int) -> SpectralDensity:
    """Estimate the density by stochastic Lanczos quadrature (Golub and Meurant; Ghorbani et al., ICML 2019).

    Lanczos' method from every random vector gives its nodes, the Ritz values, and their weights, the squares of the
    first coordinates of the Ritz vectors. For the picture every node is a Gaussian with a standard deviation of `WIDTH`
    times the width of the spectrum.

    Args:
        product: v (P) → H v (P).
        starts: Independent random vectors (P) of ±1, at least one.
        steps: Nodes for each vector at most; fewer where the operator leads to no more.

    Returns:
        The density with its nodes.

    Raises:
        NotFiniteError: a product is not finite.
    """
    nodes, weights = [], []
    for start_P in starts:
        *_, step = lanczos(product, start_P, steps)
        nodes.append(tuple(step.values_M.tolist()))
        weights.append(tuple((step.coordinates_MM[0] ** 2).tolist()))
    low, high = min(map(min, nodes)), max(map(max, nodes))
    spread = high - low or abs(high) or 1.0
    width = WIDTH * spread
    grid_X = np.linspace(low - 4 * width, high + 4 * width, POINTS)
    curves_KX = np.array([_smooth(grid_X, n, w, width) for n, w in zip(nodes, weights, strict=True)])
    errors_X = curves_KX.std(axis=0, ddof=1) / math.sqrt(len(nodes)) if len(nodes) > 1 else None
    return SpectralDensity(
        nodes=tuple(nodes),
        weights=tuple(weights),
        width=width,
        grid=tuple(grid_X.tolist()),
        values=tuple(curves_KX.mean(axis=0).tolist()),
        errors=None if errors_X is None else tuple(errors_X.tolist()),
    )


def _smooth(grid_X: Array, nodes: Sequence[float], weights: Sequence[float], width: float) -> Array:
    z_XM = (grid_X[:, None] - np.array(nodes)) / width
    found: Array = np.exp(-(z_XM**2) / 2) @ np.array(weights) / (width * math.sqrt(2 * math.pi))
    return found


def _error(values_K: Array) -> float | None:
    return float(values_K.std(ddof=1)) / math.sqrt(len(values_K)) if len(values_K) > 1 else None
