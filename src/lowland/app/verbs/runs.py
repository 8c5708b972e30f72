"""Verbs that make a run or carry it on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowland.app import completion, console
from lowland.app.options import OPTIONS, Given, JsonOutput, RunDirectory, layers, takes

if TYPE_CHECKING:
    from lowland.app.shown import Mode
    from lowland.core.monitor import Monitor
    from lowland.workflow.result import RunResult

OF_NEW_RUNS = ("genotypes", "data", "space", "preset", "seed", "image_size", "data_root", "download", "out_path")
"""Options of `train` that a run which exists already has decided."""

Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but the run directory, errors and warnings.")]
Verbose = Annotated[
    bool,
    typer.Option(
        "-v",
        "--verbose",
        help="Print more: versions, device, precision, threads, changed settings, candidates, libraries' warnings.",
    ),
]


@takes(
    *("data", "space", "measure", "genotypes", "searcher", "strategy", "objectives", "max_params", "max_macs"),
    *("budget", "preset", "pretrained", "recipe", "optimizer", "top", "suites", "epochs", "retrain_epochs", "seed"),
    *(
        "image_size",
        "data_root",
        "download",
        "device",
        "workers",
        "plugins",
        "config",
        "settings",
        "loggers",
        "out_path",
    ),
)
def run(
    given: Given,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what was found, what is planned and all settings; write nothing.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Search, retrain, judge and deliver a network: everything, in one go."""
    if dry_run:
        _preview(given, last="report")
    else:
        _new(given, last="report", quiet=quiet, verbose=verbose)


@takes(
    *("data", "space", "measure", "searcher", "strategy", "objectives", "max_params", "max_macs", "budget", "preset"),
    *("pretrained", "epochs", "seed", "image_size", "data_root", "download", "device", "workers", "plugins", "config"),
    *("settings", "loggers", "out_path"),
)
def search(
    given: Given,
    run_directory: Annotated[Path | None, typer.Argument(help="Existing run directory; without it a new run.")] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train the supernet and rank candidates; nothing is retrained."""
    if run_directory is None:
        _new(given, last="search", quiet=quiet, verbose=verbose)
    else:
        _continue(run_directory, given, last="search", quiet=quiet, verbose=verbose)


@takes("plugins", "loggers")
def supernet(given: Given, run_directory: RunDirectory, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Train the supernet of a run, and stop there."""
    _continue(run_directory, given, last="supernet", quiet=quiet, verbose=verbose)


@takes(
    *("genotypes", "data", "space", "max_params", "max_macs", "preset", "recipe", "optimizer", "top"),
    *("retrain_epochs", "seed", "image_size", "data_root", "download", "device", "plugins", "config"),
    *("settings", "loggers", "out_path"),
)
def train(
    given: Given,
    run_directory: Annotated[
        Path | None, typer.Argument(help="Existing run directory; with --genotype instead a new run.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train the best genotypes of a run (after supernet and search, if those are missing), or a genotype given."""
    from lowland.core.errors import ConfigError

    if run_directory is None:
        if not given["genotypes"]:
            raise ConfigError("train needs a run directory, or --genotype published:NAME for a new run")
        _new(given, last="train", quiet=quiet, verbose=verbose)
        return
    begun = [OPTIONS[name].flag for name in OF_NEW_RUNS if given[name]]
    if begun:
        raise ConfigError(f"{begun[0]} is of new runs, and {run_directory} is given: leave one of the two out")
    _continue(run_directory, given, last="train", quiet=quiet, verbose=verbose)


@takes("suites", "published", "ood", "corrupted", "plugins", "settings", "loggers")
def evaluate(given: Given, run_directory: RunDirectory, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Judge the delivered networks of a run on its test images, or on published sets (docs/guide/shift.md)."""
    if given["ood"]:
        from lowland.store.run import Run

        asked = given["suites"] or Run.open(run_directory, read_only=True).config.evaluate.suites
        given = given | {"suites": [*asked, "ood"]}
    _continue(run_directory, given, last="evaluate", quiet=quiet, verbose=verbose)


@takes("plugins")
def report(
    given: Given,
    run_directories: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run directory, or several.")],
    out_path: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="File to write instead; runs are then only read. Of several \\[default: runs/side-by-side.html].",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write report.html from whatever stages of a run are done; of several runs a page side by side."""
    if len(run_directories) > 1:
        from lowland.workflow.beside import side_by_side

        written = side_by_side(run_directories, out_path or Path("runs/side-by-side.html"))
    else:
        from lowland.workflow import reporting

        written = reporting.report(run_directories[0], out_path)
    console.say([f"report   {written}"])


@takes("data", "data_root", "checkpoints_to", "plugins", "loggers")
def resume(
    given: Given,
    run_directory: RunDirectory,
    restart: Annotated[
        str | None,
        typer.Option(
            "--restart",
            help="Do this stage and all later ones again.",
            show_default=False,
            autocompletion=completion.stages,
        ),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Continue a stopped run to its end; with --data where its data lie elsewhere now."""
    if given["data"] is not None or given["data_root"] is not None:
        from lowland.workflow.moved_data import move_data

        move_data(run_directory, name=given["data"], root=given["data_root"])
        given = given | {"data": None, "data_root": None}
    _continue(run_directory, given, last="report", restart=restart, quiet=quiet, verbose=verbose)


def status(
    run_directory: RunDirectory,
    json_output: JsonOutput = False,
) -> None:
    """Show what stage a run is in, how far, the best so far, the time left and the workers."""
    from lowland.app.display import status_lines
    from lowland.store.run import Run

    found = Run.open(run_directory, read_only=True).status()
    if json_output:
        console.print_json(found)
    else:
        console.say(status_lines(found))


def _preview(given: Given, last: str) -> None:
    """Both lines as comments of the settings file, so that the output is one."""
    from lowland.workflow.presets import assemble

    config = assemble(*layers(given))
    from lowland.core.settings import dump
    from lowland.workflow import pipeline

    lines, settings = pipeline.preview(config, last=last)
    console.say([*(f"# {line}" for line in lines), *dump(settings).splitlines()])


def _new(given: Given, last: str, *, quiet: bool, verbose: bool) -> None:
    from lowland.workflow.presets import assemble

    config = assemble(*layers(given))
    from lowland.workflow import pipeline

    with _watched(given, quiet, verbose) as monitor:
        _show(pipeline.run(config, given["out_path"], monitor=monitor, last=last), quiet)


def _continue(path: Path, given: Given, last: str, *, restart: str | None = None, quiet: bool, verbose: bool) -> None:
    changes: Sequence[dict[str, Any]] = layers(given)
    from lowland.workflow import pipeline

    with _watched(given, quiet, verbose) as monitor:
        _show(pipeline.resume(path, monitor=monitor, last=last, changes=changes, restart=restart), quiet)


@contextmanager
def _watched(given: Given, quiet: bool, verbose: bool) -> Iterator[Monitor]:
    """What hears of the run, which Ctrl-C asks to stop; raises ConfigError before anything is done."""
    from lowland.app.shown import watched
    from lowland.core.errors import ConfigError

    if quiet and verbose:
        raise ConfigError("--quiet prints nothing and --verbose more; leave one of the two out")
    mode: Mode = "none" if quiet else "auto"
    with (
        watched(console.out, mode, verbose=verbose, callbacks=given["loggers"] or ()) as monitor,
        console.all_warnings() if verbose else nullcontext(),
    ):
        yield monitor


def _show(result: RunResult, quiet: bool) -> None:
    from lowland.app.display import result_lines

    console.say([str(result.path)] if quiet else result_lines(result, console.out.width))
