"""The main job on one page: data → supernet → search → train → evaluate → report, each stage once, in order."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lowland import measures as measuring
from lowland import spaces
from lowland.core.config import Config, build
from lowland.core.device import resolve
from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.monitor import Monitor
from lowland.core.seeds import numpy_rng
from lowland.core.settings import merge
from lowland.core.torch_settings import settings_kept
from lowland.data import DataSet, catalogue, load
from lowland.measures.combined import combination, parts_of
from lowland.measures.measure import Measure
from lowland.measures.subnet import SubnetMeasure
from lowland.store.run import ARCHIVE, STAGES, Run
from lowland.training import network as network_training
from lowland.training import paths as supernet_paths
from lowland.training import supernet as supernet_training
from lowland.training.parallel import barrier, join
from lowland.workflow import finalists
from lowland.workflow.presets import recipe
from lowland.workflow.session import Recorded, Session, check_limits, network_shape
from lowland.workflow.stages import STAGE, corrupted_images, corruption_names, network_folder, objectives_of
from lowland.workflow.threads import choose_threads

AFFECTS = {
    "measure": "search",
    "finetune": "search",
    "search": "search",
    "network": "search",
    "retrain": "train",
    "evaluate": "evaluate",
}
"""The first stage that a section of the settings decides; the sections left out decide the supernet."""


@dataclass(frozen=True)
class RunResult:
    """Where a run stands when control comes back.

    Attributes:
        path: The run directory.
        stages: Names of the stages that are done.
        networks: One row per delivered network, best first.
        report: report.html, once written.
        network: Folder of the delivered network, once trained.
    """

    path: Path
    stages: tuple[str, ...]
    networks: list[dict[str, Any]] = field(default_factory=list)
    report: Path | None = None
    network: Path | None = None


@settings_kept()
def run(
    config: Config, path: Path | str | None = None, *, monitor: Monitor | None = None, last: str = "report"
) -> RunResult:
    """Start a run and carry it to stage `last`.

    Args:
        config: All settings.
        path: Run directory to make; None: a dated one in `runs/`.
        monitor: Hears how it goes.
        last: supernet, search, train, evaluate or report.

    Raises:
        LowlandError: a setting, the data or the machine does not allow it; no run directory is then left behind.
        InterruptedRun: the monitor asked for a stop; `resume` continues.
    """
    world = join()
    if path is None and world.size > 1:
        raise ConfigError("under torchrun every process must be told the run directory: add --out")
    data = check(config)
    folder = Path(path) if path is not None else new_run_folder(config, data)
    if world.main:
        Run.create(folder, with_absolute_paths(config)).close()
    barrier(world)
    return resume(folder, monitor=monitor, last=last, data=data)


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

    Raises:
        LowlandError: a change or the machine does not allow it; a refused change leaves the run as it was.
        InterruptedRun: the monitor asked for a stop; `resume` continues.
    """
    world = join()
    with Run.open(path, read_only=not world.main) as opened:
        if last == "train" and opened.stage_done("evaluate"):
            last = "report"
        barrier(world)  # every rank has now read the same manifest
        if world.main:
            data = reconfigure(opened, changes, restart) or data
        barrier(world)
        session = Session(opened, monitor or Monitor(), world, given=data)
        if world.main:
            choose_threads(session)
        try:
            for stage in STAGES[: STAGES.index(last) + 1]:
                run_stage(session, stage, monitor or Monitor())
        except InterruptedRun as stop:
            raise InterruptedRun(f"{stop}; continue with `lowland resume {path}`") from stop
        return run_result(opened)


@settings_kept()
def report(path: Path | str) -> Path:
    """Write report.html from whatever stages of the run at `path` are done."""
    with Run.open(path) as opened:
        if opened.stage_done("report"):
            opened.reset_stage("report")
        session = Session(opened, Monitor())
        if opened.stage_done("evaluate"):
            run_stage(session, "report", Monitor())
        else:
            STAGE["report"](session)
    return Path(path) / "report.html"


def run_stage(session: Session, stage: str, monitor: Monitor) -> None:
    """Do one stage unless it is done. Under torchrun all ranks train; the first alone searches, judges and reports."""
    world = session.world
    barrier(world)
    if not world.main:
        session.run = Run.open(session.run.path, read_only=True)
    barrier(world)  # every rank has now read the same manifest
    if session.run.stage_done(stage):
        return
    if world.main:
        session.run.start_stage(stage)
        session.monitor = Recorded(session.run, monitor, stage)
    if world.main or stage in ("supernet", "train"):
        STAGE[stage](session)


def check(config: Config) -> DataSet:
    """Everything that can be wrong before the first step, found before anything is written; gives the data set."""
    space = spaces.get(config.space)
    supernet_paths.check(space, config)
    check_measures(config)
    corruption_names(config.evaluate.corruptions)
    compute = resolve(config.compute)
    data = load(config.data, seed=config.seed, device=compute.device)
    corrupted_images(config, data)
    space.check(supernet_training.shape(config, data))
    check_limits(config, data)
    genotype = space.sample(numpy_rng(config.seed))
    with torch.device("meta"):  # what the recipe asks of the network, such as an auxiliary head, without its weights
        network_training.build(genotype, network_shape(config, data, genotype), config.retrain, config.seed)
    network_training.check_inheritance(
        config.retrain,
        config.network.channels,
        network_shape(config, data, genotype),
        supernet_training.shape(config, data),
    )
    return data


def check_measures(config: Config) -> None:
    """Raise ConfigError for a measure or an objective that does not exist or cannot judge these candidates."""
    objectives = objectives_of(config)
    asked = config.measure if objectives is None else objectives.measure
    parts = parts_of(measuring.get(asked))
    if config.search.racing is not None:
        check_racing(config, any(isinstance(part, SubnetMeasure) for part in parts))
    check_angle(config, asked.name, parts)
    if config.search.shortlist:
        second = finalists.shortlist_measure(config)
        check_angle(config, second.name, parts_of(measuring.get(second)))


def check_angle(config: Config, name: str, parts: Sequence[Measure]) -> None:
    """Raise ConfigError where `parts` of the measure `name` hold an angle that these candidates do not have.

    It compares each weight of the supernet with its own initial value.
    """
    if not any(part.name == "angle" for part in parts):
        return
    if config.finetune.epochs:
        raise ConfigError(
            f"measure {name!r}: the angle does not exist for fine-tuned candidates; choose another measure, or "
            "set finetune.epochs=0"
        )
    if config.supernet.shrinking:
        raise ConfigError(
            f"measure {name!r}: the angle means nothing where supernet.shrinking sorts the channels; choose "
            "another measure or leave supernet.shrinking out"
        )


def check_racing(config: Config, looks: bool) -> None:
    """Raise ConfigError where `search.racing` could save nothing; `looks`: whether a part of the measure does."""
    if not looks:
        raise ConfigError(
            f"search.racing={config.search.racing:g} needs a measure that looks at images, such as flatness, but "
            f"measure.name={config.measure.name!r} does not; leave search.racing out"
        )
    if combination(config.measure) != "sum":
        raise ConfigError(
            f"search.racing={config.search.racing:g} compares values, but measure.combine={config.measure.combine} "
            "orders by ranks; set measure.combine=sum or leave search.racing out"
        )
    if config.finetune.epochs:
        raise ConfigError(
            f"search.racing={config.search.racing:g} would fine-tune every candidate for its first look already; set "
            "finetune.epochs=0 or leave search.racing out"
        )


def with_absolute_paths(config: Config) -> Config:
    """The settings with absolute data paths, so that a run can be resumed from any current folder."""
    data = config.data
    name = data.name
    if name not in {entry.name for entry in catalogue()}:
        name = str(Path(name).expanduser().absolute())
    root = data.root.expanduser().absolute() if data.root is not None else None
    corrupted = config.evaluate.corrupted
    corrupted = corrupted.expanduser().absolute() if corrupted is not None else None
    parts = {
        "data": data.model_copy(update={"name": name, "root": root}),
        "evaluate": config.evaluate.model_copy(update={"corrupted": corrupted}),
    }
    return config.model_copy(update=parts)


def reconfigure(opened: Run, changes: Sequence[dict[str, Any]], restart: str | None) -> DataSet | None:
    """Write changed settings into a run, and clear the stages they or `restart` ask to be done again.

    New settings are checked first, as those of a new run are; the data set loaded for that is returned.
    """
    if restart is not None and restart not in STAGES:
        raise ConfigError(f"unknown stage {restart!r}; the stages are {', '.join(STAGES)}")
    old = opened.config.model_dump(mode="json")
    new = old
    for change in changes:
        retrain = change.get("retrain")
        named = {"retrain": recipe(retrain["recipe"])} if isinstance(retrain, dict) and "recipe" in retrain else {}
        new = merge(merge(new, named), change)
    config = with_absolute_paths(build(new))
    new = config.model_dump(mode="json")
    affected = [section for section, value in new.items() if deciding(value) != deciding(old[section])]
    fixed = [section for section in affected if section not in AFFECTS]
    if fixed:
        raise ConfigError(
            f"{fixed[0]} cannot be changed in {opened.path}, whose supernet depends on it; start a new run with "
            "another --out"
        )
    again = [AFFECTS[section] for section in affected] + ([restart] if restart else [])
    if config.search.finalists and finalists.recipe(config) != finalists.recipe(opened.config):
        again.append("search")  # finalists are trained as the winner is
    first = min(again, key=STAGES.index) if again else None
    if not affected:
        if new != old:
            opened.reconfigure(config, first)
        elif first is not None:
            opened.reset_stage(first)
        return None
    data = check(config)
    keep: list[str] = []
    if first == "search" and restart is None:
        keep = [ARCHIVE]  # its scores carry the settings they were made with; those that still hold are found again
    elif first == "train" and restart is None and new["retrain"] == old["retrain"] | {"top": config.retrain.top}:
        keep = [network_folder(rank) for rank in range(1, config.retrain.top + 1)]
    opened.reconfigure(config, first, keep=keep)
    return data


def deciding(section: Any) -> Any:
    """A section of the settings without what changes results not at all, or by no more than rounding."""
    if not isinstance(section, dict):
        return section
    return {key: value for key, value in section.items() if key not in ("workers", "threads")}


def new_run_folder(config: Config, data: DataSet) -> Path:
    """A dated run directory in `runs/` that does not exist yet."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{data.name}-{config.space}-{stamp}")
    return Path("runs") / (name if not (Path("runs") / name).exists() else f"{name}-{os.getpid()}")


def run_result(opened: Run) -> RunResult:
    """What a finished or unfinished run has to show."""
    done = tuple(stage for stage in STAGES if opened.stage_done(stage))
    rows: list[dict[str, Any]] = []
    if "search" in done:
        ranking = opened.read_json("search.json")["ranking"][: opened.config.retrain.top]
        judged = opened.read_json("evaluation.json")["networks"] if "evaluate" in done else {}
        for rank, entry in enumerate(ranking, start=1):
            test, shift = judged.get(str(rank), {}).get("test", {}), judged.get(str(rank), {}).get("shift", {})
            rows.append(
                {
                    "rank": rank,
                    "genotype": entry["genotype"],
                    "genes": entry["genes"],
                    "parameters": entry["parameters"],
                    "macs": entry["macs"],
                    "score": entry["value"],
                    "score_error": entry["standard_error"],
                    "top1": test.get("top1"),
                    "top1_error": test.get("top1_standard_error"),
                    "shift": shift.get("mean"),
                    "shift_error": shift.get("standard_error"),
                }
            )
    return RunResult(
        path=opened.path,
        stages=done,
        networks=rows,
        report=opened.path / "report.html" if "report" in done else None,
        network=opened.path / network_folder(1) if "train" in done else None,
    )
