"""Weight noise along the top eigenvectors of a candidate's loss Hessian instead of in random directions.

Array names: K noise draws, T noise levels, N images, J eigenvectors, P perturbed scalars.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from lowland.core.config import MeasureConfig
from lowland.core.seeds import numpy_rng
from lowland.measures.curvature.hessian import LossHessian
from lowland.measures.curvature.lanczos import top_eigenpairs
from lowland.measures.per_image import Array, outcome_under
from lowland.measures.perturbation import Displacement, effective_sigmas
from lowland.measures.subnet import Subnet

Scale = Literal["unit", "noise"]
"""How far σ moves the weights along a unit vector: by σ, or by σ·√P as noise moves P scalars."""


def losses_along_hessian(
    subnet: Subnet,
    sigmas: Sequence[float],
    levels: Literal["absolute", "incremental"],
    vectors: int,
    scale: Scale,
    shared: MeasureConfig,
) -> tuple[Array, dict[str, Any]]:
    """Losses along the Hessian's top eigenvectors.

    At level σ the weights move by σ·u, as PyHessian moves them, which GeNAS cites for its Table 7; with the scale
    `noise` by σ·√P·u, as far as Gaussian noise of that σ moves P scalars, which in so steep a direction leaves the
    minimum altogether. u = Σⱼ cⱼvⱼ/‖c‖ with cⱼ = |N(0, 1)| drawn for every draw and level. Each unit eigenvector vⱼ is
    taken with the sign along which the loss rises (⟨∇L, vⱼ⟩ ≥ 0), because an eigenvector has no sign of its own; where
    `measure.antithetic`, −u is evaluated too. With one eigenvector (`vectors`) u = v₁ and nothing is left to chance:
    one draw is made, whatever `measure.draws`. Eigenvectors are those of the largest eigenvalues, from
    `hessian_images` images.

    Where no parameter is perturbed, weights stay as they are.

    Returns:
        Per-image losses (K, T, N), and JSON facts about the eigenvectors.

    Raises:
        NotFiniteError: a loss or a curvature is not finite.
    """
    context = subnet.context
    parameters = subnet.perturbable(shared.position)
    hessian = LossHessian(subnet, parameters, shared.hessian_images)
    pairs = top_eigenpairs(hessian.product, hessian.vector("lanczos"), vectors)
    rising_J = (pairs.vectors_JP @ hessian.gradient()).sign()
    rising_J[rising_J == 0] = 1.0
    vectors_JP = pairs.vectors_JP * rising_J[:, None]
    count = len(vectors_JP)
    keys = () if shared.noise == "shared" else (context.space.key(subnet.genotype),)
    signs = (1.0, -1.0) if shared.antithetic else (1.0,)

    def losses_N(draw: int, level: int, sigma: float) -> Array:
        weights_J = np.abs(numpy_rng(context.seed, "hessian direction", draw, level, *keys).standard_normal(count))
        weights_J /= np.linalg.norm(weights_J) if count else 1.0
        direction = hessian.named(vectors_JP.new_tensor(weights_J) @ vectors_JP)
        length = sigma * math.sqrt(hessian.size) if scale == "noise" else sigma
        found = [
            outcome_under(
                Displacement(direction=direction, scale=sign * length), subnet.evaluate, parameters, sigma
            ).losses_N
            for sign in signs
        ]
        mean_N: Array = np.mean(found, axis=0)
        return mean_N

    effective_T = effective_sigmas(sigmas, levels)
    draws = shared.draws if count > 1 else 1
    losses_KTN = np.array(
        [[losses_N(draw, level, sigma) for level, sigma in enumerate(effective_T)] for draw in range(draws)]
    )
    return losses_KTN, {
        "direction": "hessian",
        "hessian_scale": scale,
        "eigenvalues": pairs.values_J.tolist(),
        "eigenvalue_residuals": pairs.residuals_J.tolist(),
        "hessian_products": pairs.products,
        "hessian_images": hessian.images,
        "perturbed_parameters": hessian.size,
    }
