"""The training loop of supernets and single networks: same steps, same checkpoints, same data-parallel path.

A step is a function of (run seed, step): batch order, augmentation, sampled path and dropout are all derived from it.
So a run stopped anywhere and resumed from its checkpoint ends in the same weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lowland.core.device import Compute
from lowland.core.errors import ConfigError, InterruptedRun, LowlandError
from lowland.core.monitor import STEP, Monitor
from lowland.core.recipe import OptimizationConfig
from lowland.core.seeds import derive
from lowland.data import DataSet, Split
from lowland.training.inputs import Inputs
from lowland.training.optimization import learning_rate, pack, unpack
from lowland.training.parallel import World, any_rank, average, average_buffers
from lowland.training.step import Losses, Stepper
from lowland.training.stopping import Patience, accuracy


class Checkpoints(Protocol):
    """Where a loop keeps its state (a run directory)."""

    def save_checkpoint(self, name: str, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Keep the newest state, durably."""

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest state, or None."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to train and on what.

    Attributes:
        name: Of the checkpoint, and of the randomness.
        title: What people see.
        model: In training mode, on the device.
        loss: (model, images (N, C, H, W) normalised, labels (N,), step) → scalar loss; sees nothing else. Where the
            recipe mixes images, labels are shares of classes (N, K). Or it yields several, whose gradients add up; each
            is backpropagated at once, so that memory holds one graph.
        recipe: Optimiser, schedule and augmentation.
        data: Gives normalisation and which augmentations make sense.
        split: The images to learn from.
        seed: Run seed.
        ema: Decay of the averaged weights that replace the model's at the end; 0: none.
        rearrange: (step) → whether it rearranged the model's weights, such as by sorting channels; called before every
            step. Momentum and averaged weights, whose entries then belong to others, begin anew.
        views: Images shown for each image of a batch; see `Inputs`.
        held_out: Images that judge every epoch, for early stopping.
        patience: Epochs without a better accuracy on them before training ends; 0: no early stopping.
    """

    name: str
    title: str
    model: nn.Module
    loss: Callable[[nn.Module, Tensor, Tensor, int], Losses]
    recipe: OptimizationConfig
    data: DataSet
    split: Split
    seed: int
    compute: Compute
    ema: float = 0.0
    rearrange: Callable[[int], bool] | None = None
    views: int = 1
    held_out: Split | None = None
    patience: int = 0

    def inputs(self) -> Inputs:
        """What the steps see."""
        return Inputs(
            name=self.name, recipe=self.recipe, data=self.data, split=self.split, seed=self.seed, views=self.views
        )

    def steps_per_epoch(self) -> int:
        """Whole global batches in the split, at least one."""
        return self.inputs().steps_per_epoch()

    def total_steps(self) -> int:
        """Steps in all epochs."""
        return self.recipe.epochs * self.steps_per_epoch()


@dataclass
class History:
    """What was seen while training: mean training loss per epoch, and images per second over all sessions."""

    loss: list[float] = field(default_factory=list)
    images: int = 0
    seconds: float = 0.0

    @property
    def images_per_second(self) -> float:
        """Training images per second, checkpoints and interruptions left out."""
        return self.images / self.seconds if self.seconds else 0.0


AGREEMENT_STEPS = 10
"""Under torchrun the ranks agree whether to stop or to save once in so many steps, since asking costs a round trip."""


class DivergedError(LowlandError, ArithmeticError):
    """The loss is no longer a finite number. Arithmetic, so that a search notes the candidate as failed and goes on."""


def fit(
    job: Job,
    *,
    checkpoints: Checkpoints | None = None,
    checkpoint_seconds: float = 30.0,
    monitor: Monitor | None = None,
    world: World = World(),
) -> History:
    """Train `job.model` in place from its last checkpoint, if any, to the end.

    Returns:
        Losses by epoch and throughput, over all sessions.

    Raises:
        ConfigError: a batch cannot be shared evenly among the processes.
        DivergedError: the loss became NaN or infinite; says at which step and what to change.
        InterruptedRun: the monitor asked for a stop; a checkpoint was written first.
    """
    monitor = monitor or Monitor()
    model, recipe = job.model, job.recipe
    _check_shares(job, world)
    stepper = Stepper(model, recipe, job.compute, world)
    averaged = _averaged(model, job.ema) if job.ema else None
    patience = Patience(job.patience) if job.patience and job.held_out is not None else None
    state = _State(job, stepper, averaged, patience)
    history = state.load(checkpoints)
    per_epoch, total = job.steps_per_epoch(), job.total_steps()
    monitor.start(job.title, total, STEP, state.step)
    losses = _Losses(job, state.step, history, world)
    model.train()
    saved = began = time.monotonic()
    for step, x_NCHW, labels_N in job.inputs().steps(state.step, world):
        if job.rearrange is not None and job.rearrange(step):
            stepper.restart()
            if averaged is not None:
                averaged.n_averaged.zero_()  # the next update copies the weights
        with job.compute.training():
            loss = stepper.step(
                partial(job.loss, model, job.compute.place(x_NCHW), labels_N, step),
                learning_rate(recipe, step, per_epoch),
                derive(job.seed, job.name, "step", step, world.rank),
            )
        if averaged is not None:
            averaged.update_parameters(model)
        losses.add(loss, step)
        state.step = step + 1
        history.images += len(labels_N) * world.size
        monitor.advance(state.step, loss=losses.latest)
        if patience is not None and state.step % per_epoch == 0:
            judged = model if averaged is None else averaged.module
            if patience.hear(_held_out_accuracy(judged, job, world), judged):
                break
        if state.step == total or (world.size > 1 and state.step % AGREEMENT_STEPS):
            continue  # after the last step the caller keeps the result, and the next stage hears of a stop
        now = time.monotonic()
        stop, due = any_rank((monitor.stopping, now - saved > checkpoint_seconds), world)
        if checkpoints is not None and (stop or due):
            pending = losses.pending(step)
            average_buffers(model, world)
            if averaged is not None:
                average_buffers(averaged.module, world)
            if world.main:
                history.seconds += now - began
                state.save(checkpoints, history, pending)
            saved = began = time.monotonic()
        if stop:
            raise InterruptedRun("stopped at a safe point")
    history.seconds += time.monotonic() - began
    if averaged is not None:
        model.load_state_dict(averaged.module.state_dict())
    if patience is not None:
        model.load_state_dict(patience.weights)
    average_buffers(model, world)
    monitor.finish()
    return history


def _check_shares(job: Job, world: World) -> None:
    images = min(job.recipe.batch_size, len(job.split))
    if images % world.size:
        raise ConfigError(
            f"a batch of {images} images cannot be shared evenly by {world.size} processes; choose a batch_size that "
            "is a multiple of their number"
        )


def _averaged(model: nn.Module, decay: float) -> AveragedModel:
    rule = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=rule, use_buffers=True)


def _held_out_accuracy(model: nn.Module, job: Job, world: World) -> float:
    """The same number on all ranks, so that they stop together."""
    assert job.held_out is not None
    average_buffers(model, world)
    found = torch.tensor(accuracy(model, job.held_out, job.data, job.compute), dtype=torch.float64)
    average([found], world)
    return float(found)


class _Losses:
    """Mean loss per epoch, read from the device only when a person looks or an epoch ends."""

    def __init__(self, job: Job, step: int, history: History, world: World) -> None:
        self.per_epoch = job.steps_per_epoch()
        self.history = history
        self.world = world
        done = len(history.loss)
        self.values: list[float] = history.loss[step // self.per_epoch :]
        del history.loss[step // self.per_epoch : done]
        self.latest = self.values[-1] if self.values else float("nan")
        self.window: list[Tensor] = []

    def add(self, loss: Tensor, step: int) -> None:
        self.window.append(loss.detach())
        last = (step + 1) % self.per_epoch == 0
        if last or len(self.window) >= 10 or math.isnan(self.latest):
            self._read(step)
        if last:
            self.history.loss.append(sum(self.values) / len(self.values))
            self.values = []

    def _read(self, step: int) -> None:
        window = torch.stack(self.window).float()
        average([window], self.world)
        values = window.tolist()
        self.window = []
        for at, value in enumerate(values, start=step - len(values) + 1):
            if not math.isfinite(value):
                raise DivergedError(
                    f"the training loss became {value} at step {at}; lower the learning rate, set clip, or use "
                    "compute.precision=fp32"
                )
        self.values += values
        self.latest = values[-1]

    def pending(self, step: int) -> list[float]:
        """The unfinished epoch's losses up to and with `step`."""
        if self.window:
            self._read(step)
        return self.values


class _State:
    """Everything a resumed loop needs, as tensors and JSON."""

    def __init__(self, job: Job, stepper: Stepper, averaged: AveragedModel | None, patience: Patience | None) -> None:
        self.job, self.engine, self.scaler, self.averaged = job, stepper.engine, stepper.scaler, averaged
        self.patience = patience
        self.step = 0

    def save(self, checkpoints: Checkpoints, history: History, pending: list[float]) -> None:
        tensors, rest = pack(self.job.model, self.engine)
        tensors = {f"optimizer:{name}": value for name, value in tensors.items()}
        tensors |= {f"model:{name}": value for name, value in self.job.model.state_dict().items()}
        if self.averaged is not None:
            tensors |= {f"averaged:{name}": value for name, value in self.averaged.state_dict().items()}
        waiting = {}
        if self.patience is not None:
            tensors |= {f"best:{name}": value for name, value in self.patience.weights.items()}
            waiting = {"patience": self.patience.state()}
        checkpoints.save_checkpoint(
            self.job.name,
            tensors,
            {
                "step": self.step,
                "optimizer": rest,
                "gradients": [name for name, p in self.job.model.named_parameters() if p.grad is not None],
                "scaler": self.scaler.state_dict(),
                "loss": history.loss + pending,
                "images": history.images,
                "seconds": history.seconds,
            }
            | waiting,
        )

    def load(self, checkpoints: Checkpoints | None) -> History:
        found = checkpoints.load_checkpoint(self.job.name) if checkpoints is not None else None
        if found is None:
            return History()
        tensors, state = found
        parts: dict[str, dict[str, Tensor]] = {"optimizer": {}, "model": {}, "averaged": {}, "best": {}}
        for label, value in tensors.items():
            part, _, name = label.partition(":")
            parts[part][name] = value
        self.job.model.load_state_dict(parts["model"])
        unpack(self.job.model, self.engine, parts["optimizer"], state["optimizer"])
        if self.averaged is not None:
            self.averaged.load_state_dict(parts["averaged"])
        if self.patience is not None:
            self.patience.restore(state["patience"], parts["best"], self.job.model.state_dict())
        # With `zeros`, operations sampled before the stop keep a zero gradient, hence weight decay and momentum.
        for name in state["gradients"]:
            parameter = self.job.model.get_parameter(name)
            parameter.grad = torch.zeros_like(parameter)
        self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]
        return History(loss=state["loss"], images=state["images"], seconds=state["seconds"])
