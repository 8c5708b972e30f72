"""The plan of a run, said before its first step: how many training steps, where they are computed, how long they take.

What is not known is left out: minutes are said where single pieces of work were timed (`timing`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from lowland.core.config import Config
from lowland.core.device import Compute
from lowland.core.recipe import LongConfig, OptimizationConfig
from lowland.data import DataSet
from lowland.training.optimization import lengthened, steps_per_epoch
from lowland.workflow import room, rungs, searchers
from lowland.workflow.timing import Costs, seconds

FEW = 100
"""Fewer training steps than this are warned of."""

UNEQUAL = 3
"""Largest over smallest class from which on classes are called unequal."""


@dataclass(frozen=True)
class Training:
    """One kind of training that a run will do.

    Attributes:
        name: What people read.
        recipe: Its settings.
        images: It learns from so many.
        networks: It is done so many times.
        setting: The setting of its epochs.
        least: The setting of its fewest steps; empty where it has none.
        raised: Those fewest steps, where they raised the epochs; 0: they did not.
    """

    name: str
    recipe: OptimizationConfig
    images: int
    networks: int
    setting: str
    least: str = ""
    raised: int = 0

    @property
    def steps(self) -> int:
        """Of each network."""
        return self.recipe.epochs * steps_per_epoch(self.recipe, self.images)

    def __str__(self) -> str:
        several = f"{self.networks:,} × " if self.networks > 1 else ""
        why = f" ({self.recipe.epochs:,} epochs, for {self.least}={self.raised:,})" if self.raised else ""
        return f"{several}{self.steps:,} {self.name}{why}"

    @property
    def doubt(self) -> str | None:
        """A sentence where the steps are few."""
        if self.steps >= FEW:
            return None
        other = f" or {self.least}={FEW}" if self.least else ""
        enough = math.ceil(FEW / steps_per_epoch(self.recipe, self.images))
        return (
            f"only {self.steps:,} {self.name} step{'' if self.steps == 1 else 's'} ({self.recipe.epochs:,} epochs of "
            f"{self.images:,} images): its weights will be little trained; {self.setting}={enough:,}{other} makes "
            f"{FEW}"
        )


@dataclass(frozen=True, kw_only=True)
class Rungs:
    """The beginnings of trainings that choose among finalists.

    Attributes:
        designs: So many begin.
        steps: Of all together, beyond the trainings that go on.
    """

    designs: int
    steps: int
    doubt: ClassVar[str | None] = None

    def __str__(self) -> str:
        return f"{self.steps:,} to choose of {self.designs} designs"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run will do.

    Attributes:
        trainings: In their order.
        compute: Where.
        chosen: Whether the number of threads is settled.
        seconds: Of every stage, where single pieces of work were timed.
        unequal: A sentence on classes of unequal size that training takes as they come; None: they are not.
        workers: Processes that score, and train side by side.
        gpus: GPUs that they have, all together; 0 where they compute on a CPU.
    """

    trainings: tuple[Training | Rungs, ...]
    compute: Compute
    chosen: bool = True
    seconds: Mapping[str, float] = field(default_factory=dict)
    unequal: str | None = None
    workers: int = 1
    gpus: float = 0.0

    def __str__(self) -> str:
        """One line, such as "steps: 84 supernet, 30 retraining; 2 threads; bf16; about 4 min (supernet 3 min, …)"."""
        on_cpu = self.compute.device.type == "cpu"
        threads = f"{self.compute.threads} thread{'' if self.compute.threads == 1 else 's'}"
        parts = [
            f"steps: {', '.join(map(str, self.trainings))}",
            (threads if self.chosen else f"at most {threads}") if on_cpu else str(self.compute.device),
            *([f"{self.workers} workers on {self.gpus:g} GPU{'' if self.gpus == 1 else 's'}"] if self.gpus else []),
            self.compute.precision,
        ]
        if self.seconds:
            each = ", ".join(f"{stage} {_roughly(seconds)}" for stage, seconds in self.seconds.items())
            parts.append(f"about {_roughly(sum(self.seconds.values()))} ({each})")
        return "; ".join(parts)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is unwise about it, one sentence each."""
        doubts = (*(each.doubt for each in self.trainings), self.unequal)
        return tuple(doubt for doubt in doubts if doubt is not None)


def plan(
    config: Config, data: DataSet, compute: Compute, last: str, piece: Costs | None = None, *, world_size: int = 1
) -> Plan:
    """The plan of a new run.

    Args:
        config: Its settings.
        data: Its images.
        compute: Where.
        last: The last stage.
        piece: What single pieces of work take; None: they were not timed, and no times are said.
        world_size: Processes of torchrun.

    Returns:
        What will be done; how many workers there will be on how many GPUs, where these are several.
    """
    trainings: list[Training | Rungs] = []
    images, all_images = len(data.train), len(data.train) + len(data.search)
    searcher = searchers.chosen(config.search)
    if searcher.supernet:
        trainings.append(_lengthened("supernet", config.supernet, images, 1, "supernet"))
    if last != "supernet":
        planned = searcher.planned(config, data)
        trainings += [_lengthened(name, recipe, seen, 1, "supernet") for name, recipe, seen in planned]
    if last != "supernet" and config.search.finalists:
        going_on = 0 if last == "search" else config.retrain.top
        extra = rungs.extra_steps(config, data, config.search.finalists, going_on)
        trainings.append(Rungs(designs=config.search.finalists, steps=extra))
    if last not in ("supernet", "search"):
        seen = all_images if config.retrain.include_search_split else images
        trainings.append(_lengthened("retraining", config.retrain, seen, config.retrain.top, "retrain"))
    chosen = config.compute.threads is not None
    times = {} if piece is None else seconds(config, data, piece, last)
    workers, gpus = (1, 0.0) if last == "supernet" else room.workers_on_gpus(config, compute, world_size)
    return Plan(
        trainings=tuple(trainings),
        compute=compute,
        chosen=chosen,
        seconds=times,
        unequal=_unequal(config, data, last),
        workers=workers,
        gpus=gpus,
    )


def _lengthened(name: str, recipe: LongConfig, images: int, networks: int, section: str) -> Training:
    longer = lengthened(recipe, images)
    raised = recipe.min_steps if longer.epochs > recipe.epochs else 0
    return Training(name, longer, images, networks, f"{section}.epochs", f"{section}.min_steps", raised)


def _unequal(config: Config, data: DataSet, last: str) -> str | None:
    """A sentence where some classes have far fewer pictures, and training takes them as they come."""
    if last in ("supernet", "search") or config.retrain.class_balance != "none":
        return None
    sizes = data.train.labels_N.bincount(minlength=data.num_classes).cpu()
    sizes = sizes + data.search.labels_N.bincount(minlength=data.num_classes).cpu()
    low, high = int(sizes.min()), int(sizes.max())
    if high < UNEQUAL * low:
        return None
    return (
        f"the classes are unequal, {low:,} to {high:,} pictures, and training takes them as they come: "
        "retrain.class_balance=loss or sampling (also of supernet) makes them count alike; the results tell balanced "
        "accuracy and the recall of each class"
    )


def _roughly(seconds: float) -> str:
    """A duration as coarse as it is known."""
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{max(1, round(seconds / 60))} min" if seconds < 5400 else f"{seconds / 3600:.2g} h"
