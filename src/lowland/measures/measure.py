"""The measure: how a candidate is judged. Always "greater is better"."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lowland.core.config import Config as RunConfig
from lowland.core.config import MeasureConfig
from lowland.core.device import Compute
from lowland.core.genotype import Genotype
from lowland.core.registry import MEASURES
from lowland.core.settings import NoSettings, Section
from lowland.spaces.space import Space, Supernet

Batches = Sequence[tuple[Tensor, Tensor]]
"""Image batches (float32 N, C, H, W, normalised, on the device, in its memory format) with labels (int64 N)."""


@dataclass(frozen=True, slots=True)
class Score:
    """A judgement of one candidate.

    Attributes:
        value: Greater is better.
        standard_error: Of `value`, in its unit; None where the measure is exact (such as the angle).
        details: JSON facts worth keeping, such as the loss at every σ.
        influence_N: How much each scored image moves `value` (`Estimate.influence_N`); None where no images are looked
            at. Not archived.
    """

    value: float
    standard_error: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    influence_N: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a measure may look at. Never test images.

    Attributes:
        space: The search space.
        scored: Batches of the held-out search split.
        calibration: Training-image batches from which batch-norm statistics are re-estimated.
        initial: The supernet's state before training (for the angle).
        compute: Where the arithmetic runs.
        seed: Run seed, from which the noise is derived.
    """

    space: Space
    scored: Batches
    calibration: Batches
    initial: Mapping[str, Tensor]
    compute: Compute
    seed: int


class Measure(ABC):
    """Judges candidates of a trained supernet. Leaves the supernet exactly as it was, also when it raises."""

    name: str
    summary: str
    source: str

    Config: ClassVar[type[Section]] = NoSettings
    """Its own settings, `measure.options.<name>`."""

    exclusive: bool = False
    """Whether nothing else may be scored meanwhile, as where time is measured."""

    def __init__(self, config: MeasureConfig) -> None:
        self.config = config

    def require(self, config: RunConfig) -> None:
        """Raise ConfigError where the candidates of a run are none that it can judge. By default all are.

        Args:
            config: Settings of the run; `config.measure.name` is the whole sum that this measure may be a part of.
        """
        del config

    @abstractmethod
    def score(self, supernet: Supernet, genotype: Genotype, context: Context) -> Score:
        """Judge one candidate."""


register = MEASURES.register
"""Class decorator: make a measure available by its `name` (`core.registry`)."""


def registered() -> dict[str, type[Measure]]:
    """All measures by name, sorted."""
    return MEASURES.classes()
