"""FlatNAS's figure of merit: the error and the robustness to weight noise, weighed against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from weakref import WeakKeyDictionary

import numpy as np
from pydantic import Field

from lowland.core.config import MeasureConfig
from lowland.core.errors import ConfigError, NotFiniteError
from lowland.core.seeds import numpy_rng
from lowland.core.settings import Probability, Rate, Section
from lowland.measures.measure import Context, register
from lowland.measures.noise.robustness import Robustness, RobustnessEstimate, robustness_details, robustness_of
from lowland.measures.shared import CALIBRATED, NOISE
from lowland.measures.subnet import Estimate, Subnet, SubnetMeasure, calibrated_subnet
from lowland.spaces.single import Single
from lowland.spaces.space import Supernet

SCALE_GENOTYPES = 16
"""Random genotypes whose mean error and mean R set k where `measure.options.flatnas.k` is not given."""


def figure_of_merit(err: float, R: float, alpha: float, k: float) -> float:
    """The figure of merit of FlatNAS.

    Args:
        err: 100 − top-1 accuracy, percentage points.
        R: Robustness R(x, σ), percentage points.
        alpha: Weight of the error, in [0, 1].
        k: Scale that brings R to the size of the error.

    Returns:
        F_α = α·err + k·(1 − α)·R in percentage points, to be minimised.
    """
    return alpha * err + k * (1.0 - alpha) * R


def scale(errs: Sequence[float], Rs: Sequence[float]) -> float:
    """Scale of R over a set of networks with which error and robustness weigh alike at α = 0.5.

    Returns:
        k = mean(err)/mean(R).

    Raises:
        ConfigError: k would not be a positive number, because there is no network, no error, or no change under noise.
    """
    if not errs or len(errs) != len(Rs):
        raise ConfigError(f"k of flatnas needs one error and one R of each network, got {len(errs)} and {len(Rs)}")
    error, robustness = float(np.mean(errs)), float(np.mean(Rs))
    if not (0.0 < error < np.inf and 0.0 < robustness < np.inf):
        raise ConfigError(
            f"k of flatnas cannot be taken from {len(errs)} networks with mean error {error:g} % and mean R "
            f"{robustness:g} points; raise measure.options.robustness.sigma or set measure.options.flatnas.k"
        )
    return error / robustness


@dataclass(frozen=True, slots=True)
class _Scale:
    """k, how many genotypes it was taken from, and what it holds for: context and state of the supernet's weights."""

    k: float
    genotypes: int
    context: Context
    versions: tuple[int, ...]


@register
class FlatNas(SubnetMeasure):
    """−F_α = −(α·err + k·(1 − α)·R), in percentage points; err and R on the same held-out images, never on test data.

    Noise is that of `robustness`, with its settings. Without a setting `k`, k is `scale` of 16 uniform random genotypes
    of the space with inherited weights, drawn from the run seed and judged once per supernet and context when the first
    candidate is. So it is the same for every candidate, and again after a resume: scores of different k are never
    compared. Genotypes whose loss under noise is not finite are left out. The standard error takes k as given; err and
    R share their images, so that their covariance counts.
    """

    name = "flatnas"
    summary = "error plus scaled loss of accuracy under relative weight noise (percentage points, negative)"
    source = "FlatNAS (Gambella et al., 2024, arXiv 2402.19102), figure of merit F_α"

    needs = (*CALIBRATED, *NOISE)
    uses = ("robustness",)

    class Config(Section):
        """Settings of the figure of merit; σ and M are those of `robustness`."""

        alpha: Probability = Field(0.5, description="weight of the error, F_α = α·err + k·(1−α)·R")
        k: Rate | None = Field(None, description="scale of R; default: mean(err)/mean(R) of 16 random genotypes")

    options: Config

    def __init__(self, config: MeasureConfig) -> None:
        super().__init__(config)
        self._noise = cast(Robustness.Config, self.used["robustness"])
        self._scales: WeakKeyDictionary[Supernet, _Scale] = WeakKeyDictionary()

    def judge(self, subnet: Subnet) -> Estimate:
        """Judge a candidate by F_α.

        Returns:
            −F_α, percentage points.

        Raises:
            ConfigError: k is not given and cannot be taken from random genotypes.
            NotFiniteError: a loss is not finite.
        """
        alpha = self.options.alpha
        k, genotypes = self.options.k, 0
        if k is None:
            k, genotypes = self._scale(subnet.origin, subnet.context)
        found = self._robustness(subnet)
        weight = k * (1.0 - alpha)
        return Estimate(
            value=-figure_of_merit(found.error, found.value, alpha, k),
            influence_N=-(alpha * found.error_influence_N + weight * found.influence_N),
            noise_variance=weight**2 * found.noise_variance,
            details={
                "alpha": alpha,
                "k": k,
                "k_genotypes": genotypes,
                **robustness_details(found, self._noise.sigma, self._noise.draws),
            },
        )

    def _robustness(self, subnet: Subnet) -> RobustnessEstimate:
        return robustness_of(subnet, self._noise.sigma, self._noise.draws, self.shared)

    def _scale(self, supernet: Supernet, context: Context) -> tuple[float, int]:
        """Scale k and the number of genotypes behind it, remembered while supernet and context are the same."""
        versions = tuple(parameter._version for parameter in supernet.parameters())
        known = self._scales.get(supernet)
        if known is None or known.context is not context or known.versions != versions:
            known = self._scales[supernet] = _Scale(*self._measured(supernet, context), context, versions)
        return known.k, known.genotypes

    def _measured(self, supernet: Supernet, context: Context) -> tuple[float, int]:
        if isinstance(supernet, Single):
            raise ConfigError(
                f"flatnas cannot take k from random genotypes of space {context.space.name} where a single network is "
                "judged; set measure.options.flatnas.k"
            )
        rng = numpy_rng(context.seed, "flatnas scale")
        errs, Rs = [], []
        for genotype in [context.space.sample(rng) for _ in range(SCALE_GENOTYPES)]:
            try:
                with calibrated_subnet(supernet, genotype, context, self.shared) as sampled:
                    found = self._robustness(sampled)
            except NotFiniteError:
                # Such a candidate also fails in the search, which goes on without it.
                continue
            errs.append(found.error)
            Rs.append(found.value)
        return scale(errs, Rs), len(errs)
