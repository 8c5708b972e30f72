"""A candidate under several draws of weight noise of one level: what its images then come out as, and their mean.

Array names: K noise draws, S signs (one, or ± where antithetic), N images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from lowland.core.config import MeasureConfig
from lowland.measures.measure import Batches
from lowland.measures.per_image import Array, ImageResults, outcome_under, sampling_error
from lowland.measures.perturbation import Noise
from lowland.measures.subnet import Estimate, Subnet
from lowland.spaces.single import Single


def outcomes_under_noise(
    subnet: Subnet,
    shared: MeasureConfig,
    sigma: float,
    draws: int,
    *,
    kind: type[Noise] = Noise,
    relative: bool = False,
    scored: Batches | None = None,
) -> list[list[ImageResults]]:
    """Evaluate under every draw and sign; common random numbers where `measure.noise` is shared.

    Args:
        subnet: What is perturbed, at `measure.position`.
        shared: Settings of the noise; its `draws` do not count.
        sigma: The level σ.
        draws: Number of independent draws K.
        kind: How weights are perturbed.
        relative: Scale the noise by each weight.
        scored: The images; None: all that are scored.

    Returns:
        Results by draw (K) and sign (S).

    Raises:
        NotFiniteError: a loss is not finite.
    """
    common = shared.noise == "shared"
    signs: tuple[Literal[1, -1], ...] = (1, -1) if shared.antithetic else (1,)
    parameters = subnet.perturbable(shared.position)

    def outcome(draw: int, sign: Literal[1, -1]) -> ImageResults:
        noise = kind(
            seed=subnet.context.seed,
            draw=draw,
            coefficients={0: sigma},
            keys=() if common else (subnet.context.space.key(subnet.genotype),),
            sign=sign,
            relative=relative,
            # The weights of an extracted network are this candidate's alone.
            remember=common and not isinstance(subnet.supernet, Single),
        )
        return outcome_under(noise, lambda: subnet.evaluate(scored), parameters, sigma)

    return [[outcome(draw, sign) for sign in signs] for draw in range(draws)]


def mean_over_draws(values_KN: Array, details: Mapping[str, Any]) -> Estimate:
    """Average what every image gives under every draw, such as its loss or whether it is classified correctly.

    Its standard error is √(images² + noise²): over images of the mean over draws, Σₙ(v̄ₙ − v̄)²/N², and over draws,
    s²/K of their means. The noise is not estimable from one draw. Draws and images are crossed; the sum counts their
    interaction twice, so it errs on the side of caution.

    Args:
        values_KN: One value of each image under each draw; greater is better.
        details: JSON facts to keep beside standard errors and sample sizes.

    Returns:
        The mean with its standard errors.
    """
    draws, images = values_KN.shape
    value = float(values_KN.mean())
    influence_N: Array = values_KN.mean(axis=0) - value
    variance = float(values_KN.mean(axis=1).var(ddof=1)) / draws if draws > 1 else None
    return Estimate(
        value=value,
        influence_N=influence_N,
        noise_variance=variance or 0.0,
        details={
            **details,
            "standard_error_images": sampling_error(influence_N),
            "standard_error_noise": None if variance is None else math.sqrt(variance),
            "draws": draws,
            "images": images,
        },
    )


def losses_by_draw(
    subnet: Subnet,
    shared: MeasureConfig,
    sigma: float,
    *,
    kind: type[Noise] = Noise,
    relative: bool = False,
) -> Array:
    """Per-image losses (K, N) of `measure.draws` draws, averaged over ± where antithetic; else as above."""
    found = outcomes_under_noise(subnet, shared, sigma, shared.draws, kind=kind, relative=relative)
    return np.array([np.mean([outcome.losses_N for outcome in signed], axis=0) for signed in found])
