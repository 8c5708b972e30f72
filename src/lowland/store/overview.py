"""Runs below a folder, each on one line: how it stands, on what, and what came of it. Nothing is written or believed.

Only settings, manifest and results are read, so that it needs neither torch nor anybody's plugin.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowland.core.errors import LowlandError, RunError
from lowland.store import inside
from lowland.store.artifacts import SEARCH, Ranked, Searched, evaluated
from lowland.store.manifest import MANIFEST, STAGES
from lowland.store.run import Run
from lowland.store.status import status

DELIVERED = "1"
"""Rank of the network that a run delivers."""

TOP1 = "test top-1"
"""What the suite `classification` calls its figure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """One run as a list shows it; of a damaged one only `path`, `state` and `error` are told.

    Attributes:
        path: The run directory.
        state: done, running, stopped or damaged.
        stage: The first stage that is not done; None where all are, or nothing is known.
        created: UTC, ISO 8601.
        data: Name of the data set, as the run calls it.
        space: Search space.
        preset: Named defaults.
        parameters: Of the delivered network; None before the search is done.
        top1: Test accuracy of the delivered network in percent; None before it is evaluated.
        top1_error: Its standard error in percent.
        images: Test images behind it.
        bytes: Size of all its files.
        error: What is wrong with a damaged run.
    """

    path: str
    state: str
    stage: str | None = None
    created: str | None = None
    data: str | None = None
    space: str | None = None
    preset: str | None = None
    parameters: int | None = None
    top1: float | None = None
    top1_error: float | None = None
    images: int | None = None
    bytes: int | None = None
    error: str | None = None


def runs_below(folder: Path) -> list[Path]:
    """Find the run directories in a folder, or the folder itself; links are not followed, runs not searched.

    Returns:
        Their paths, sorted.

    Raises:
        RunError: the folder does not exist, or cannot be read.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is not a folder; give one that holds runs")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise RunError(f"no permission to read {folder}; change its permissions")
    return sorted(_found(folder))


def _found(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        if MANIFEST in files:
            folders.clear()
            yield Path(here)


def overview(path: Path) -> Overview:
    """How the run at `path` stands, whatever state it is in."""
    try:
        with Run.open(path, read_only=True) as run:
            return _of(run)
    except LowlandError as error:
        return Overview(path=str(path), state="damaged", error=str(error))
    except OSError as error:
        return Overview(path=str(path), state="damaged", error=f"{path} cannot be read ({error.strerror})")


def _of(run: Run) -> Overview:
    found = status(run, None)
    open_stage = next((name for name in STAGES if found["stages"][name]["status"] != "done"), None)
    state = "done" if open_stage is None else "running" if found["active"] else "stopped"
    delivered = delivered_network(run)
    top1 = next((figure for figure in figures(run) if figure["label"] == TOP1), None)
    return Overview(
        path=str(run.path),
        state=state,
        stage=open_stage,
        created=run.manifest["created"],
        data=str(run.manifest.get("data", {}).get("name", run.config.data.name)),
        space=run.config.space,
        preset=run.config.preset,
        parameters=None if delivered is None else delivered.parameters,
        top1=None if top1 is None else top1["value"],
        top1_error=None if top1 is None else top1.get("standard_error"),
        images=None if top1 is None else top1.get("n"),
        bytes=inside.size(run.path),
    )


def delivered_network(run: Run) -> Ranked | None:
    """The first of the finished search's order; None before that."""
    if SEARCH not in run.manifest["files"]:
        return None
    ranking = Searched.read(run).ranking
    return ranking[0] if ranking else None


def figures(run: Run) -> list[dict[str, Any]]:
    """What the suites say of the delivered network, in their words: label, value, unit, standard_error, n."""
    found: list[dict[str, Any]] = []
    for record in evaluated(run):
        if record.figures is None:
            judged = record.results.get("networks", {}).get(DELIVERED, {})
            found += _figures_1(record.suite, judged) if judged else []
        else:
            found += [dict(figure) for figure in record.figures.get(DELIVERED, ())]
    return found


def _figures_1(suite: str, judged: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of format 1, which kept none in words."""
    if suite == "classification":
        error = judged.get("top1_standard_error")
        return [{"label": TOP1, "value": judged["top1"], "unit": "%", "standard_error": error, "n": judged["n"]}]
    error = judged.get("standard_error")
    return [{"label": "corrupted", "value": judged["mean"], "unit": "%", "standard_error": error, "n": judged["n"]}]
