"""The settings that measures share, and which of them one measure may read: only those that it declares.

A score is told apart from others by the settings that decide it (`Measure.identity`). Reading one that was not declared
would let scores pass for comparable that are not, so it is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lowland.core.config import MeasureConfig

SCORED = ("images", "batch_size")
"""Of a measure that looks at `Context.scored`; the size of batches decides rounding."""

CALIBRATED = (*SCORED, "calibration", "calibration_images")
"""Of a measure that also calibrates batch norm on `Context.calibration`."""

NOISE = ("noise", "antithetic", "position")
"""Of a measure under weight noise whose draws are its own setting."""

NETWORK = ("untrained_channels", "untrained_cells")
"""Of a measure of the untrained network."""

RANDOM_IMAGES = (*NETWORK, "untrained_batch")
"""Of a measure of the untrained network on random images."""

TRAINING_IMAGES = (*RANDOM_IMAGES, "calibration_images")
"""Of a measure of the untrained network on the first training images."""


class SharedSettings(MeasureConfig):
    """The shared settings that one measure declares in `needs`, and no others."""

    @classmethod
    def of(cls, config: MeasureConfig, measure: str, needs: tuple[str, ...]) -> SharedSettings:
        """Those of `config` that `needs` names; raises TypeError where one of these is no shared setting."""
        unknown = sorted(set(needs) - set(MeasureConfig.model_fields))
        if unknown:
            raise TypeError(f"measure {measure} declares {unknown[0]!r} in needs, which is no shared setting")
        kept = cls.model_construct()
        kept.__dict__.clear()
        kept.__dict__.update({name: getattr(config, name) for name in needs}, name=measure)
        return kept

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Say what is missing where a setting that was not declared is read."""
            if name in MeasureConfig.model_fields:
                raise AttributeError(
                    f"measure {self.name} reads the shared setting measure.{name} but does not declare it; add "
                    f"{name!r} to its `needs`"
                )
            return super().__getattr__(name)
