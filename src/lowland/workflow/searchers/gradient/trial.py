"""What a gradient search takes: a few of its steps on throw-away weights, for a plan and a budget."""

from __future__ import annotations

import time
from functools import partial

import torch
from torch import Tensor

from lowland.core.config import Config
from lowland.core.device import Compute
from lowland.core.seeds import derive
from lowland.data import DataSet
from lowland.search.gradient.alternation import Alternation
from lowland.search.gradient.selection import Selection, candidates, rounds, wide_nodes, worth
from lowland.spaces.relaxed import Mixture, Relaxation
from lowland.training.loop import Job
from lowland.training.parallel import World
from lowland.training.step import Stepper
from lowland.workflow.searchers.searcher import Timer

TUNING_EPOCH, DECISIONS = "tuning epoch", "decisions"
"""Pieces of a search that decides round by round: a mean epoch between the rounds, and all decisions together."""


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


def selection_seconds(job: Job, timed: Timer) -> dict[str, float]:
    """Seconds of a search that decides round by round and tunes between.

    What a step of the tuning and a judging take falls with the operations that are left. Both are timed with all of
    them and with one on each edge, and lie on the line through the two in between.

    Args:
        job: The tuning, whose companion is a `Selection` that has decided nothing; its weights are spoilt.
        timed: Times a piece of work.

    Returns:
        `TUNING_EPOCH` and `DECISIONS`.
    """
    found = job.companion
    assert isinstance(found, Selection)
    relaxation, batches = found.decisions.relaxation, found.batches
    stepper = Stepper(job.model.train(), job.recipe, job.compute, World())
    inputs, compute, supernet = job.inputs(), job.compute, found.setting.supernet
    full = found.weights
    single = Mixture(_one_each(full, relaxation))

    def step(number: int) -> None:
        x_NCHW, labels_N = inputs.batch(number)
        x_NCHW, labels_N = compute.place(x_NCHW), labels_N.to(compute.device)
        with compute.training():
            loss = partial(job.loss, job.model, x_NCHW, labels_N, number)
            stepper.step(loss, job.learning_rate(number), derive(job.seed, job.name, "step", number))

    def judged(number: int) -> None:
        worth(supernet, found.weights, [batches[number % len(batches)]], compute)

    seconds: list[tuple[float, float]] = []
    for found.weights in (full, single):
        seconds.append((timed(step), timed(judged)))
    (full_step, full_judged), (single_step, single_judged) = seconds
    left, asked = _operations(relaxation)
    most, least = left[0], len(relaxation.kinds) * relaxation.edges

    def between(single: float, full: float, operations: float) -> float:
        return max(0.0, single + (full - single) * (operations - least) / (most - least))

    steps = [between(single_step, full_step, each) for each in left[1:]]
    judging = [count * between(single_judged, full_judged, each) for count, each in zip(asked, left[:-1], strict=True)]
    return {
        TUNING_EPOCH: found.setting.steps_per_epoch * sum(steps[:-1]) / max(1, len(steps) - 1),
        DECISIONS: len(batches) * sum(judging),
    }


def _one_each(full: Mixture, relaxation: Relaxation) -> Tensor:
    """Weights (K, E, O) of one operation on each edge, each operation but `none` in turn."""
    weights_KEO = torch.zeros_like(full.operations_KEO)
    others = len(relaxation.operations) - 1
    for edge in range(relaxation.edges):
        weights_KEO[:, edge, 1 + edge % others] = 1.0
    return weights_KEO


def _operations(relaxation: Relaxation) -> tuple[list[float], list[float]]:
    """Operations that are computed before each round and after the last, and mixtures judged in each round.

    Nodes come in a random order, so that a round of them is the mean one.

    Returns:
        Both, in all kinds of cells together.
    """
    kinds, edges, operations = relaxation.size
    left, asked = [float(kinds * edges * (operations - 1))], []
    entering = [len(relaxation.nodes[node]) for node in wide_nodes(relaxation)]
    for place in range(rounds(relaxation)):
        if place < edges:
            asked.append(float(kinds * len(candidates(relaxation))))
            left.append(left[-1] - kinds * (operations - 2))
        else:
            assert relaxation.kept is not None
            mean = sum(entering) / len(entering)
            asked.append(kinds * mean)
            left.append(left[-1] - kinds * (mean - relaxation.kept))
    return left, asked
