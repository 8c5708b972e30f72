"""The training of one design to a rung, and what it is worth there: the same in a run and in any of its workers."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from lowland import measures as measuring
from lowland.core.errors import NotFiniteError
from lowland.core.monitor import Monitor
from lowland.execution.outcome import line
from lowland.measures import Context
from lowland.spaces import Single
from lowland.training import network as network_training
from lowland.training.loop import Checkpoints, History, Job, fit
from lowland.training.optimization import learning_rate, lengthened, steps_per_epoch
from lowland.workflow.designs import Design
from lowland.workflow.rungs import promote_measure, total_steps, trained_images
from lowland.workflow.session import Materials

JUDGED_EMA = 0.97
"""Decay of the averaged weights that are judged at a rung, where the recipe has none.

At a high learning rate the weights themselves are judged by where their last step led, averaged ones nearly as after
the rate has fallen (docs/log.md).
"""

AVERAGED = "averaged:module."
"""What the names of the averaged weights in a checkpoint begin with."""


class RungTraining:
    """Trains and judges designs of one run.

    Args:
        materials: The run, or what a worker has of it.
    """

    def __init__(self, materials: Materials) -> None:
        self.materials = materials
        self.measure = measuring.get(promote_measure(materials.config))

    @cached_property
    def context(self) -> Context:
        """What the measure may look at: all of the search split, which the designs have not learned from."""
        of = self.materials
        return Context(
            space=of.space,
            scored=of.scored(len(of.data.search)),
            calibration=of.calibration,
            initial={},
            compute=of.compute,
            seed=of.config.seed,
            augmented=of.augmented,
        )

    def train(self, design: Design, steps: int, checkpoints: Checkpoints, monitor: Monitor) -> History:
        """Train a design from its last checkpoint to so many steps, where there is another checkpoint.

        Returns:
            What was seen, over all sessions.

        Raises:
            InterruptedRun: The monitor asked for a stop; a checkpoint was written first.
            DivergedError: The loss is no longer finite.
        """
        of, recipe = self.materials, self.materials.config.retrain
        body = self._body(design)
        if recipe.inherit:
            network_training.inherit_from(of.supernet, body, design.genotype)
        return fit(
            self.job(design, of.compute.prepare(body)),
            checkpoints=checkpoints,
            checkpoint_seconds=of.config.compute.checkpoint_seconds,
            monitor=monitor,
            until=steps,
        )

    def judge(self, design: Design, averaged: dict[str, Tensor]) -> dict[str, Any]:
        """What averaged weights are worth on the search split.

        Args:
            design: Of which they are.
            averaged: The state dict.

        Returns:
            value, standard_error and details.

        Raises:
            NotFiniteError: They have no finite loss, or the measure no value for them.
        """
        body = self.materials.compute.prepare(self._body(design))
        body.load_state_dict(averaged)
        network = Single(body, design.genotype, design.shape).eval()
        try:
            score = self.measure.score(network, design.genotype, self.context)
        except NotFiniteError:
            raise
        except (ArithmeticError, ValueError) as error:  # a fault of the candidate, as in a search (`execution.outcome`)
            raise NotFiniteError(line(error)) from error
        if not math.isfinite(score.value):
            raise NotFiniteError(f"the measure gave {score.value}")
        return {"value": score.value, "standard_error": score.standard_error, "details": dict(score.details)}

    def job(self, design: Design, body: nn.Module) -> Job:
        """The beginning of the design's retraining: its schedule, but without the search split."""
        config, data = self.materials.config, self.materials.data
        whole = steps_per_epoch(config.retrain, trained_images(config, data))
        epochs = math.ceil(total_steps(config, data) / steps_per_epoch(config.retrain, len(data.train)))
        schedule = lengthened(config.retrain, trained_images(config, data))
        recipe = schedule.model_copy(
            update={"epochs": epochs, "min_steps": 0, "include_search_split": False, "patience": 0}
        )
        job = network_training.job(design.genotype, body, recipe, data, self.materials.compute, config.seed)
        job = replace(job, ema=job.ema or JUDGED_EMA)
        return replace(job, name=design.checkpoint, rate=lambda step: learning_rate(schedule, step, whole))

    def _body(self, design: Design) -> nn.Module:
        config = self.materials.config
        return network_training.build(design.genotype, design.shape, config.retrain, config.seed)


def averaged_weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of averaged weights in a checkpoint's tensors."""
    return {name.removeprefix(AVERAGED): value for name, value in tensors.items() if name.startswith(AVERAGED)}


def row_of(steps: int, seconds: float, judged: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a design at a rung: its steps, what it is worth there, and seconds of training until then."""
    return {"steps": steps} | judged | {"seconds": round(seconds, 2)}
