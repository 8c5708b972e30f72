"""The measure: how a candidate is judged. Always "greater is better"."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lowland.config import MeasureConfig
from lowland.device import Compute
from lowland.errors import ConfigError
from lowland.genotype import Genotype
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
    """

    value: float
    standard_error: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


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

    def __init__(self, config: MeasureConfig) -> None:
        self.config = config

    @abstractmethod
    def score(self, supernet: Supernet, genotype: Genotype, context: Context) -> Score:
        """Judge one candidate."""


_CLASSES: dict[str, type[Measure]] = {}


def register(cls: type[Measure]) -> type[Measure]:
    """Class decorator: make a measure available by its `name`."""
    if cls.name in _CLASSES:
        raise ValueError(f"measure {cls.name!r} is registered twice")
    _CLASSES[cls.name] = cls
    return cls


def registered() -> dict[str, type[Measure]]:
    """All registered measures by name, sorted."""
    return dict(sorted(_CLASSES.items()))


def get(config: MeasureConfig) -> Measure:
    """The measure, or the sum of measures, that `config.name` asks for; raises ConfigError naming the known ones."""
    from lowland.measures.combined import Combined

    parts = [part.strip() for part in config.name.split("+")]
    for part in parts:
        if part not in _CLASSES:
            raise ConfigError(
                f"unknown measure {part!r} in measure.name={config.name!r}; known measures: "
                f"{', '.join(sorted(_CLASSES))}, and sums such as angle+flatness"
            )
    return _CLASSES[parts[0]](config) if len(parts) == 1 else Combined(config, parts)
