"""What an epoch of a gradient search takes: a few of its steps on throw-away weights, for a plan and a budget."""

from __future__ import annotations

import time
from functools import partial

from lowland.core.config import Config
from lowland.core.device import Compute
from lowland.core.seeds import derive
from lowland.data import DataSet
from lowland.search.gradient.alternation import Alternation
from lowland.training.loop import Job
from lowland.training.parallel import World
from lowland.training.step import Stepper
from lowland.workflow.searchers.searcher import Timer


class TrialGround:
    """What a trial stands on, in place of a run's session.

    Args:
        config: Settings of the run.
        data: The images.
        compute: Where the arithmetic runs.
    """

    def __init__(self, config: Config, data: DataSet, compute: Compute) -> None:
        self.config, self.data, self.compute = config, data, compute


def epoch_seconds(job: Job, timed: Timer) -> float:
    """Seconds of a mean epoch: its steps, in the warm-up and behind it in their shares, and what an epoch ends with.

    Args:
        job: A training whose companion is an `Alternation`; its weights are spoilt.
        timed: Times a piece of work.

    Returns:
        Seconds, the images' augmentation included.
    """
    found = job.companion
    assert isinstance(found, Alternation)
    per_epoch, epochs = found.setting.steps_per_epoch, found.setting.epochs
    warmup = min(found.method.options.warmup_epochs, epochs - 1)
    stepper = Stepper(job.model.train(), job.recipe, job.compute, World())
    inputs, compute = job.inputs(), job.compute

    def step(first: int, number: int) -> None:
        place = first + number % max(1, per_epoch - 1)  # never the last one of an epoch, which notes the genotype
        x_NCHW, labels_N = inputs.batch(place)
        x_NCHW, labels_N = compute.place(x_NCHW), labels_N.to(compute.device)
        with compute.training():
            found.before(place, x_NCHW, labels_N, stepper, job.learning_rate(place))
            loss = partial(job.loss, job.model, x_NCHW, labels_N, place)
            stepper.step(loss, job.learning_rate(place), derive(job.seed, job.name, "step", place))
        if per_epoch > 1:
            found.after(place)

    searching = timed(partial(step, warmup * per_epoch))
    warming = timed(partial(step, 0)) if warmup else 0.0
    began = time.perf_counter()
    found.after((warmup + 1) * per_epoch - 1)
    ending = time.perf_counter() - began
    share = warmup / epochs
    return per_epoch * (share * warming + (1 - share) * searching) + (1 - share) * ending
