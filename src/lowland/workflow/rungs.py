"""The rungs of successive halving: how many designs train for how many steps, and how the last one goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lowland import measures as measuring
from lowland.core.config import Config, MeasureConfig
from lowland.core.device import Compute
from lowland.core.errors import ConfigError
from lowland.data import DataSet
from lowland.evaluation.suite import Suite, suites
from lowland.measures.combined import parts_of
from lowland.measures.subnet import SubnetMeasure
from lowland.store.run import Run
from lowland.training import network as network_training
from lowland.training.optimization import steps_per_epoch
from lowland.workflow.room import share_of_threads

BEGUN = "begun"
"""Folder of the states from which trainings that began in the rungs go on."""


def begun(rank: int) -> str:
    """Where that state is kept for the network of a rank, relative to the run directory."""
    return f"{BEGUN}/{rank}.safetensors"


def require(config: Config) -> None:
    """Raise ConfigError for a measure that cannot decide who goes on."""
    search = config.search
    if not search.finalists:
        for name in ("depths", "growths", "norms", "resolutions"):
            if getattr(search, name):
                raise ConfigError(
                    f"search.{name} are tried for finalists, of which there are none; set search.finalists, or "
                    f"network.{'cells' if name == 'depths' else name.removesuffix('s')} instead"
                )
        return
    for part in parts_of(measuring.get(promote_measure(config))):
        if not isinstance(part, SubnetMeasure):
            raise ConfigError(
                f"search.promote={search.promote} has to judge trained networks by their outputs, and {part.name} does "
                "not; choose accuracy, loss, perturbed_accuracy, flatness or another measure of the outputs"
            )


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One rung.

    Attributes:
        steps: Training steps of each design until then, from its first.
        designs: How many are trained so far.
    """

    steps: int
    designs: int


def rungs(config: Config, data: DataSet, designs: int) -> list[Rung]:
    """The rungs of so many designs: r₀, η·r₀, η²·r₀, … steps for n, ⌈n/η⌉, ⌈n/η²⌉, … designs, while there are several.

    r₀ is a twelfth of the retraining unless it is set; so eight designs and η = 2 take about one retraining more.

    No rung is longer than half of the retraining: what goes on from it has yet to see the search split, and to learn at
    falling rates. The best of the last rung goes on alone.

    Returns:
        The rungs, shortest first; none where the retraining has a single step.
    """
    search, whole = config.search, total_steps(config, data)
    steps = whole / 12
    if search.finalist_epochs is not None:
        steps = search.finalist_epochs * steps_per_epoch(config.retrain, trained_images(config, data))
    steps = max(1, round(steps))
    found: list[Rung] = []
    while designs > 1 and whole > 1:
        if found and steps > whole // 2:
            break
        found.append(Rung(steps=max(1, min(steps, whole // 2)), designs=designs))
        designs, steps = math.ceil(designs / search.halving), steps * search.halving
    return found


def usual_depth(config: Config) -> int:
    """The depth of a typical design."""
    depths = sorted(config.search.depths or (config.network.cells,))
    return depths[len(depths) // 2] if config.search.finalists else config.network.cells


def trained_images(config: Config, data: DataSet) -> int:
    """Images that the delivered network learns from."""
    return len(data.train) + (len(data.search) if config.retrain.include_search_split else 0)


def total_steps(config: Config, data: DataSet) -> int:
    """Steps of the whole retraining."""
    return network_training.total_steps(config.retrain, data)


def all_steps(config: Config, data: DataSet, designs: int) -> int:
    """Training steps of all designs at the rungs."""
    done, total = 0, 0
    for rung in rungs(config, data, designs):
        total += rung.designs * (rung.steps - done)
        done = rung.steps
    return total


def begun_steps(config: Config, data: DataSet, designs: int, networks: int) -> int:
    """Of these the steps of so many designs, the best, whose retrainings go on from there."""
    reached: list[int] = []
    for rung in reversed(rungs(config, data, designs)):
        reached += [rung.steps] * (rung.designs - len(reached))
    return sum(reached[:networks])


def extra_steps(config: Config, data: DataSet, designs: int, networks: int = 1) -> int:
    """Training steps that the rungs take beyond the retrainings that go on from them."""
    return all_steps(config, data, designs) - begun_steps(config, data, designs, networks)


def task_threads(config: Config, compute: Compute) -> int:
    """CPU threads of a training that others may run beside: the same however many there are at a time."""
    return config.compute.task_threads or (1 if compute.device.type == "cpu" else share_of_threads(config, compute))


def reference_threads(config: Config, compute: Compute) -> int:
    """CPU threads of the training of a reference, and of judging beside it.

    Of references there are few, often one: by default each has half of `compute.threads`, at least one, so that on
    many cores it does not take much longer than the delivered network, and others find room beside it.

    Returns:
        `compute.task_threads`, or that; on an accelerator by default its share of the threads of the run.
    """
    usual = max(1, compute.threads // 2) if compute.device.type == "cpu" else share_of_threads(config, compute)
    return config.compute.task_threads or usual


def with_trainings(config: Config, data: DataSet) -> list[Suite[Any]]:
    """The suites asked for that train references."""
    return [each for each in suites(config) if each.effort(config, data).trainings]


def network_threads(config: Config, data: DataSet, compute: Compute, world_size: int = 1) -> int:
    """CPU threads of the training of a delivered network: those of a reference, where references train beside it.

    A function of the settings and the number of threads alone, since threads decide the last bits: no matter whether
    there is another process, and whether the evaluation is asked for now or later.

    Returns:
        At least 1; on an accelerator and under torchrun all threads of the process.
    """
    if compute.device.type != "cpu" or world_size > 1 or not with_trainings(config, data):
        return compute.threads
    return reference_threads(config, compute)


def promote_measure(config: Config) -> MeasureConfig:
    """What orders designs at a rung: `search.promote`, with the shared settings of `measure`."""
    text = config.search.promote
    several = "rank" if config.measure.combine == "sum" else config.measure.combine
    return config.measure.model_copy(update={"name": text, "combine": several, "images": None})


def regrouped(losses: Sequence[float], step: int, before: int, after: int) -> list[float]:
    """Losses of epochs of `before` steps, and of the single steps of an unfinished one, as epochs of `after` steps.

    Within an epoch only the mean is known, which stands for each of its steps.

    Returns:
        Means of whole epochs, then the losses of the steps after them.
    """
    whole = step // before
    each = [loss for loss in losses[:whole] for _ in range(before)] + list(losses[whole:])
    done = step // after
    return [sum(each[at * after : (at + 1) * after]) / after for at in range(done)] + each[done * after :]


class Continued:
    """Checkpoints of a delivered network's training: the run's, and before there are any the state from the rungs.

    Args:
        run: The run.
        rank: Of the network.
    """

    def __init__(self, run: Run, rank: int) -> None:
        self.run, self.file = run, begun(rank)

    def save_checkpoint(self, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keep it in the run."""
        self.run.save_checkpoint(name, tensors, state)

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest state, or where the rungs left it; None where neither is."""
        kept = self.run.load_checkpoint(name)
        if kept is not None or self.file not in self.run.manifest["files"]:
            return kept
        tensors, metadata = self.run.load_tensors(self.file)
        return tensors, json.loads(metadata["state"])
