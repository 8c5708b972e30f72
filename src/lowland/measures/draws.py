"""A candidate under several draws of weight noise of one level: what its images then come out as.

Array names: K noise draws, S signs (one, or ± where antithetic), N images.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from lowland.config import MeasureConfig
from lowland.measures.candidate import Candidate
from lowland.measures.per_image import Array, Outcome, outcome_under
from lowland.measures.perturbation import Noise
from lowland.spaces.space import Single


def outcomes_under_noise(
    candidate: Candidate,
    config: MeasureConfig,
    sigma: float,
    draws: int,
    *,
    kind: type[Noise] = Noise,
    relative: bool = False,
    few: bool = False,
) -> list[list[Outcome]]:
    """The outcome of every draw (K) and sign (S); common random numbers where `measure.noise` is shared.

    Args:
        candidate: What is perturbed, at `measure.position`.
        config: Settings of the noise; its own levels and draws do not count.
        sigma: The level σ.
        draws: Number of independent draws K.
        kind: How weights are perturbed.
        relative: Scale the noise by each weight.
        few: On the first `measure.noise_images` of the scored images only, where there are more.

    Raises:
        ValueError: a loss is not finite.
    """
    shared = config.noise == "shared"
    signs: tuple[Literal[1, -1], ...] = (1, -1) if config.antithetic else (1,)
    parameters = candidate.perturbable(config.position)
    scored = candidate.noise_scored(config) if few else candidate.context.scored

    def outcome(draw: int, sign: Literal[1, -1]) -> Outcome:
        noise = kind(
            seed=candidate.context.seed,
            draw=draw,
            coefficients={0: sigma},
            keys=() if shared else (candidate.context.space.key(candidate.genotype),),
            sign=sign,
            relative=relative,
            # The weights of an extracted network are this candidate's alone.
            remember=shared and not isinstance(candidate.supernet, Single),
        )
        return outcome_under(noise, lambda: candidate.evaluate(scored), parameters, sigma)

    return [[outcome(draw, sign) for sign in signs] for draw in range(draws)]


def losses_under_noise(
    candidate: Candidate,
    config: MeasureConfig,
    sigma: float,
    *,
    kind: type[Noise] = Noise,
    relative: bool = False,
) -> Array:
    """Per-image losses (K, N) of `measure.draws` draws, averaged over ± where antithetic; else as above."""
    found = outcomes_under_noise(candidate, config, sigma, config.draws, kind=kind, relative=relative)
    return np.array([np.mean([outcome.losses_N for outcome in signed], axis=0) for signed in found])
