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
from lowland.core.options import own_settings
from lowland.core.registry import MEASURES
from lowland.core.settings import NoSettings, Section, section
from lowland.measures.shared import SharedSettings
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
        augmented: Batches for batch norm that are augmented as in training; empty unless `measure.calibration` asks.
    """

    space: Space
    scored: Batches
    calibration: Batches
    initial: Mapping[str, Tensor]
    compute: Compute
    seed: int
    augmented: Batches = ()


class Measure(ABC):
    """Judges candidates of a trained supernet. Leaves the supernet exactly as it was, also when it raises.

    Attributes:
        options: Its own settings, a `Config`.
        shared: The shared settings that it declares; reading another one is an error.
        used: Settings of the measures that it declares in `uses`, by name.
    """

    name: str
    summary: str
    source: str

    Config: ClassVar[type[Section]] = NoSettings
    """Its own settings, `measure.options.<name>`."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Shared settings (fields of `MeasureConfig`) that its score depends on, those of the images it is given too."""

    uses: ClassVar[tuple[str, ...]] = ()
    """Measures whose own settings it follows."""

    exclusive: bool = False
    """Whether nothing else may be scored meanwhile, as where time is measured."""

    options: Section
    shared: MeasureConfig

    def __init__(self, config: MeasureConfig) -> None:
        """Take the settings that are this measure's.

        Raises:
            ConfigError: one of its own settings is unknown or wrong.
        """
        own = config.options.get(self.name, {})
        self.options = section(self.Config, own, prefix=f"measure.options.{self.name}.")
        self.shared = SharedSettings.of(config, self.name, self.needs)
        self.used = {name: own_settings(MEASURES, name, config.options, "measure.options") for name in self.uses}

    @property
    def weight(self) -> float:
        """What its value is multiplied by in a sum (GeNAS, Eq. 5); 1 leaves it in its own unit."""
        return 1.0

    def identity(self) -> dict[str, Any]:
        """The settings that decide its scores, as JSON: its own, those it uses, and the shared ones it declares."""
        return {
            "measure": self.name,
            "options": self.options.model_dump(mode="json"),
            "uses": {name: each.model_dump(mode="json") for name, each in self.used.items()},
            "shared": {name: getattr(self.shared, name) for name in self.needs},
        }

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
