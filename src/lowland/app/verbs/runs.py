"""Verbs that make a run or carry it on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowland.app import console
from lowland.app.options import Given, RunDirectory, layers, takes

if TYPE_CHECKING:
    from lowland.workflow.pipeline import RunResult


@takes(
    *("data", "space", "measure", "strategy", "objectives", "max_params", "max_macs", "preset", "recipe", "optimizer"),
    *(
        "top",
        "suites",
        "epochs",
        "retrain_epochs",
        "seed",
        "image_size",
        "data_root",
        "download",
        "device",
        "plugins",
        "config",
    ),
    *("settings", "out_path"),
)
def run(given: Given) -> None:
    """Search, retrain, judge and deliver a network: everything, in one go."""
    _new(given, last="report")


@takes(
    *("data", "space", "measure", "strategy", "objectives", "max_params", "max_macs", "preset", "epochs", "seed"),
    *("image_size", "data_root", "download", "device", "plugins", "config", "settings", "out_path"),
)
def search(
    given: Given,
    run_directory: Annotated[Path | None, typer.Argument(help="Existing run directory; without it a new run.")] = None,
) -> None:
    """Train the supernet and rank candidates; nothing is retrained."""
    if run_directory is None:
        _new(given, last="search")
    else:
        _continue(run_directory, given, last="search")


@takes("plugins")
def supernet(given: Given, run_directory: RunDirectory) -> None:
    """Train the supernet of a run, and stop there."""
    _continue(run_directory, given, last="supernet")


@takes("top", "recipe", "optimizer", "retrain_epochs", "plugins", "settings")
def train(given: Given, run_directory: RunDirectory) -> None:
    """Train the best genotypes of a run (after supernet and search, if those are missing)."""
    _continue(run_directory, given, last="train")


@takes("suites", "corrupted", "plugins", "settings")
def evaluate(given: Given, run_directory: RunDirectory) -> None:
    """Judge the delivered networks of a run on its test images."""
    _continue(run_directory, given, last="evaluate")


@takes("plugins")
def report(given: Given, run_directory: RunDirectory) -> None:
    """Write report.html from whatever stages of a run are done."""
    from lowland.workflow import pipeline

    console.say([f"report   {pipeline.report(run_directory)}"])


@takes("plugins")
def resume(
    given: Given,
    run_directory: RunDirectory,
    restart: Annotated[
        str | None, typer.Option("--restart", help="Do this stage and all later ones again.", show_default=False)
    ] = None,
) -> None:
    """Continue a stopped run to its end."""
    _continue(run_directory, given, last="report", restart=restart)


def status(run_directory: RunDirectory) -> None:
    """Show what stage a run is in, how far, the best so far and the time left."""
    from lowland.app.display import status_lines
    from lowland.store.run import Run

    console.say(status_lines(Run.open(run_directory, read_only=True).status()))


def _new(given: Given, last: str) -> None:
    from lowland.workflow.presets import assemble

    config = assemble(*layers(given))
    from lowland.app.display import Display, stoppable
    from lowland.workflow import pipeline

    display = Display(console.out)
    with stoppable(display):
        _show(pipeline.run(config, given["out_path"], monitor=display, last=last))


def _continue(path: Path, given: Given, last: str, restart: str | None = None) -> None:
    changes: Sequence[dict[str, Any]] = layers(given)
    from lowland.app.display import Display, stoppable
    from lowland.workflow import pipeline

    display = Display(console.out)
    with stoppable(display):
        _show(pipeline.resume(path, monitor=display, last=last, changes=changes, restart=restart))


def _show(result: RunResult) -> None:
    from lowland.app.display import result_lines

    console.say(result_lines(result, console.out.width))
