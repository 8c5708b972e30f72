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
from lowland.core.errors import ConfigError, InterruptedRun, NotFiniteError
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


class Companion(Protocol):
    """What is learnt beside a model's weights in the same training, such as architecture parameters."""

    def before(self, step: int, x_NCHW: Tensor, labels: Tensor, stepper: Stepper, learning_rate: float) -> None:
        """Called in front of the step that learns the weights from this batch at this rate."""

    def after(self, step: int) -> bool:
        """Called behind it; whether training is to end here, by what it saw alone."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All it would need to go on, as tensors and JSON."""

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Go on from there."""


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
        rate: Step → learning rate, where it is another training's, of which this is the beginning; default: the
            recipe's.
        companion: What is learnt beside the weights; kept in the same checkpoints.
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
    rate: Callable[[int], float] | None = None
    companion: Companion | None = None

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

    def learning_rate(self, step: int) -> float:
        """Of one step."""
        return self.rate(step) if self.rate is not None else learning_rate(self.recipe, step, self.steps_per_epoch())


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


class DivergedError(NotFiniteError):
    """The loss of a training is no longer a finite number."""


def fit(
    job: Job,
    *,
    checkpoints: Checkpoints | None = None,
    checkpoint_seconds: float = 30.0,
    monitor: Monitor | None = None,
    world: World = World(),
    until: int | None = None,
) -> History:
    """Train `job.model` in place from its last checkpoint, if any, to the end, or for a part of the way.

    Args:
        job: What to train.
        checkpoints: Where the state is kept; None: nowhere.
        checkpoint_seconds: Time between two checkpoints.
        monitor: Hears how it goes, and asks for a stop.
        world: The processes that share the work.
        until: Stop before this step with a checkpoint, from which another call goes on to the same end. The model then
            has the weights of that step, not averaged ones.

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
    averaged = averaged_model(model, job.ema) if job.ema else None
    patience = Patience(job.patience) if job.patience and job.held_out is not None else None
    state = _State(job, stepper, averaged, patience)
    history = state.load(checkpoints)
    per_epoch, total = job.steps_per_epoch(), job.total_steps()
    end = total if until is None else min(until, total)
    if end < total and state.step >= end:
        return history
    monitor.start(job.title, end, STEP, state.step)
    losses = _Losses(job, state.step, history, world)
    model.train()
    saved = began = time.monotonic()
    for step, x_NCHW, labels_N in job.inputs().steps(state.step, world):
        if job.rearrange is not None and job.rearrange(step):
            stepper.restart()
            if averaged is not None:
                averaged.n_averaged.zero_()  # the next update copies the weights
        x_NCHW, rate = job.compute.place(x_NCHW), job.learning_rate(step)
        with job.compute.training():
            if job.companion is not None:
                job.companion.before(step, x_NCHW, labels_N, stepper, rate)
            loss = stepper.step(
                partial(job.loss, model, x_NCHW, labels_N, step),
                rate,
                derive(job.seed, job.name, "step", step, world.rank),
            )
        if averaged is not None:
            averaged.update_parameters(model)
        losses.add(loss, step)
        state.step = step + 1
        history.images += len(labels_N) * world.size
        monitor.advance(state.step, loss=losses.latest, learning_rate=rate)
        if job.companion is not None and job.companion.after(step):
            break
        if patience is not None and state.step % per_epoch == 0:
            judged = model if averaged is None else averaged.module
            if patience.hear(_held_out_accuracy(judged, job, world), judged):
                break
        part = state.step == end < total
        if state.step == total or (world.size > 1 and state.step % AGREEMENT_STEPS and not part):
            continue  # after the last step the caller keeps the result, and the next stage hears of a stop
        now = time.monotonic()
        stop, due = any_rank((monitor.stopping, now - saved > checkpoint_seconds), world)
        if checkpoints is not None and (stop or due or part):
            pending = losses.pending(step)
            average_buffers(model, world)
            if averaged is not None:
                average_buffers(averaged.module, world)
            if world.main:
                history.seconds += now - began
                state.save(checkpoints, history, pending)
            saved = began = time.monotonic()
        if part:
            monitor.finish()
            return history
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


def averaged_model(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of the model whose weights and statistics follow its own with that decay."""
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
        waiting: dict[str, Any] = {}
        if self.patience is not None:
            tensors |= {f"best:{name}": value for name, value in self.patience.weights.items()}
            waiting = {"patience": self.patience.state()}
        if self.job.companion is not None:
            beside, waiting["companion"] = self.job.companion.state()
            tensors |= {f"companion:{name}": value for name, value in beside.items()}
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
        names = ("optimizer", "model", "averaged", "best", "companion")
        parts: dict[str, dict[str, Tensor]] = {name: {} for name in names}
        for label, value in tensors.items():
            part, _, name = label.partition(":")
            parts[part][name] = value
        self.job.model.load_state_dict(parts["model"])
        unpack(self.job.model, self.engine, parts["optimizer"], state["optimizer"])
        if self.averaged is not None:
            self.averaged.load_state_dict(parts["averaged"])
        if self.patience is not None:
            self.patience.restore(state["patience"], parts["best"], self.job.model.state_dict())
        if self.job.companion is not None:
            self.job.companion.restore(parts["companion"], state["companion"])
        # With `zeros`, operations sampled before the stop keep a zero gradient, hence weight decay and momentum.
        for name in state["gradients"]:
            parameter = self.job.model.get_parameter(name)
            parameter.grad = torch.zeros_like(parameter)
        self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]
        return History(loss=state["loss"], images=state["images"], seconds=state["seconds"])
