"""What may be asked of every genotype of a search: a measure, a first look at few images, or a short training."""

from __future__ import annotations

from dataclasses import dataclass

from lowland.core.config import MeasureConfig, RetrainConfig


@dataclass(frozen=True)
class RacingMeasure:
    """A measure on the first `images` of the scored images, with each image's influence in the details (racing)."""

    measure: MeasureConfig
    images: int


@dataclass(frozen=True)
class ShortTraining:
    """The accuracy on the whole search split after training from scratch (`finalists`)."""

    recipe: RetrainConfig


ScoreRequest = MeasureConfig | RacingMeasure | ShortTraining
"""What is asked of every genotype."""
