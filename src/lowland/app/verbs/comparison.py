"""The verb that compares: a delivered network with references, or searches with one another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowland.app import console
from lowland.app.options import OPTIONS, Given, JsonOutput, takes
from lowland.app.verbs.searches import compare_searches, named

if TYPE_CHECKING:
    from rich.text import Text

    from lowland.evaluation.paired import Difference


OF_SEARCHES = (
    *("data", "space", "preset", "budget", "recipe", "epochs", "retrain_epochs", "seed", "image_size", "data_root"),
    *("download", "device", "plugins", "config", "settings"),
)
"""Options of the runs that a comparison of searches makes."""


@takes(*OF_SEARCHES)
def compare(
    given: Given,
    run_directory: Annotated[
        Path | None, typer.Argument(help="Run whose network is compared; with --searchers none.")
    ] = None,
    references: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="References: resnet-cell, all-conv3x3, darts-v2, mobilenetv3, published:NAME, timm:NAME, separated by "
            "commas; or one genotype; timm:NAME@pretrained or @FILE begins with learned weights. Repeatable "
            "\\[default: one of the run's space, one of another].",
            show_default=False,
        ),
    ] = None,
    searchers: Annotated[
        str | None,
        typer.Option(
            "--searchers",
            help="Searches to compare, separated by commas: spos, rlnas, genas, genas-angle, flatnas, default, darts, "
            "sdarts-adv, random, any other searcher or strategy; each with every seed in --budget.",
            show_default=False,
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth",
            help="With --searchers: CSV file of accuracies, looked up in place of trainings.",
            show_default=False,
        ),
    ] = None,
    truth_column: Annotated[str, typer.Option("--truth-column", help="Its column.")] = "test_acc",
    seeds: Annotated[int, typer.Option("--seeds", help="Trainings of each network, or runs of each search.")] = 3,
    suites: Annotated[
        str | None,
        typer.Option(
            "--suites",
            help="How networks are judged: classification, corruptions \\[default: both; of searches classification].",
            show_default=False,
        ),
    ] = None,
    max_params: Annotated[
        str | None,
        typer.Option(
            "--max-params",
            help="Most parameters of a reference \\[default: the delivered network's], or of networks searched for.",
        ),
    ] = None,
    max_macs: Annotated[
        str | None, typer.Option("--max-macs", help="Most MACs of a reference \\[default: the delivered network's].")
    ] = None,
    no_fit: Annotated[bool, typer.Option("--no-fit", help="Leave references at their own width.")] = False,
    out_path: Annotated[Path, typer.Option("--out", help="Folder to make, or to go on with.")] = Path("runs/compare"),
    json_output: JsonOutput = False,
) -> None:
    """Compare a run's network with hand-written ones of equal size, or searches with one another (--searchers)."""
    from lowland.core.errors import ConfigError

    if searchers is not None:
        if run_directory is not None or references or no_fit:
            other = "RUN_DIRECTORY" if run_directory is not None else "--with" if references else "--no-fit"
            raise ConfigError(f"--searchers makes runs of its own, and {other} belongs to one run; leave one out")
        compare_searches(
            searchers,
            given,
            seeds=seeds,
            suites=suites,
            truth=truth,
            truth_column=truth_column,
            limits={"max_params": max_params, "max_macs": max_macs},
            out=out_path,
            json_output=json_output,
        )
        return
    if run_directory is None:
        raise ConfigError("compare needs a run directory, or searches to compare: --searchers darts,spos,genas,random")
    begun = [OPTIONS[name].flag for name in OF_SEARCHES if given[name]] + (["--truth"] if truth is not None else [])
    if begun:
        raise ConfigError(f"{begun[0]} belongs to --searchers, and run {run_directory} has its own; leave one out")
    from lowland.app.display import stoppable
    from lowland.app.shown import shown
    from lowland.core.settings import count
    from lowland.workflow import compare as comparison

    request = comparison.ComparisonRequest(
        references=comparison.reference_names(references or ()),
        seeds=seeds,
        suites=comparison.SUITES if suites is None else named(suites),
        fit=not no_fit,
        max_params=None if max_params is None else count("--max-params", max_params),
        max_macs=None if max_macs is None else count("--max-macs", max_macs),
    )
    display = shown(console.out, "none" if json_output else "auto")
    with stoppable(display):
        document = comparison.compare(run_directory, out_path, request, monitor=display)
    if json_output:
        console.print_json(document)
        return
    console.say(comparison_lines(document, out_path, console.out.width))


def comparison_lines(document: dict[str, Any], out: Path, width: int) -> list[str | Text]:
    """What a person sees when a comparison comes to its end: one table, and the sentences."""
    from lowland.app.tables import table, wrapped
    from lowland.evaluation.comparison import ComparisonResults
    from lowland.report.text import number, rough_duration, size

    results = ComparisonResults.from_json(document)
    shifted = results.corrupted_images > 0
    rows = [
        [
            row.name,
            number(row.top1, 2),
            _interval(row.difference),
            *([number(row.corrupted, 2), _interval(row.corrupted_difference)] if shifted else []),
            size(row.parameters),
            size(row.macs),
            "–" if row.seconds is None else rough_duration(row.seconds),
        ]
        for row in results.networks
    ]
    under = ["corrupted", "difference"] if shifted else []
    header = ["network", "top-1", "difference", *under, "params", "MACs", "time"]
    seeds = len(results.delivered.seeds)
    note = (
        f"{seeds} {'seed' if seeds == 1 else 'seeds'}, {results.images:,} test images"
        + (f", {results.corrupted_images:,} under corruption" if shifted else "")
        + "; accuracies in percent; difference: delivered minus reference, points, with 95 % interval"
    )
    below = [line for text in (note, "", *results.sentences, "") for line in (wrapped(text, width) or [""])]
    places = [f"figures  {out / 'compare.json'}", f"page     {out / 'compare.html'}"]
    return ["", *table(header, rows, width), "", *below, *places]


def _interval(difference: Difference | None) -> str:
    from lowland.evaluation.comparison import signed

    if difference is None:
        return "–"
    if difference.low is None or difference.high is None:
        return signed(difference.value)
    return f"{signed(difference.value)} ({signed(difference.low)}…{signed(difference.high)})"
