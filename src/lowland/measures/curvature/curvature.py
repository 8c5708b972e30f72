"""The curvature of a loss at given weights in a few figures: trace, largest eigenvalues, spectral density.

Array names: P scalars, K random vectors, G groups of images, J eigenvalues.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from lowland.core.errors import ConfigError
from lowland.measures.curvature.density import SpectralDensity, spectral_density
from lowland.measures.curvature.hessian_trace import GROUPS, estimate_trace
from lowland.measures.curvature.lanczos import Eigenpairs, top_eigenpairs
from lowland.measures.curvature.operator import Hessian


@dataclass(frozen=True, kw_only=True, slots=True)
class Eigenvalue:
    """One of the largest eigenvalues.

    Attributes:
        value: λ, loss per squared unit of weight.
        residual: ‖Hv − λv‖: an eigenvalue of the Hessian of these images lies within this distance.
        standard_error: Over images, from vᵀ H_g v of groups of them, to first order; None where there is one group.
    """

    value: float
    residual: float
    standard_error: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Curvature:
    """The Hessian of a mean loss by P weights, in a few figures.

    Attributes:
        trace: tr H (Hutchinson), the sum of all eigenvalues.
        trace_se: Its standard error, over random vectors and over images.
        trace_vectors_se: The part over random vectors; None for one vector.
        trace_images_se: The part over images; None where there is one group.
        eigenvalues: The largest, in falling order (Lanczos).
        density: Spectral density (stochastic Lanczos quadrature); None where it was not asked for.
        parameters: P.
        images: Images that the loss is the mean of.
        vectors: Random vectors K of trace and density.
        products: Products with the Hessian that eigenvectors took.
    """

    trace: float
    trace_se: float | None
    trace_vectors_se: float | None
    trace_images_se: float | None
    eigenvalues: tuple[Eigenvalue, ...]
    density: SpectralDensity | None
    parameters: int
    images: int
    vectors: int
    products: int


def curvature(
    hessian: Hessian, *, eigenvalues: int = 3, vectors: int = 8, steps: int = 30
) -> tuple[Curvature, Eigenpairs]:
    """Look at a Hessian: that of a candidate (`LossHessian`) or of any model (`surface.objective`).

    Trace: the mean of vᵀHv over `vectors` random vectors of ±1 (Hutchinson, 1990). Largest eigenvalues: Lanczos.
    Spectral density: stochastic Lanczos quadrature from the same random vectors. Cost: about 1 + `steps` products for
    each vector, and at most 60 for the eigenvalues; memory: `steps` or 60 vectors of P.

    Args:
        hessian: The operator.
        eigenvalues: How many of the largest, at least 1.
        vectors: Random vectors, at least 1.
        steps: Nodes of the density for each vector; 0: no density.

    Returns:
        The figures, and the eigenvectors of the largest eigenvalues.

    Raises:
        ConfigError: an argument is out of range, or the loss cannot be differentiated twice.
        NotFiniteError: a curvature is not finite.
    """
    for name, value, least in (("eigenvalues", eigenvalues, 1), ("vectors", vectors, 1), ("steps", steps, 0)):
        if value < least:
            raise ConfigError(f"{name} of the curvature must be at least {least}, got {value}")
    starts = [hessian.signs("trace", draw) for draw in range(vectors)]
    found = estimate_trace(*hessian.quadratic_forms(torch.stack(starts), GROUPS))
    parts = [error for error in (found.noise_se, found.images_se) if error is not None]
    pairs = top_eigenpairs(hessian.product, hessian.vector("lanczos"), eigenvalues)
    forms_GJ, sizes_G = hessian.quadratic_forms(pairs.vectors_JP, GROUPS)
    products = [hessian.product(v_P) for v_P in pairs.vectors_JP]
    # By one more product each: what Lanczos' recurrence says of it goes on falling below what rounding allows.
    residuals = [
        float((product_P - value * v_P).norm())
        for product_P, value, v_P in zip(products, pairs.values_J, pairs.vectors_JP, strict=True)
    ]
    errors = [estimate_trace(forms_GJ[:, [place]], sizes_G).images_se for place in range(len(pairs.values_J))]
    density = spectral_density(hessian.product, starts, steps) if steps else None
    return Curvature(
        trace=found.value,
        trace_se=math.hypot(*parts) if parts else None,
        trace_vectors_se=found.noise_se,
        trace_images_se=found.images_se,
        eigenvalues=tuple(
            Eigenvalue(value=float(value), residual=residual, standard_error=error)
            for value, residual, error in zip(pairs.values_J, residuals, errors, strict=True)
        ),
        density=density,
        parameters=hessian.size,
        images=hessian.images,
        vectors=vectors,
        products=pairs.products + len(products),
    ), pairs
