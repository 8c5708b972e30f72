"""The main job on one page: data → supernet → search → train → evaluate → report, each stage once, in order."""

from __future__ import annotations

import datetime
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lowland.core.config import Config
from lowland.core.device import environment, resolve
from lowland.core.errors import ConfigError, InterruptedRun, LowlandWarning
from lowland.core.memory import ShortageTold
from lowland.core.monitor import Monitor, Start
from lowland.core.torch_settings import settings_kept
from lowland.data import Arrays, DataSet, describe, save_arrays
from lowland.store.manifest import MANIFEST
from lowland.store.run import DATA, Run
from lowland.training.parallel import World, any_rank, barrier, join, restarted
from lowland.workflow import beginning, plugins
from lowland.workflow.budget import within
from lowland.workflow.changes import reconfigure, with_absolute_paths
from lowland.workflow.checks import check
from lowland.workflow.logged import Deaf, Logged
from lowland.workflow.plan import Plan, plan
from lowland.workflow.presets import complete, differences
from lowland.workflow.recorded import Recorded
from lowland.workflow.result import RunResult, run_result
from lowland.workflow.session import Session
from lowland.workflow.stages.table import STAGES, Stage
from lowland.workflow.threads import choose_threads, rates, with_threads
from lowland.workflow.timing import Costs, costs

Prepared = tuple[Config, Costs | None, Mapping[int, float]]
"""What `prepared` gives."""


@settings_kept()
def run(
    config: Config,
    path: Path | str | None = None,
    *,
    monitor: Monitor | None = None,
    last: str = "report",
    arrays: Arrays | None = None,
    ready: Prepared | None = None,
) -> RunResult:
    """Start a run and carry it to stage `last`.

    Args:
        config: All settings.
        path: Run directory to make; None: a dated one in `runs/`.
        monitor: Hears how it goes.
        last: supernet, search, train, evaluate or report.
        arrays: The data, where it was given in memory; the run directory then keeps it as data.npz.
        ready: What `prepared` gave for these settings and this stage, where the caller has asked it already; None: it
            is asked now.

    Returns:
        What the run has made so far, and where.

    Raises:
        ConfigError: a setting is wrong or does not go with another, or `path` is not given under torchrun.
        LowlandError: a setting, the data or the machine does not allow it; no run directory is then left behind.
        InterruptedRun: the monitor asked for a stop; `resume` continues.
    """
    world = join()
    logged = _logged(monitor, world)
    with logged.listening():
        if path is None and world.size > 1:
            raise ConfigError("under torchrun every process must be told the run directory: add --out")
        folder = Path(path) if path is not None else None
        if arrays is not None:
            folder = folder or new_run_folder(config, "data")
            config = config.model_copy(update={"data": config.data.model_copy(update={"name": str(folder / DATA)})})
        data = check(config, arrays)
        begun_with = beginning.lines(config, data)
        config, piece, times = ready or prepared(config, data, last, world)
        folder = folder or new_run_folder(config, data.name)
        for line in (describe(data), *begun_with):
            logged.say(line)
        if restarted() and any_rank([world.main and _begun(folder, config)], world)[0]:
            return _continued(folder, logged, last=last, data=data)
        if world.main:
            kept = None if arrays is None else partial(save_arrays, arrays)
            Run.create(folder, with_absolute_paths(complete(config)), kept).close()
        barrier(world)
        return _continued(folder, logged, last=last, data=data, new=True, piece=piece, times=times)


@settings_kept()
def preview(config: Config, *, last: str = "report") -> tuple[tuple[str, ...], Config]:
    """What `run` would do, without a trace: all settings are checked and the data is read, nothing is written.

    Returns:
        The lines that `run` begins with, of what was found and what is planned; and the complete settings.

    Raises:
        ConfigError: a setting is wrong, or data would have to be downloaded.
        LowlandError: what else `run` would raise before its first step.
    """
    if config.data.download:
        raise ConfigError("a dry run writes nothing, so that it cannot download data; leave data.download out")
    data = check(config)
    begun_with = beginning.lines(config, data)
    if config.budget is None:
        piece = None  # nothing is timed
    else:
        config, piece, _ = prepared(config, data, last, World())
    planned = plan(config, data, resolve(config.compute), last, piece)
    _warn(planned)
    return (describe(data), *begun_with, str(planned)), with_absolute_paths(complete(config))


@settings_kept()
def resume(
    path: Path | str,
    *,
    monitor: Monitor | None = None,
    last: str = "report",
    restart: str | None = None,
    changes: Sequence[dict[str, Any]] = (),
    data: DataSet | None = None,
) -> RunResult:
    """Continue the run at `path` to stage `last`; stages already done are not done again.

    A run that had been evaluated is evaluated and reported again after new training, whatever `last` is from `train`
    on.

    Args:
        path: Run directory.
        monitor: Hears how it goes.
        last: supernet, search, train, evaluate or report.
        restart: Do this stage and all later ones again.
        changes: New settings; the stages they decide are done again.
        data: The data set, where the caller has loaded it already.

    Returns:
        What the run has made so far, and where.

    Raises:
        LowlandError: a change or the machine does not allow it; a refused change leaves the run as it was.
        InterruptedRun: the monitor asked for a stop; `resume` continues.
    """
    logged = _logged(monitor, join())
    with logged.listening():
        return _continued(path, logged, last=last, restart=restart, changes=changes, data=data)


def _begun(folder: Path, config: Config) -> bool:
    """Whether a run of these settings is in the folder: that of a job which torchrun has started anew."""
    if not (folder / MANIFEST).is_file():
        return False
    with Run.open(folder, read_only=True) as opened:
        threads = {"threads": opened.config.compute.threads}  # as were fastest when it began
        asked = with_absolute_paths(complete(config))
        return opened.config == asked.model_copy(update={"compute": asked.compute.model_copy(update=threads)})


def _logged(monitor: Monitor | None, world: World) -> Logged:
    """What hears of a run: of several processes the first alone tells anybody."""
    monitor = monitor or Monitor()
    return Logged(monitor if world.main else Deaf(monitor))


def _continued(
    path: Path | str,
    monitor: Logged,
    *,
    last: str,
    restart: str | None = None,
    changes: Sequence[dict[str, Any]] = (),
    data: DataSet | None = None,
    new: bool = False,
    piece: Costs | None = None,
    times: Mapping[int, float] | None = None,
) -> RunResult:
    """See `resume`; of a `new` run the plan is said once its number of threads is known."""
    world = join()
    with Run.open(path, read_only=not world.main) as opened:
        plugins.require(opened)
        if last == "train" and opened.stage_done("evaluate"):
            last = "report"
        barrier(world)  # every rank has now read the same manifest
        if world.main:
            data = reconfigure(opened, changes, restart) or data
        barrier(world)
        asked = tuple(STAGES)[: list(STAGES).index(last) + 1]
        session = Session(opened, monitor, world, asked, given=data)
        if world.main:
            monitor.keep(opened.path)
            times = times or choose_threads(session)
            planned = _say_plan(session, last, piece) if new else ""
            if times:
                monitor.note(rates(times, session.compute.threads))
            monitor.begin(_start(session, asked, planned, new=new))
        try:
            for stage in asked:
                run_stage(session, STAGES[stage], monitor)
        except InterruptedRun as stop:
            raise InterruptedRun(f"{stop}; continue with `lowland resume {path}`") from stop
        if world.main:
            _warn_of_damage(opened)
        result = run_result(opened)
        monitor.end(result)
        return result


def prepared(config: Config, data: DataSet, last: str, world: World) -> Prepared:
    """What a new run leaves to this machine: the number of threads, and with a budget the length of its trainings.

    Returns:
        The settings with both; what single pieces of work take, None where nothing was left to be known; and seconds of
        a training step by number of threads, empty where none were tried.

    Raises:
        ConfigError: there is a budget, under torchrun.
        BudgetError: even the shortest trainings take longer.
    """
    if world.size > 1:
        if config.budget is not None:
            raise ConfigError("budget is measured on one process; under torchrun set the epochs instead")
        return config, None, {}
    if config.budget is None and config.compute.threads is not None:
        return config, None, {}
    config, times = with_threads(config, data)
    piece = costs(config, data, resolve(config.compute))
    return within(config, data, piece, last), piece, times


def _say_plan(session: Session, last: str, piece: Costs | None) -> str:
    planned = plan(session.config, session.data, session.compute, last, piece, world_size=session.world.size)
    session.run.keep_plan(planned.seconds)
    session.monitor.say(str(planned))
    _warn(planned)
    return str(planned)


def _start(session: Session, asked: Sequence[str], planned: str, *, new: bool) -> Start:
    """What the run says of itself; the place of computation only where something is computed."""
    run, config = session.run, session.config
    todo = tuple(stage for stage in asked if not run.stage_done(stage))
    computes = bool({*todo} - {"report"})
    return Start(
        path=run.path,
        created=run.manifest["created"],
        config=config,
        resumed=not new,
        stages=todo,
        done=tuple(stage for stage in STAGES if run.stage_done(stage)),
        plan=planned,
        facts=environment(session.compute if computes else None),
        changed=differences(config),
    )


def _warn(planned: Plan) -> None:
    for sentence in planned.doubts:
        warnings.warn(sentence, LowlandWarning, stacklevel=2)


def _warn_of_damage(run: Run) -> None:
    """Say which files of finished stages are not what was written.

    This comes last: a stage that needs one of them has refused to begin by then, and its error is all that is said.
    """
    finished = {file for name in STAGES if run.stage_done(name) for file in run.manifest["stages"][name]["files"]}
    damaged = [file for file in run.verify() if file in finished]
    if damaged:
        others = f" and {len(damaged) - 1} other files of it are" if damaged[1:] else " is"
        warnings.warn(
            f"{run.path / damaged[0]}{others} damaged or missing, though the stage is finished; put back a good "
            f"copy, or resume with --restart of the stage that made it",
            LowlandWarning,
            stacklevel=2,
        )


def run_stage(session: Session, stage: Stage, monitor: Monitor) -> None:
    """Do one stage unless it is done; under torchrun on the ranks that the table names."""
    world = session.world
    barrier(world)
    if not world.main:
        session.run = Run.open(session.run.path, read_only=True)
    barrier(world)  # every rank has now read the same manifest
    if session.run.stage_done(stage.name):
        return
    if stage.ranks == "all":
        session.run.require_processes(stage.name, world.size)  # on every rank, so that none waits for another
    barrier(world)
    if world.main:
        session.run.start_stage(stage.name, world.size if stage.ranks == "all" else 1)
        session.monitor = Recorded(session.run, monitor, stage.name)
        monitor.enter(stage.name)
    if world.main or stage.ranks == "all":
        with ShortageTold(f"in stage {stage.name} of {session.run.path}"):
            stage.run(session)
    if world.main and session.run.stage_done(stage.name):
        monitor.leave(stage.name, session.run.manifest["stages"][stage.name]["seconds"])


def new_run_folder(config: Config, data: str) -> Path:
    """A dated run directory in `runs/` that does not exist yet."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{data}-{config.space}-{stamp}")
    return Path("runs") / (name if not (Path("runs") / name).exists() else f"{name}-{os.getpid()}")
