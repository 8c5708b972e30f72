"""Lanczos' method: extreme eigenvalues of a symmetric operator, and a quadrature of its whole spectrum.

Array names: P dimensions, M vectors of the basis, J eigenvectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lowland.core.errors import NotFiniteError
from lowland.measures.per_image import Array

LANCZOS_STEPS = 60
LANCZOS_TOLERANCE = 1e-4
"""Lanczos stops at so many products, or where all residuals ‖Hv − λv‖ are below this share of the largest |λ|."""

Product = Callable[[Tensor], Tensor]
"""v (P) → H v (P)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Where Lanczos' method stands after some products.

    Attributes:
        values_M: Ritz values, rising, float64.
        coordinates_MM: Ritz vectors by column, in coordinates of the basis.
        basis_MP: The orthonormal basis, whose first vector is the start.
        beside: Length of what the next basis vector would be: 0 where the operator does not lead out of the basis.
        closed: Whether it is that, up to rounding.
    """

    values_M: Array
    coordinates_MM: Array
    basis_MP: Tensor
    beside: float
    closed: bool


def lanczos(product: Product, start_P: Tensor, steps: int) -> Iterator[Step]:
    """Lanczos' method from `start_P` (any length but 0), one step per product, until `steps` or the basis is closed.

    Every new basis vector is orthogonalised twice against all others, so that no eigenvalue appears as a ghost of
    another. Memory: one vector (P) per step.

    Args:
        product: The operator.
        start_P: Where to start.
        steps: Most products, at most P of them.

    Yields:
        Every step.

    Raises:
        NotFiniteError: a product is not finite.
    """
    size = len(start_P)
    steps = min(steps, size)
    basis_MP = start_P.new_empty(steps, size)
    basis_MP[0] = start_P / start_P.norm()
    tridiagonal_MM = np.zeros((steps, steps))
    for last in range(steps):
        w_P = product(basis_MP[last])
        tridiagonal_MM[last, last] = float(basis_MP[last] @ w_P)
        if not np.isfinite(tridiagonal_MM[last, last]):
            raise NotFiniteError("curvature of the loss is not finite")
        found_MP = basis_MP[: last + 1]
        for _ in range(2):
            w_P = w_P - found_MP.T @ (found_MP @ w_P)
        beside = float(w_P.norm())
        values_M, coordinates_MM = np.linalg.eigh(tridiagonal_MM[: last + 1, : last + 1])
        # The basis is closed where the operator does not lead out of it: then nothing is left to look at.
        closed = beside <= torch.finfo(w_P.dtype).eps * float(np.abs(values_M).max())
        yield Step(values_M=values_M, coordinates_MM=coordinates_MM, basis_MP=found_MP, beside=beside, closed=closed)
        if closed or last + 1 == steps:
            return
        basis_MP[last + 1] = w_P / beside
        tridiagonal_MM[last, last + 1] = tridiagonal_MM[last + 1, last] = beside


@dataclass(frozen=True, kw_only=True, slots=True)
class Eigenpairs:
    """Largest eigenvalues of a symmetric operator, in falling order, and their eigenvectors.

    Attributes:
        values_J: Ritz values λ, float64.
        vectors_JP: Orthonormal Ritz vectors v.
        residuals_J: ‖Hv − λv‖, which bounds the distance of λ to an eigenvalue; float64.
        products: Products with the operator that it took.
    """

    values_J: Array
    vectors_JP: Tensor
    residuals_J: Array
    products: int


def top_eigenpairs(
    product: Product,
    start_P: Tensor,
    count: int,
    *,
    tolerance: float = LANCZOS_TOLERANCE,
    steps: int = LANCZOS_STEPS,
) -> Eigenpairs:
    """The `count` algebraically largest eigenvalues of a symmetric operator, by Lanczos' method.

    Of an eigenvalue with several eigenvectors one is found. Memory: one vector (P) per step.

    Args:
        product: v (P) → H v (P).
        start_P: Where to start, not orthogonal to the eigenvectors sought; any length but 0.
        count: How many J; fewer are found where the operator has fewer dimensions, or does not lead from `start_P` to
            more of them.
        tolerance: Stop where all J residuals are at most this share of the largest |λ| in the basis.
        steps: Most products; at least `count` + 1.

    Returns:
        The pairs found, at most J, with their residuals.

    Raises:
        NotFiniteError: a product is not finite.
    """
    size = len(start_P)
    count = min(count, size)
    if count == 0:
        return Eigenpairs(
            values_J=np.zeros(0), vectors_JP=start_P.new_zeros(0, size), residuals_J=np.zeros(0), products=0
        )
    for step in lanczos(product, start_P, max(steps, count + 1)):
        top = np.argsort(step.values_M)[::-1][:count]
        residuals_J: Array = step.beside * np.abs(step.coordinates_MM[-1, top])
        if len(top) == count and bool((residuals_J <= tolerance * float(np.abs(step.values_M).max())).all()):
            break
    vectors_JP = torch.from_numpy(step.coordinates_MM[:, top].T.copy()).to(step.basis_MP) @ step.basis_MP
    return Eigenpairs(
        values_J=step.values_M[top], vectors_JP=vectors_JP, residuals_J=residuals_J, products=len(step.basis_MP)
    )
