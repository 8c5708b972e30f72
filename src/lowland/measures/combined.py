"""Sums of measures (GeNAS, Eq. 5): S + γ·β·F."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from lowland.core.config import MeasureConfig
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.registry import MEASURES
from lowland.measures.expression import terms
from lowland.measures.measure import Context, Measure, Score
from lowland.measures.per_image import Array
from lowland.measures.subnet import Estimate, Subnet, SubnetMeasure, calibrated_subnet
from lowland.spaces.space import Supernet


class Combined(Measure):
    """Weighted sum of measures of one candidate.

    Flatness is weighed by γ·β, the angle by 1/π so that it is in [0, 1]. Every other measure enters in its own unit:
    accuracy in [0, 1], loss as −L in nats.

    Batch norm is calibrated and the clean network evaluated once, whatever the parts. Parts that look at the same
    images (accuracy, loss, flatness) add up their influences image by image before the standard error is taken, so
    their covariance counts; the errors of all other parts are independent and add in quadrature. Parts without a
    standard error (the angle) are exact.
    """

    source = "GeNAS (Jeong et al., IJCAI 2023), Eq. 5"

    def __init__(self, config: MeasureConfig, parts: Sequence[tuple[str, Measure]]) -> None:
        """Set up the parts.

        Args:
            config: The settings; `name` is named in errors.
            parts: Measures by the label that `Score.details` gives them.

        Raises:
            ConfigError: a label appears twice.
        """
        labels = [label for label, _ in parts]
        if len(set(labels)) < len(labels):
            raise ConfigError(
                f"measure.name={config.name!r} names a measure twice; weights are set by measure.options.flatness.gamma"
            )
        self.name = "+".join(labels)
        super().__init__(config)
        self.summary = "sum of " + " and ".join(labels)
        self.parts = list(parts)
        self.exclusive = any(part.exclusive for _, part in parts)

    def score(self, supernet: Supernet, genotype: Genotype, context: Context) -> Score:
        """Judge one candidate by all parts; a part that raises makes the sum raise."""
        value, variance = 0.0, 0.0
        influence_N: Array | None = None
        details: dict[str, Any] = {}
        with ExitStack() as stack:
            path: Subnet | None = None
            calibration: str | None = None
            for label, part in self.parts:
                scale = part.weight
                if isinstance(part, SubnetMeasure):
                    if path is None or (part.calibrates and part.shared.calibration != calibration):
                        stack.close()
                        calibration = part.shared.calibration if part.calibrates else None
                        opened = calibrated_subnet(supernet, genotype, context, part.shared, calibrate=part.calibrates)
                        path = stack.enter_context(opened)
                    estimate = part.judge(path)
                    influence_N = scale * estimate.influence_N + (0.0 if influence_N is None else influence_N)
                    variance += scale**2 * estimate.noise_variance
                    found = estimate.score()
                else:
                    found = part.score(supernet, genotype, context)
                    variance += (scale * (found.standard_error or 0.0)) ** 2
                value += scale * found.value
                details[label] = {
                    "value": found.value,
                    "standard_error": found.standard_error,
                    "weight": scale,
                    **found.details,
                }
        if influence_N is not None:
            total = Estimate(value=value, influence_N=influence_N, noise_variance=variance, details=details)
            return total.score()
        return Score(value, math.sqrt(variance) if variance > 0.0 else None, details)

    def identity(self) -> dict[str, Any]:
        """Those of its parts in their order, with their weights, and labels that `Score.details` names them by."""
        return {"sum": [{**part.identity(), "label": label, "weight": part.weight} for label, part in self.parts]}


def parts_of(measure: Measure) -> list[Measure]:
    """The measures that a sum is made of; of any other measure, itself."""
    return [part for _, part in measure.parts] if isinstance(measure, Combined) else [measure]


def get(config: MeasureConfig) -> Measure:
    """Make what the expression `config.name` asks for (`measures.expression`).

    Returns:
        The measure, or the sum of measures.

    Raises:
        ConfigError: an unknown measure, with the known ones, or a setting that is wrong.
    """
    parts: list[tuple[str, Measure]] = [(term.label, MEASURES.load(term.name)(term.config)) for term in terms(config)]
    return parts[0][1] if len(parts) == 1 else Combined(config, parts)
