"""Where a run's tasks are computed: which executor, how many processes, and what each of them gets.

On a CPU processes share its cores. On GPUs each has one, or a fraction (`compute.gpus_per_worker`), so that there are
as many as these make room for. Where one process is all there is (one GPU, MPS, a GPU that is named such as `cuda:1`,
torchrun) the calling process computes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lowland.core.config import Config
from lowland.core.device import Compute
from lowland.core.errors import ConfigError
from lowland.core.registry import EXECUTORS
from lowland.core.threads import available_cores
from lowland.execution import gpus as machine
from lowland.execution.executor import Executor
from lowland.execution.room import Room
from lowland.execution.sequential import Sequential
from lowland.store.run import DATA
from lowland.workflow.session import Session


def gpus(config: Config, compute: Compute) -> float:
    """GPUs of each worker: `compute.gpus_per_worker`, 0 where the run does not compute on one."""
    return config.compute.gpus_per_worker if compute.device.type == "cuda" else 0.0


def places(config: Config, compute: Compute) -> int | None:
    """How many processes there is room for on the GPUs of this machine, at least 1; None: these do not decide it."""
    if compute.device.type == "cpu":
        return None
    if compute.device.type != "cuda" or named(config):
        return 1
    return max(1, machine.places(config.compute.gpus_per_worker))


def named(config: Config) -> bool:
    """Whether the settings name one GPU, such as `cuda:1`."""
    return config.compute.device.startswith("cuda:")


def share_of_threads(config: Config, compute: Compute) -> int:
    """CPU threads of a task on an accelerator: its share among as many as there is room for, however many there are."""
    return max(1, compute.threads // (places(config, compute) or 1))


def processes(config: Config, compute: Compute, threads: int = 1, world_size: int = 1) -> int:
    """How many processes of so many CPU threads compute at a time; of a cluster, of which nothing is known, a guess.

    Args:
        config: `search.workers` are the most; by default there are as many as there is room for.
        compute: Where.
        threads: Of each; on a CPU, where a task has several, as many processes as cores allow.
        world_size: Processes of torchrun, of which the first computes alone.

    Returns:
        At least 1.
    """
    kind, most = EXECUTORS.load(config.compute.executor), places(config, compute)
    if world_size > 1 or not sys.executable or kind is Sequential:
        return 1
    if most is not None:
        wanted = config.search.workers or most
        return wanted if kind.everywhere else min(wanted, most)
    size = config.search.workers or available_cores()
    return min(size, max(1, available_cores() // threads)) if threads > 1 else size


def workers_on_gpus(config: Config, compute: Compute, world_size: int = 1) -> tuple[int, float]:
    """How many workers there will be on how many GPUs; (1, 0) where one process computes, or nothing is known of it."""
    each, count = gpus(config, compute), processes(config, compute, world_size=world_size)
    if not each or count == 1:
        return 1, 0.0
    if not EXECUTORS.load(config.compute.executor).everywhere:
        return count, float(min(count, len(machine.visible())))
    return (count, count * each) if config.search.workers is not None else (1, 0.0)


def excess(config: Config, compute: Compute) -> str | None:
    """Where more workers, or more GPUs for each, are asked for than there is room for; a cluster may have any.

    Returns:
        A sentence that says so; None: there is room.
    """
    workers, most = config.search.workers or 1, places(config, compute)
    anywhere = EXECUTORS.load(config.compute.executor).everywhere
    if most is None or anywhere or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return None
    if compute.device.type == "cuda" and not named(config):
        return machine.excess(workers, config.compute.gpus_per_worker, machine.visible())
    if workers == 1:
        return None
    how = "; for several use --device cuda, and CUDA_VISIBLE_DEVICES to choose among GPUs" if named(config) else ""
    return (
        f"search.workers={workers}: on compute.device={compute.device} one process computes; leave --workers out{how}"
    )


def require(config: Config, compute: Compute) -> None:
    """Raise ConfigError where more workers are asked for than there is room for on the GPUs of this machine."""
    fault = excess(config, compute)
    if fault is not None:
        raise ConfigError(fault)


def chosen(session: Session, threads: int = 1) -> tuple[type[Executor], Room]:
    """The executor of a run for tasks of so many CPU threads, and the room it gets.

    Where a run that asks for more workers goes on where there is less room, that is told and it has as many as fit.

    Returns:
        The executor, `Sequential` where one process is all there is; and its room.

    Raises:
        ConfigError: The executor cannot give a worker so many GPUs.
    """
    config, compute = session.config, session.compute
    kind: type[Executor] = EXECUTORS.load(config.compute.executor)
    each = gpus(config, compute)
    if kind.everywhere:
        return kind, Room(config.search.workers, each, threads)
    size = processes(config, compute, threads, session.world.size)
    fault = excess(config, compute)
    if fault is not None:
        if each > 1:
            raise ConfigError(fault)
        session.monitor.note(f"{fault}; going on with {size}")
    return (Sequential if size == 1 else kind), Room(size, each, threads)


def sends_data(session: Session, kind: type[Executor]) -> bool:
    """Whether images that are held in memory go along to workers, which else read them from where the settings say."""
    # Data that were given in memory lie in the run directory, which workers do not see.
    inside = Path(session.config.data.name).resolve() == (session.run.path / DATA).resolve()
    return kind.everywhere or inside
