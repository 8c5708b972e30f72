"""Training of a dense task: detection and segmentation say what is learnt from which targets, this file how.

A step is a function of (seed, step): the order of images, their augmentation and dropout are all derived from it. So a
training that was stopped anywhere and goes on from its checkpoint ends in the same bytes.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from lowland.core.device import Compute
from lowland.core.errors import InterruptedRun
from lowland.core.monitor import STEP, Monitor
from lowland.core.seeds import derive, seed_global
from lowland.core.settings import Fraction, NonNegative, Positive, Probability, Rate, Section
from lowland.data import order
from lowland.training.loop import Checkpoints, DivergedError
from lowland.training.optimization import pack, unpack

B = TypeVar("B")

AHEAD = 2
"""Batches read and augmented ahead of the step, in the background."""

POINTS = 100
"""Most points of the loss curves: each is a mean over as many steps."""


class TaskRecipe(Section):
    """How the weights of a dense task are learnt."""

    epochs: Rate = Field(20.0, description="passes over the training pictures; parts of one are allowed")
    steps: Positive | None = Field(None, description="training steps, in place of epochs")
    batch_size: Positive = Field(8, description="pictures per step")
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="the optimiser")
    learning_rate: Rate = Field(0.01, description="highest learning rate, reached after warm-up")
    final_learning_rate: NonNegative = Field(0.0, description="learning rate at the end of cosine and poly")
    schedule: Literal["cosine", "steps", "poly"] = Field("cosine", description="of the learning rate after warm-up")
    milestones: tuple[Fraction, ...] = Field(
        (), description="schedule=steps: shares of all steps after which the rate falls to a tenth"
    )
    power: Rate = Field(0.9, description="schedule=poly: exponent of the share of steps that are left")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(0, description="steps in which the rate rises linearly")
    warmup_factor: Probability = Field(0.001, description="share of the rate that the first step has")
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.9, description="of SGD")
    weight_decay: NonNegative = Field(1e-4, description="factor of the weights in the update; AdamW: decoupled")
    norm_decay: bool = Field(True, description="whether scales and shifts of normalisation layers decay too")
    clip: NonNegative = Field(0.0, description="largest gradient norm; 0: no clipping")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.milestones) != (self.schedule == "steps"):
            raise ValueError("milestones and schedule=steps go together")
        return self

    def total_steps(self, images: int) -> int:
        """Steps on so many training pictures, at least 1."""
        return self.steps or max(1, round(self.epochs * self.steps_per_epoch(images)))

    def steps_per_epoch(self, images: int) -> int:
        """Whole batches in so many pictures, at least 1: the last part of one is left out."""
        return max(1, images // self.batch_size)

    def rate(self, step: int, total: int) -> float:
        """Learning rate of a step of `total`.

        With t = (step − w)/(total − w) behind w warm-up steps: cosine lr_end + (lr − lr_end)·(1 + cos πt)/2; steps
        lr/10^m behind m milestones; poly (lr − lr_end)·(1 − step/total)^power + lr_end (MMSegmentation). In warm-up all
        that times f·(1 − a) + a with a = step/w and f the factor (Detectron2's WarmupMultiStepLR).

        Returns:
            The rate, ≥ 0.
        """
        low, high = self.final_learning_rate, self.learning_rate
        if self.schedule == "steps":
            rate = high * 0.1 ** sum(step >= round(share * total) for share in self.milestones)
        elif self.schedule == "poly":
            rate = (high - low) * (1 - step / total) ** self.power + low
        else:
            share = max(0, step - self.warmup_steps) / max(1, total - self.warmup_steps)
            rate = low + (high - low) * 0.5 * (1 + math.cos(math.pi * share))
        if step < self.warmup_steps:
            done = step / self.warmup_steps
            rate *= self.warmup_factor * (1 - done) + done
        return rate


class Task(ABC, Generic[B]):
    """A dense task on one data set: targets, loss and metrics.

    Batches are made in the background, several at once: they draw from `core.seeds` alone, never from a global
    generator.
    """

    name: ClassVar[str]
    """In a word; part of every seed."""

    @property
    @abstractmethod
    def images(self) -> int:
        """Number of training pictures."""

    @abstractmethod
    def batch(self, indices: Sequence[int], seed: int, step: int) -> B:
        """The named training pictures with their targets, augmented; a function of the arguments alone."""

    @abstractmethod
    def losses(self, model: nn.Module, batch: B, compute: Compute) -> Mapping[str, Tensor]:
        """The parts of the loss by name, scalars whose sum is minimised; the same names at every step."""

    @abstractmethod
    def judge(self, model: nn.Module, compute: Compute, monitor: Monitor) -> Mapping[str, float]:
        """What a trained model is worth on the validation pictures: finite numbers by name."""

    @property
    def test_fingerprint(self) -> str:
        """Of pictures that are kept for the end, and choose nothing; empty where there are none."""
        return ""

    def test(self, model: nn.Module, compute: Compute, monitor: Monitor) -> Mapping[str, float]:
        """What a model is worth on the pictures kept for the end, as `judge` says it; nothing where there are none."""
        del model, compute, monitor
        return {}


@dataclass(frozen=True, kw_only=True)
class TaskJob(Generic[B]):
    """One training.

    Attributes:
        task: What is learnt.
        model: On the device.
        recipe: How.
        seed: Of everything that is drawn.
        compute: Where.
        name: Of the checkpoint; the name of another training is another checkpoint.
        title: What people see.
    """

    task: Task[B]
    model: nn.Module
    recipe: TaskRecipe
    seed: int
    compute: Compute
    name: str
    title: str


@dataclass
class TaskHistory:
    """What was seen while training.

    Attributes:
        interval: Steps of which each point of the curves is a mean.
        losses: By part of the loss, its mean over each interval.
        seconds: Over all sessions.
    """

    interval: int
    losses: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0


def fit_task(
    job: TaskJob[Any],
    *,
    checkpoints: Checkpoints | None = None,
    checkpoint_seconds: float = 30.0,
    monitor: Monitor | None = None,
) -> TaskHistory:
    """Train `job.model` in place from its last checkpoint, if any, to the end.

    Args:
        job: What to train.
        checkpoints: Where the state is kept; None: nowhere.
        checkpoint_seconds: Time between two checkpoints.
        monitor: Hears how it goes, and asks for a stop.

    Returns:
        Losses and time, over all sessions.

    Raises:
        DivergedError: the loss became NaN or infinite; says at which step and what to change.
        InterruptedRun: the monitor asked for a stop; a checkpoint was written first.
    """
    monitor = monitor or Monitor()
    state = _State(job)
    history = state.load(checkpoints)
    total, at_first = job.recipe.total_steps(job.task.images), state.step
    monitor.start(job.title, total, STEP, state.step)
    job.model.train()
    saved = began = time.monotonic()
    for step, batch in _batches(job, state.step, total):
        rate = job.recipe.rate(step, total)
        with job.compute.training():
            values = state.learn(batch, rate, step)
        state.note(values, history, last=step + 1 == total)
        monitor.advance(step + 1, loss=sum(values.values()), **values, learning_rate=rate)
        now = time.monotonic()
        stop = monitor.stopping and step + 1 < total
        if checkpoints is not None and (stop or now - saved > checkpoint_seconds):
            history.seconds += now - began
            state.save(checkpoints, history)
            saved = began = time.monotonic()
        if stop:
            raise InterruptedRun("stopped at a safe point")
    history.seconds += time.monotonic() - began
    if checkpoints is not None and state.step > at_first:
        state.save(checkpoints, history)  # so that a stop while the model is judged costs no training
    monitor.finish()
    return history


def _batches(job: TaskJob[B], start: int, total: int) -> Iterator[tuple[int, B]]:
    """Steps with their batches, made ahead in the background."""
    per_epoch = job.recipe.steps_per_epoch(job.task.images)
    size = min(job.recipe.batch_size, job.task.images)
    orders: dict[int, list[int]] = {}

    def indices(step: int) -> list[int]:
        epoch, place = divmod(step, per_epoch)
        if epoch not in orders:
            orders.clear()
            orders[epoch] = order(job.task.images, seed=job.seed, keys=(job.task.name, "order", epoch)).tolist()
        return orders[epoch][place * size : (place + 1) * size]

    with ThreadPoolExecutor(AHEAD) as pool:
        waiting: deque[tuple[int, Future[B]]] = deque()
        try:
            for step in range(start, total):
                waiting.append((step, pool.submit(job.task.batch, indices(step), job.seed, step)))
                if len(waiting) > AHEAD:
                    at, future = waiting.popleft()
                    yield at, future.result()
            while waiting:
                at, future = waiting.popleft()
                yield at, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def optimizer(model: nn.Module, recipe: TaskRecipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over all parameters that are not frozen."""
    norms = {id(p) for m in model.modules() if isinstance(m, (_NormBase, nn.GroupNorm)) for p in m.parameters()}
    learnt = [p for p in model.parameters() if p.requires_grad]
    spared = [] if recipe.norm_decay else [p for p in learnt if id(p) in norms]
    others = learnt if recipe.norm_decay else [p for p in learnt if id(p) not in norms]
    groups: list[dict[str, Any]] = [{"params": others}]
    groups += [{"params": spared, "weight_decay": 0.0}] if spared else []
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, foreach=True)
    return torch.optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay, foreach=True
    )


class _State:
    """Everything a resumed training needs, as tensors and JSON."""

    def __init__(self, job: TaskJob[Any]) -> None:
        self.job = job
        self.engine = optimizer(job.model, job.recipe)
        scaled = job.compute.autocast_dtype == torch.float16
        self.scaler = torch.amp.GradScaler(job.compute.device.type, enabled=scaled)
        self.step = 0
        self.pending: dict[str, list[float]] = {}

    def learn(self, batch: Any, rate: float, step: int) -> dict[str, float]:
        """One step; the parts of the loss at the weights before it."""
        job = self.job
        for group in self.engine.param_groups:
            group["lr"] = rate
        seed_global(derive(job.seed, job.task.name, "step", step), job.compute.device)
        parts = job.task.losses(job.model, batch, job.compute)
        self.scaler.scale(torch.stack(list(parts.values())).sum()).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.engine)
        if job.recipe.clip:
            nn.utils.clip_grad_norm_(job.model.parameters(), job.recipe.clip)
        self.scaler.step(self.engine)
        self.scaler.update()
        self.engine.zero_grad(set_to_none=True)
        self.step = step + 1
        values = {name: float(part.detach()) for name, part in parts.items()}
        if not all(map(math.isfinite, values.values())):
            raise DivergedError(
                f"the training loss became {sum(values.values())} at step {step}; lower the learning rate, set clip, "
                "or use compute.precision=fp32"
            )
        return values

    def note(self, values: Mapping[str, float], history: TaskHistory, *, last: bool) -> None:
        """Keep a step's losses; a full interval becomes a point of the curves, as does a part of one at the end."""
        for name, value in values.items():
            self.pending.setdefault(name, []).append(value)
        if last or self.step % history.interval == 0:
            for name, window in self.pending.items():
                history.losses.setdefault(name, []).append(sum(window) / len(window))
            self.pending = {}

    def save(self, checkpoints: Checkpoints, history: TaskHistory) -> None:
        tensors, rest = pack(self.job.model, self.engine)
        tensors = {f"optimizer:{name}": value for name, value in tensors.items()}
        tensors |= {f"model:{name}": value for name, value in self.job.model.state_dict().items()}
        state = {
            "step": self.step,
            "optimizer": rest,
            "scaler": self.scaler.state_dict(),
            "losses": history.losses,
            "pending": self.pending,
            "seconds": history.seconds,
        }
        checkpoints.save_checkpoint(self.job.name, tensors, state)

    def load(self, checkpoints: Checkpoints | None) -> TaskHistory:
        interval = -(-self.job.recipe.total_steps(self.job.task.images) // POINTS)
        found = checkpoints.load_checkpoint(self.job.name) if checkpoints is not None else None
        if found is None:
            return TaskHistory(interval)
        tensors, state = found
        parts: dict[str, dict[str, Tensor]] = {"optimizer": {}, "model": {}}
        for label, value in tensors.items():
            part, _, name = label.partition(":")
            parts[part][name] = value
        self.job.model.load_state_dict(parts["model"])
        unpack(self.job.model, self.engine, parts["optimizer"], state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.pending = state["step"], state["pending"]
        return TaskHistory(interval, losses=state["losses"], seconds=state["seconds"])
