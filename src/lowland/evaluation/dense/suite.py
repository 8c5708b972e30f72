"""What the suites of dense tasks share: the first network becomes a backbone, is trained for the task, and judged.

A task is a suite whose `Config` has the `TrainingSettings`, and whose `problem` says what is learnt; the rest is
here: the same code serves a run, whose first network is meant, and any other network with a folder of its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import nn

from lowland.core.device import Compute
from lowland.core.errors import ConfigError
from lowland.core.monitor import Monitor
from lowland.core.settings import Positive, Rate, Section
from lowland.evaluation.dense.results import DenseResults, Metric
from lowland.evaluation.dense.source import Source
from lowland.evaluation.dense.study import Study
from lowland.evaluation.section import Figure, SuiteSection
from lowland.evaluation.suite import EvaluationContext, Suite
from lowland.training.backbone import Backbone
from lowland.training.task import Task, TaskRecipe


@dataclass(frozen=True, kw_only=True)
class Place:
    """A network, and where its trainings for dense tasks are kept.

    Attributes:
        source: The network.
        root: Folder that nothing leaves (`store.inside`).
        folder: Where in it the trainings lie; empty: in `root` itself.
        compute: Where the arithmetic runs.
        seed: Of the first training, unless the suite's settings name one; the others have the next ones.
        checkpoint_seconds: Time between two checkpoints.
        monitor: Hears how it goes, and asks for a stop.
    """

    source: Source
    root: Path
    folder: str
    compute: Compute
    seed: int
    checkpoint_seconds: float
    monitor: Monitor


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A dense task as a suite's settings ask for it.

    Attributes:
        task: Targets, loss and metrics.
        recipe: How it is learnt.
        strides: Of the maps that the model needs; a number alone: so many of the last.
        model: (backbone, mean, std) → the untrained model; draws from torch's global generator, which is seeded.
        data: The data set, in words.
        pictures: Validation pictures.
        settings: Everything of the task that decides what is found, the data's fingerprint included, as JSON.
        notes: What a reader must know, such as boxes that were cut.
        output_stride: Of the last map, by dilation of the network; None: its own.
        test_pictures: Pictures kept for the end; 0 where there are none.
    """

    task: Task[Any]
    recipe: TaskRecipe
    strides: tuple[int, ...] | int
    model: Callable[[Backbone, tuple[float, ...], tuple[float, ...]], nn.Module]
    data: str
    pictures: int
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    output_stride: int | None = None
    test_pictures: int = 0


class TrainingSettings(Section):
    """What can be asked of a task's trainings, whatever the task."""

    epochs: Rate | None = Field(None, description="passes over the training pictures; default: the preset's")
    steps: Positive | None = Field(None, description="training steps, in place of epochs; default: the preset's")
    batch_size: Positive | None = Field(None, description="pictures per step; default: the preset's")
    learning_rate: Rate | None = Field(None, description="highest learning rate; default: the preset's")
    seed: Annotated[int, Field(ge=0)] | None = Field(None, description="of the first training; default: the run's")
    seeds: Positive = Field(1, description="trainings, with seeds that follow one another")
    scratch: bool = Field(False, description="begin with fresh weights although the network has trained ones")

    def recipe(self, preset: TaskRecipe, suite: str) -> TaskRecipe:
        """The preset's recipe with what these settings change; ConfigError where they contradict each other."""
        asked = {name: getattr(self, name) for name in ("batch_size", "learning_rate", "steps", "epochs")}
        if self.steps is not None and self.epochs is not None:
            raise ConfigError(f"{suite} was given steps and epochs; leave one of the two out")
        changes = {name: value for name, value in asked.items() if value is not None}
        if self.epochs is not None:
            changes["steps"] = None
        if self.learning_rate is not None:  # the end falls with the beginning
            share = self.learning_rate / preset.learning_rate
            changes["final_learning_rate"] = preset.final_learning_rate * share
        return TaskRecipe(**(preset.model_dump() | changes))


class DenseSuite(Suite[DenseResults]):
    """Trains a dense task on the first network's maps, and says how well it does on the validation pictures."""

    Results = DenseResults
    shared = ()

    metrics: ClassVar[tuple[Metric, ...]]
    title: ClassVar[str]
    """Of the report section."""

    @classmethod
    def told(cls, results: DenseResults) -> tuple[Metric, ...]:
        """The metrics that results hold, in the order in which people see them; by default those of every data set."""
        del results
        return cls.metrics

    @abstractmethod
    def problem(self) -> Problem:
        """The task on its data; ConfigError or DataError where it cannot be had."""

    def learn(self, place: Place) -> DenseResults:
        """Train and judge all seeds; those that are done are taken as they are.

        Returns:
            What came of each.

        Raises:
            ConfigError: the network does not suit.
            DivergedError: the loss is no longer finite.
            InterruptedRun: the monitor asked for a stop; what was computed is kept.
        """
        problem, source, scratch = self.problem(), place.source, self.config.scratch
        began = began_with(source, scratch=scratch)
        place.monitor.say(f"{self.name}: backbone {source.name}, {began}; {problem.data}")
        for note in problem.notes:
            place.monitor.note(f"{self.name}: {note}")
        study = Study(
            task=problem.task,
            recipe=problem.recipe,
            build=lambda seed: self.model(problem, source, seed),
            decided_by={**problem.settings, "network": source.digest(scratch=scratch)},
            root=place.root,
            folder=place.folder,
            compute=place.compute,
            checkpoint_seconds=place.checkpoint_seconds,
            monitor=place.monitor,
        )
        first = place.seed if self.config.seed is None else self.config.seed
        return DenseResults(
            task=self.name,
            network=source.name,
            weights=began,
            data=problem.data,
            pictures=problem.pictures,
            settings=dict(problem.settings) | {"recipe": problem.recipe.model_dump(mode="json")},
            outcomes=tuple(study.outcome(seed) for seed in range(first, first + self.config.seeds)),
            notes=problem.notes,
            test_pictures=problem.test_pictures,
        )

    def model(self, problem: Problem, source: Source, seed: int) -> nn.Module:
        """The untrained model of a seed, on the CPU; ConfigError where the network does not suit."""
        backbone = source.backbone(
            problem.strides, seed, scratch=self.config.scratch, output_stride=problem.output_stride
        )
        return problem.model(backbone, source.mean, source.std)

    def run(self, networks: Mapping[str, nn.Module], context: EvaluationContext) -> DenseResults:
        """Train on the run's first network; ConfigError where there is no place for it."""
        if context.place is None:
            raise ConfigError(f"suite {self.name} trains networks, and there is no folder to keep them in")
        return self.learn(context.place(self.name))

    def figures(self, results: DenseResults) -> dict[str, list[Figure]]:
        """The few figures that people look at first, of the first network."""
        return {"1": results.figures(self.told(results))}

    def section(self, results: DenseResults) -> SuiteSection:
        """All metrics over seeds, and the loss curves."""
        return results.section(self.title, self.told(results))


def began_with(source: Source, *, scratch: bool) -> str:
    """With which weights a backbone begins, in words."""
    if source.trained is None:
        return "from scratch (it has no trained weights)"
    return "from scratch, though it has trained weights" if scratch else "with its trained weights"
