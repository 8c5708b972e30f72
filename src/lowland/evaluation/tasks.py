"""The tasks of an evaluation, in any process: a leg of a reference's training, networks judged under one corruption.

What a task needs of a network travels as a reference, a shape and weights, so that nothing is read from a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lowland.core.config import RetrainConfig
from lowland.core.device import Compute
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.seeds import derive
from lowland.evaluation.shift.corruptions import hits_under
from lowland.execution.tasks import TaskFunction
from lowland.spaces import Shape
from lowland.spaces.reference import Reference
from lowland.store.tensors import from_safetensors, to_safetensors
from lowland.training import network as network_training
from lowland.training.legs import Baton, Leg, Trained, one_leg
from lowland.training.loop import History, Job, fit

if TYPE_CHECKING:
    from lowland.data import CorruptedImages, DataSet

LEG, JUDGING = "leg", "judging"
"""What kinds of tasks there are: those of one kind take about as long."""


@dataclass(frozen=True, kw_only=True)
class ReferenceTraining:
    """What decides the weights of a reference beside the data and the precision.

    Attributes:
        reference: The network.
        shape: Its size.
        recipe: How it is trained, without what it lacks.
        seed: Of the training.
    """

    reference: Reference
    shape: Shape
    recipe: RetrainConfig
    seed: int

    @property
    def name(self) -> str:
        """Of the training's checkpoints and randomness."""
        if self.reference.genotype is None:
            return f"train-{self.reference.name}"
        return network_training.job_name(self.reference.genotype)

    def network(self) -> nn.Module:
        """As training begins with it; a function of the seed and the network."""
        if self.reference.genotype is not None:
            return network_training.build(self.reference.genotype, self.shape, self.recipe, self.seed)
        torch.manual_seed(derive(self.seed, "network", "initial weights", self.reference.name))
        return self.reference.network(self.shape)

    def job(self, network: nn.Module, data: DataSet, compute: Compute) -> Job:
        """The training of `network`, ready for `fit`."""
        genotype = self.reference.genotype or Genotype(self.reference.family, ())
        job = network_training.job(genotype, network, self.recipe, data, compute, self.seed)
        return replace(job, title=self.reference.name, name=self.name)


@dataclass(frozen=True, kw_only=True)
class LegTask:
    """One leg of a training.

    Attributes:
        of: The training.
        state: Where it stands, None: at its beginning.
        seconds: Of training in this leg.
    """

    of: ReferenceTraining
    state: bytes | None
    seconds: float

    def __str__(self) -> str:
        return f"the training of {self.of.reference.name}"


@dataclass(frozen=True, kw_only=True)
class Portable:
    """A trained network as it travels.

    Attributes:
        reference: What it is.
        shape: Its size.
        weights: The content of a safetensors file of its state dict.
    """

    reference: Reference
    shape: Shape
    weights: bytes

    @classmethod
    def of(cls, network: nn.Module, reference: Reference, shape: Shape) -> Portable:
        """A network on any device."""
        return cls(reference=reference, shape=shape, weights=to_safetensors(network.state_dict(), {}))

    def network(self) -> nn.Module:
        """It, on the CPU and in evaluation mode."""
        with torch.random.fork_rng(devices=[]):  # its initialisation, which is of no use, draws numbers
            network = self.reference.network(self.shape)
        network.load_state_dict(from_safetensors(self.weights)[0])
        return network.eval()


@dataclass(frozen=True, kw_only=True)
class JudgingTask:
    """Networks on the same images under one corruption and severity.

    Attributes:
        networks: By a name of the caller's choice.
        suite: Whose images they are.
        name: The corruption.
        severity: Its level.
        count: So many of the first images.
    """

    networks: Mapping[str, Portable]
    suite: str
    name: str
    severity: int
    count: int

    def __str__(self) -> str:
        return f"the judging under {self.name} of severity {self.severity}"


@dataclass(frozen=True, kw_only=True)
class EvaluationWork(TaskFunction):
    """Carries out tasks of an evaluation, in any process.

    Attributes:
        data: Training images, and how images are normalised.
        compute: Where, and in which precision networks are trained.
        batch_size: Images per forward pass when judging.
        images: (suite) → its corrupted images.
    """

    data: DataSet
    compute: Compute
    batch_size: int
    images: Callable[[str], CorruptedImages]

    @cached_property
    def _kept(self) -> dict[str, Any]:
        return {}

    def __call__(self, request: str, task: LegTask | JudgingTask) -> Trained | dict[str, Any]:
        """What a leg gave; of a judging the row of `corruptions.hits_under`."""
        del request
        return self.leg(task, Leg(task.seconds)) if isinstance(task, LegTask) else self.judged(task)

    def leg(self, task: LegTask, monitor: Monitor) -> Trained:
        """Train from where the task says until the monitor asks for a stop; at the end there are weights."""
        network = self.compute.prepare(task.of.network())
        job = task.of.job(network, self.data, self.compute)

        def train(baton: Baton, leg: Monitor) -> History:
            return fit(job, checkpoints=baton, checkpoint_seconds=float("inf"), monitor=leg)

        found = one_leg(train, task.state, monitor)
        return replace(found, weights=to_safetensors(network.state_dict(), {})) if found.whole else found

    def judged(self, task: JudgingTask, heard: Callable[[int], None] = lambda batches: None) -> dict[str, Any]:
        """Judge networks in the run's precision and memory format; those of the last task are kept placed.

        Args:
            task: Which, and on what.
            heard: Called with 1 after every batch; may raise, to stop.

        Returns:
            The row of `corruptions.hits_under`.
        """
        wanted = {key: network.weights for key, network in task.networks.items()}
        if self._kept.get("weights") != wanted:
            placed = {key: self.compute.prepare(network.network()) for key, network in task.networks.items()}
            self._kept.update(weights=wanted, placed=placed)
        images = self._kept.setdefault("images", {})
        if task.suite not in images:
            images[task.suite] = self.images(task.suite)
        return hits_under(
            self._kept["placed"],
            images[task.suite],
            task.name,
            task.severity,
            self.data.normalise,
            self.compute,
            count=task.count,
            batch_size=self.batch_size,
            heard=heard,
        )
