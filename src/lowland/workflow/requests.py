"""What may be asked of every genotype of a search: a measure or a first look at few images."""

from __future__ import annotations

from dataclasses import dataclass

from lowland.core.config import MeasureConfig


@dataclass(frozen=True)
class RacingMeasure:
    """A measure on the first `images` of the scored images, with each image's influence in the details (racing)."""

    measure: MeasureConfig
    images: int


ScoreRequest = MeasureConfig | RacingMeasure
"""What is asked of every genotype."""
