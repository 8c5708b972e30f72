"""A candidate: one path of a supernet, calibrated once and evaluated on demand, shared by all measures of a sum."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from torch import nn

from lowland.core.config import MeasureConfig
from lowland.core.errors import DataError
from lowland.core.genotype import Genotype
from lowland.core.inference import evaluating
from lowland.measures import per_image
from lowland.measures.calibration import calibrated
from lowland.measures.measure import Batches, Context, Measure, Score
from lowland.measures.per_image import Array, ImageResults, sampling_error
from lowland.measures.shared import CALIBRATED
from lowland.spaces.single import Single
from lowland.spaces.space import Supernet, is_searched


class Subnet:
    """A path of a supernet with calibrated batch-norm statistics. Valid within the block of `calibrated_subnet`."""

    def __init__(self, supernet: Supernet, genotype: Genotype, context: Context, origin: Supernet) -> None:
        self.supernet = supernet
        self.origin = origin  # the supernet that holds the other candidates too: another one where `at` extracts
        self.genotype = genotype
        self.context = context

    @cached_property
    def clean(self) -> ImageResults:
        """The outcome on the search split without noise, computed on first use."""
        return self.evaluate()

    @cached_property
    def parameters(self) -> dict[str, nn.Parameter]:
        """All parameters on the path, by name."""
        return self.supernet.path_parameters(self.genotype)

    @property
    def images(self) -> int:
        """Number of scored images."""
        return sum(len(labels_N) for _, labels_N in self.context.scored)

    def perturbable(self, position: Literal["all", "cells"]) -> dict[str, nn.Parameter]:
        """The parameters to perturb: all on the path, or those of searched operations (`measure.position`)."""
        if position == "all":
            return self.parameters
        return {name: value for name, value in self.parameters.items() if is_searched(name)}

    def evaluate(self, scored: Batches | None = None) -> ImageResults:
        """The outcome on the search split, or these batches of it, with the weights as they are now."""
        return per_image.evaluate(
            lambda x_NCHW: self.supernet(x_NCHW, self.genotype),
            self.context.scored if scored is None else scored,
            self.context.compute,
        )

    def noise_scored(self, shared: MeasureConfig) -> Batches:
        """The scored images, or the first `measure.noise_images` of them where there are more."""
        scored = self.context.scored
        return scored if shared.noise_images is None else per_image.first(scored, shared.noise_images)

    def noise_influence(self, influence_N: Array, shared: MeasureConfig) -> Array:
        """Spread the influences of the images of `noise_scored` on an estimate over all scored images.

        They are images/N times as large, so that Σ U²/images² stays, and they add up with those of measures on all
        images.

        Returns:
            Influences (N,), 0 for images that saw no noise.
        """
        if shared.noise_images is None:
            return influence_N  # counting the scored images reads them all where they are streamed
        images, looked = self.images, len(influence_N)
        return np.concatenate([influence_N * (images / looked), np.zeros(images - looked)])

    def losses_under_noise(
        self, sigmas: Sequence[float], levels: Literal["absolute", "incremental"], shared: MeasureConfig
    ) -> Array:
        """Evaluate under the noise that the settings ask for.

        On the first `measure.noise_images` of the scored images where there are more.

        Returns:
            Per-image losses (K draws, T levels, N images).
        """
        common = shared.noise == "shared"
        scored = self.noise_scored(shared)
        return per_image.losses_under_noise(
            lambda: self.evaluate(scored),
            self.perturbable(shared.position),
            sigmas=sigmas,
            draws=shared.draws,
            seed=self.context.seed,
            levels=levels,
            keys=() if common else (self.context.space.key(self.genotype),),
            antithetic=shared.antithetic,
            remember=common and not isinstance(self.supernet, Single),  # its weights are this candidate's alone
        )

    def loss_at(self, sigma: float, draw: int, *, sign: Literal[1, -1] = 1) -> ImageResults:
        """The outcome under noise of standard deviation `sigma` on all weights, for curves of loss against σ."""
        return per_image.loss_under_noise(self.evaluate, self.parameters, sigma, draw, self.context.seed, sign=sign)


@contextmanager
def calibrated_subnet(
    supernet: Supernet, genotype: Genotype, context: Context, shared: MeasureConfig, *, calibrate: bool = True
) -> Iterator[Subnet]:
    """Calibrate a candidate unless `calibrate` is off.

    After the block the supernet is bit-identical to what it was, also after an exception.

    Of the settings only `measure.calibration` counts, so measures that agree on it can share a candidate.

    Yields:
        The candidate.

    Raises:
        DataError: there are no calibration images or no scored images.
    """
    if not context.scored:
        raise DataError("no images to score candidates on; enlarge data.search_fraction or the data set")
    network = supernet.at(genotype)
    if not calibrate:
        with evaluating(network):
            yield Subnet(network, genotype, context, supernet)
        return
    batches = context.augmented if shared.calibration == "ema-14-augmented" else context.calibration
    images = [x_NCHW for x_NCHW, _ in batches]
    with calibrated(network, genotype, images, shared.calibration, context.compute):
        yield Subnet(network, genotype, context, supernet)


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A value estimated from images and, perhaps, noise draws.

    Attributes:
        value: Greater is better.
        influence_N: How much each image moves the value: the sampling variance over images is Σ U²/N².
        noise_variance: Variance of the value over the choice of noise, 0 where there is none or it is not estimated.
        details: JSON facts worth keeping.
    """

    value: float
    influence_N: Array
    noise_variance: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def standard_error(self) -> float | None:
        """√(Σ U²/N² + noise variance); None for a single image, which says nothing about sampling."""
        if len(self.influence_N) < 2:
            return None
        return math.hypot(sampling_error(self.influence_N), math.sqrt(self.noise_variance))

    def score(self) -> Score:
        """The estimate as the score of a candidate."""
        return Score(self.value, self.standard_error, self.details, self.influence_N)


class SubnetMeasure(Measure):
    """A measure that looks at the outputs of a calibrated candidate; parts of a sum share one candidate."""

    needs: ClassVar[tuple[str, ...]] = CALIBRATED

    calibrates: bool = True
    """Whether it needs batch-norm statistics of the candidate; one that does not may share a calibrated candidate."""

    def score(self, supernet: Supernet, genotype: Genotype, context: Context) -> Score:
        """Calibrate the path where needed, judge it, and put the supernet back."""
        with calibrated_subnet(supernet, genotype, context, self.shared, calibrate=self.calibrates) as path:
            return self.judge(path).score()

    @abstractmethod
    def judge(self, subnet: Subnet) -> Estimate:
        """Judge a calibrated candidate."""
