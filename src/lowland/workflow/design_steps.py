"""What a training step of the networks that a search finds takes, before it has found any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from lowland import spaces
from lowland.core.config import Config
from lowland.core.device import Compute
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.seeds import derive, numpy_rng
from lowland.core.threads import threads_of
from lowland.data import DataSet
from lowland.spaces import Shape
from lowland.training import network as network_training
from lowland.training.loop import Job, averaged_model
from lowland.training.parallel import World
from lowland.training.step import Stepper
from lowland.workflow import rungs
from lowland.workflow.network_size import network_shape
from lowland.workflow.rung_training import JUDGED_EMA
from lowland.workflow.searchers.searcher import Timer

LOOKED_AT = 60
"""Random genotypes of which the busiest is taken: about as many as the preset `quick` scores."""


def loop_step(job: Job, compute: Compute) -> Callable[[int], object]:
    """(number) → a step of that training as its loop does it: images read and augmented, weights averaged."""
    # Of the same number it is the same work, though on other images: a supernet's path is that of the number.
    job.model.train()
    stepper, inputs = Stepper(job.model, job.recipe, compute, World()), job.inputs()
    averaged = averaged_model(job.model, job.ema) if job.ema else None
    steps = inputs.steps(0, World())

    def step(number: int) -> None:
        nonlocal steps
        found = next(steps, None)
        if found is None:  # the training is shorter than the time it is watched for
            steps = inputs.steps(0, World())
            found = next(steps)
        _, x_NCHW, labels_N = found
        x_NCHW = compute.place(x_NCHW)
        with compute.training():
            loss = partial(job.loss, job.model, x_NCHW, labels_N, number % job.total_steps())
            stepper.step(loss, 0.0, derive(job.seed, job.name, "step", number))
        if averaged is not None:
            averaged.update_parameters(job.model)

    return step


def busiest(config: Config, data: DataSet, cells: int) -> Genotype:
    """Of some random genotypes the one with the most multiply-accumulates at the same width.

    What searches find is busier than a random network, and than one that is written by hand: operations that do little
    leave a network inaccurate. At an equal size in parameters it takes longer, too, in more and narrower layers.

    Returns:
        The first of those with the most.
    """
    space, rng = spaces.get(config.space), numpy_rng(config.seed, "busiest")
    found = [space.sample(rng) for _ in range(LOOKED_AT)]
    shape = network_shape(config, data, found[0], cells)

    def macs(genotype: Genotype) -> int:
        try:
            return space.cost(genotype, shape).macs
        except ConfigError:  # it cannot be built at that size
            return 0

    return max(found, key=macs)


def rung_steps(
    config: Config,
    data: DataSet,
    compute: Compute,
    typical: Genotype,
    timed: Timer,
) -> tuple[float, float]:
    """What a step of a finalist takes on the threads that it has: the mean of a typical design and the busiest.

    Args:
        config: Settings of the run.
        data: The images.
        compute: Where.
        typical: A network like those that are found.
        timed: Times a piece of work.

    Returns:
        Seconds; and how many times that of the typical design it is.
    """
    cells = rungs.usual_depth(config)

    def seconds(genotype: Genotype) -> float:
        shape: Shape = network_shape(config, data, genotype, cells)
        body = compute.prepare(network_training.build(genotype, shape, config.retrain, config.seed))
        job = network_training.job(genotype, body, config.retrain, data, compute, config.seed)
        return timed(loop_step(replace(job, ema=job.ema or JUDGED_EMA), compute))

    with threads_of(rungs.task_threads(config, compute)):
        usual, most = seconds(typical), seconds(busiest(config, data, cells))
    return (usual + most) / 2, (1 + most / usual) / 2
