"""The plan of a run, said before its first step: how many training steps, where they are computed, how long they take.

What is not known is left out: minutes are said where single pieces of work were timed (`timing`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from lowland.core.config import Config, OptimizationConfig
from lowland.core.device import Compute
from lowland.data import DataSet
from lowland.training.optimization import steps_per_epoch
from lowland.workflow import rungs, searchers
from lowland.workflow.timing import Costs, seconds

FEW = 100
"""Fewer training steps than this are warned of."""


@dataclass(frozen=True)
class Training:
    """One kind of training that a run will do.

    Attributes:
        name: What people read.
        recipe: Its settings.
        images: It learns from so many.
        networks: It is done so many times.
        setting: The setting of its epochs.
    """

    name: str
    recipe: OptimizationConfig
    images: int
    networks: int
    setting: str

    @property
    def steps(self) -> int:
        """Of each network."""
        return self.recipe.epochs * steps_per_epoch(self.recipe, self.images)

    def __str__(self) -> str:
        several = f"{self.networks:,} × " if self.networks > 1 else ""
        return f"{several}{self.steps:,} {self.name}"

    @property
    def doubt(self) -> str | None:
        """A sentence where the steps are few."""
        if self.steps >= FEW:
            return None
        enough = math.ceil(FEW / steps_per_epoch(self.recipe, self.images))
        return (
            f"only {self.steps:,} {self.name} step{'' if self.steps == 1 else 's'} ({self.recipe.epochs:,} epochs of "
            f"{self.images:,} images): its weights will be little trained; {self.setting}={enough:,} makes {FEW}"
        )


@dataclass(frozen=True, kw_only=True)
class Rungs:
    """The beginnings of trainings that choose among finalists.

    Attributes:
        designs: So many begin.
        steps: Of all together, beyond the one training that goes on.
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
    """

    trainings: tuple[Training | Rungs, ...]
    compute: Compute
    chosen: bool = True
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line, such as "steps: 84 supernet, 30 retraining; 2 threads; bf16; about 4 min (supernet 3 min, …)"."""
        on_cpu = self.compute.device.type == "cpu"
        threads = f"{self.compute.threads} thread{'' if self.compute.threads == 1 else 's'}"
        parts = [
            f"steps: {', '.join(map(str, self.trainings))}",
            (threads if self.chosen else f"at most {threads}") if on_cpu else str(self.compute.device),
            self.compute.precision,
        ]
        if self.seconds:
            each = ", ".join(f"{stage} {_roughly(seconds)}" for stage, seconds in self.seconds.items())
            parts.append(f"about {_roughly(sum(self.seconds.values()))} ({each})")
        return "; ".join(parts)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is unwise about it, one sentence each."""
        return tuple(each.doubt for each in self.trainings if each.doubt is not None)


def plan(config: Config, data: DataSet, compute: Compute, last: str, piece: Costs | None = None) -> Plan:
    """The plan of a new run on `data` to stage `last`; with times where single pieces of work were timed."""
    trainings: list[Training | Rungs] = []
    images, all_images = len(data.train), len(data.train) + len(data.search)
    searcher = searchers.chosen(config.search)
    if searcher.supernet:
        trainings.append(Training("supernet", config.supernet, images, 1, "supernet.epochs"))
    if last != "supernet":
        planned = searcher.planned(config, data)
        trainings += [Training(name, recipe, seen, 1, "supernet.epochs") for name, recipe, seen in planned]
    if last != "supernet" and config.search.finalists:
        extra = rungs.extra_steps(config, data, config.search.finalists)
        trainings.append(Rungs(designs=config.search.finalists, steps=extra))
    if last not in ("supernet", "search"):
        seen = all_images if config.retrain.include_search_split else images
        trainings.append(Training("retraining", config.retrain, seen, config.retrain.top, "retrain.epochs"))
    chosen = config.compute.threads is not None
    times = {} if piece is None else seconds(config, data, piece, last)
    return Plan(trainings=tuple(trainings), compute=compute, chosen=chosen, seconds=times)


def _roughly(seconds: float) -> str:
    """A duration as coarse as it is known."""
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{max(1, round(seconds / 60))} min" if seconds < 5400 else f"{seconds / 3600:.2g} h"
