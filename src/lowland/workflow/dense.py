"""`lowland detect` and `lowland segment`: a dense task on any network, in its run or in a folder of its own.

A run keeps the trainings in a folder called as the suite, and the results as those of every suite. A folder of its own
holds `settings.json` (what must not change), `seed-<s>/` (one training each, see `evaluation.dense.study`) and
`<suite>.json` (results and environment). The same command again goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from lowland._version import __version__
from lowland.core.config import ComputeConfig
from lowland.core.device import environment, resolve
from lowland.core.errors import ConfigError, InterruptedRun, RunError
from lowland.core.files import json_text
from lowland.core.monitor import Monitor
from lowland.core.options import own_settings
from lowland.core.registry import SUITES
from lowland.core.torch_settings import settings_kept
from lowland.evaluation.dense.results import DenseResults
from lowland.evaluation.dense.source import find
from lowland.evaluation.dense.suite import DenseSuite, Place
from lowland.store import inside
from lowland.store.artifacts import SuiteRecord
from lowland.store.manifest import MANIFEST
from lowland.store.run import Run
from lowland.workflow import pipeline
from lowland.workflow.out_folder import opened, settings

FORMAT = 1
"""Version of the layout of a folder of its own, and of its results."""

SEEDS = ("seed", "seeds")
"""Settings that choose trainings and change none: a folder may hold those of several choices."""


def study(
    network: str,
    suite: str,
    options: Mapping[str, Any],
    *,
    out: Path | None = None,
    compute: ComputeConfig | None = None,
    monitor: Monitor | None = None,
) -> tuple[DenseResults, Path]:
    """Train a dense task with a network as the backbone, and judge it.

    Args:
        network: Run or network folder, `published:NAME` or `timm:NAME`.
        suite: Name of the task's suite.
        options: Its settings; what is left out has its default.
        out: Folder to make, or to go on with; None: the run's own, where `network` is one.
        compute: Where the arithmetic runs; None: as in the run, or as is quickest here. It is kept by `out`.
        monitor: Hears how it goes, and asks for a stop.

    Returns:
        What was found, and the file that holds it.

    Raises:
        ConfigError: a setting is wrong, the network does not suit, or there is no place for the results.
        DataError: the data set cannot be used.
        RunError: the run has no trained network, or `out` is something else.
        InterruptedRun: the monitor asked for a stop; the same command goes on.
    """
    monitor = monitor or Monitor()
    made = _suite(suite, options)
    is_run = ":" not in network and (Path(network) / MANIFEST).is_file()
    if out is None:
        if not is_run:
            raise ConfigError(f"{network} is no run that could keep the results; name a folder for them with --out")
        if compute is not None:
            raise ConfigError(f"{network} computes as its own settings say; leave the device out, or add --out")
        return _in_run(Path(network), made, monitor)
    return _in_folder(network, made, out, compute, monitor)


def _suite(name: str, options: Mapping[str, Any]) -> DenseSuite:
    given = {key: value for key, value in options.items() if value is not None}
    checked = own_settings(SUITES, name, {name: given}, "evaluate.options")
    return cast(DenseSuite, SUITES.load(name)(checked))


def _in_run(path: Path, made: DenseSuite, monitor: Monitor) -> tuple[DenseResults, Path]:
    """As a suite of the run, which stays one of those that it is judged by."""
    with Run.open(path, read_only=True) as run:
        if not run.stage_done("train"):
            raise RunError(f"run {path} has no trained network yet; finish it with `lowland resume {path}`")
        asked = run.config.evaluate.suites
    # Refused before the run's settings ask for it.
    made.model(made.problem(), find(str(path)), 0)
    suites = [*asked, *([made.name] if made.name not in asked else [])]
    options = {made.name: made.config.model_dump(mode="json")}
    changes: list[dict[str, Any]] = [{"evaluate": {"suites": suites, "options": options}}]
    pipeline.resume(path, monitor=monitor, last="report", changes=changes)
    with Run.open(path, read_only=True) as run:
        record = SuiteRecord.read(run, made.name)
    assert record is not None, "the stage is done, and with it the suite"
    return DenseResults.from_json(record.results), path / SuiteRecord.file(made.name)


@settings_kept()
def _in_folder(
    network: str, made: DenseSuite, out: Path, compute: ComputeConfig | None, monitor: Monitor
) -> tuple[DenseResults, Path]:
    source, problem = find(network), made.problem()
    made.model(problem, source, 0)  # refuses a network that does not suit before anything is written
    known = settings(out)
    if known is not None and compute is None:
        compute = ComputeConfig(**known["compute"])
    asked = compute or ComputeConfig()
    resolved = resolve(asked)
    kept = asked.model_copy(update={"threads": resolved.threads})  # another number of threads sums in another order
    paths = [key for key, value in made.config if isinstance(value, Path)]  # the data's fingerprint tells it
    own = {key: value for key, value in made.config.model_dump(mode="json").items() if key not in (*SEEDS, *paths)}
    fixed = {
        "format": FORMAT,
        "task": made.name,
        "network": source.digest(scratch=made.config.scratch),
        "settings": own,
        "problem": dict(problem.settings),
        "compute": kept.model_dump(mode="json"),
    }
    file = f"{made.name}.json"
    first = 0 if made.config.seed is None else made.config.seed
    trainings = {entry.name for entry in out.glob("seed-*")} | {f"seed-{first}"}
    lock = opened(out, fixed, own={file, *trainings}, what=f"a {made.name} study")
    try:
        place = Place(
            source=source,
            root=out,
            folder="",
            compute=resolved,
            seed=0,
            checkpoint_seconds=asked.checkpoint_seconds,
            monitor=monitor,
        )
        results = made.learn(place)
        document = {"format": FORMAT, "lowland": __version__, "environment": environment(resolved)}
        inside.write_text(out, file, json_text(document | {"results": results.to_json()}))
    except InterruptedRun as stop:
        raise InterruptedRun("stopped at a safe point; run the same command again to go on") from stop
    finally:
        lock.release()
    return results, out / file
