"""The number of CPU threads of a run, chosen once before its first step and kept in its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from lowland.core.config import Config
from lowland.core.device import Compute, resolve
from lowland.core.seeds import derive
from lowland.core.threads import fastest, time_threads
from lowland.data import DataSet, order
from lowland.training import supernet as supernet_training
from lowland.training.parallel import World
from lowland.training.step import Stepper
from lowland.workflow.session import Session


def choose_threads(session: Session) -> Mapping[int, float]:
    """Set `compute.threads` of a new run on a CPU to the number with which its training steps are fastest.

    Sums are taken in another order with another number of threads. So the number is written into the run's settings
    before its first step, and a resumed run goes on with it. A run that has begun without a number keeps all threads
    that it may use. Where one thread is all there is, nothing is timed.

    Returns:
        Seconds that a training step takes, by number of threads; empty where nothing was timed.
    """
    run, config = session.run, session.run.config
    times: Mapping[int, float] = {}
    if config.compute.threads is not None or run.manifest["stages"]:
        return times
    compute = resolve(config.compute)
    if compute.device.type != "cpu":
        return times
    chosen = compute.threads
    if chosen > 1:
        times = time_threads(training_step(config, session.data, compute), chosen)
        chosen = fastest(times)
    threads = config.compute.model_copy(update={"threads": chosen})
    run.reconfigure(config.model_copy(update={"compute": threads}), None)
    session.compute = resolve(run.config.compute)
    return times


def rates(times: Mapping[int, float], chosen: int) -> str:
    """What was timed, and the number that was chosen, in one line."""
    each = ", ".join(f"{1 / seconds:.3g} step/s with {count}" for count, seconds in times.items())
    return f"compute.threads={chosen}: {each}"


def training_step(config: Config, data: DataSet, compute: Compute) -> Callable[[int], object]:
    """(step) → that step of the supernet's training, on a throw-away supernet and always on the same batch."""
    supernet = compute.prepare(supernet_training.initial(config, data)).train()
    job = supernet_training.job(config, data, supernet, compute)
    stepper = Stepper(job.model, job.recipe, compute, World())
    chosen = order(len(job.split), seed=config.seed, keys=(job.name, "order", 0))[: job.recipe.batch_size]
    x_NCHW = compute.place(data.normalise(job.split.images(chosen)))
    labels_N = job.split.labels_N[chosen.to(job.split.labels_N.device)]

    def step(number: int) -> object:
        loss = partial(job.loss, job.model, x_NCHW, labels_N, number % job.total_steps())
        return stepper.step(loss, 0.0, derive(config.seed, job.name, "step", number))

    return step
