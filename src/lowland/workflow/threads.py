"""The number of CPU threads of a run, chosen once before its first step and kept in its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lowland.core.config import Config
from lowland.core.device import Compute, resolve
from lowland.core.threads import fastest, time_threads
from lowland.data import DataSet
from lowland.training import network as network_training
from lowland.workflow import searchers
from lowland.workflow.design_steps import loop_step
from lowland.workflow.network_size import network_shape
from lowland.workflow.session import Session
from lowland.workflow.timing import supernet_step, typical


def choose_threads(session: Session) -> Mapping[int, float]:
    """Set `compute.threads` of a run that has not begun, as `with_threads`, and keep it.

    A run that has begun without a number keeps all threads that it may use.

    Returns:
        Seconds that a training step takes, by number of threads; empty where nothing was timed.
    """
    run, config = session.run, session.run.config
    if run.manifest["stages"]:
        return {}
    chosen, times = with_threads(config, session.data)
    if chosen is not config:
        run.reconfigure(chosen, None)
        session.compute = resolve(run.config.compute)
    return times


def with_threads(config: Config, data: DataSet) -> tuple[Config, Mapping[int, float]]:
    """Choose on a CPU the number of threads with which training steps are fastest, where the settings name none.

    Sums are taken in another order with another number of threads. So the number is written into the run's settings
    before its first step, and a resumed run goes on with it. Where one thread is all there is, nothing is timed.

    Returns:
        The settings; and seconds that a training step takes, by number of threads, empty where nothing was timed.
    """
    if config.compute.threads is not None:
        return config, {}
    compute = resolve(config.compute)
    if compute.device.type != "cpu":
        return config, {}
    chosen, times = compute.threads, dict[int, float]()
    if chosen > 1:
        times = dict(time_threads(training_step(config, data, compute), chosen))
        chosen = fastest(times)
    threads = config.compute.model_copy(update={"threads": chosen})
    return config.model_copy(update={"compute": threads}), times


def rates(times: Mapping[int, float], chosen: int) -> str:
    """What was timed, and the number that was chosen, in one line."""
    each = ", ".join(f"{1 / seconds:.3g} step/s with {count}" for count, seconds in times.items())
    return f"compute.threads={chosen}: {each}"


def training_step(config: Config, data: DataSet, compute: Compute) -> Callable[[int], object]:
    """(step) → that step of the run's first training, of a throw-away supernet or network."""
    if searchers.chosen(config.search).supernet:
        return supernet_step(config, data, compute)
    genotype = typical(config)
    body = network_training.build(genotype, network_shape(config, data, genotype), config.retrain, config.seed)
    body = compute.prepare(body).train()
    return loop_step(network_training.job(genotype, body, config.retrain, data, compute, config.seed), compute)
