"""The verb that compares the delivered network with references, and its answer in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowland.app import console
from lowland.app.options import JsonOutput, RunDirectory

if TYPE_CHECKING:
    from rich.text import Text

    from lowland.evaluation.paired import Difference


def compare(
    run_directory: RunDirectory,
    references: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="References: resnet-cell, all-conv3x3, darts-v2, mobilenetv3, published:NAME, timm:NAME, separated by "
            "commas; or one genotype. Repeatable \\[default: one of the run's space, one of another].",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Trainings of each network.")] = 3,
    suites: Annotated[str, typer.Option("--suites", help="How networks are judged.")] = "classification,corruptions",
    max_params: Annotated[
        str | None,
        typer.Option("--max-params", help="Most parameters of a reference \\[default: the delivered network's]."),
    ] = None,
    max_macs: Annotated[
        str | None, typer.Option("--max-macs", help="Most MACs of a reference \\[default: the delivered network's].")
    ] = None,
    no_fit: Annotated[bool, typer.Option("--no-fit", help="Leave references at their own width.")] = False,
    out_path: Annotated[Path, typer.Option("--out", help="Folder to make, or to go on with.")] = Path("runs/compare"),
    json_output: JsonOutput = False,
) -> None:
    """Compare the delivered network with hand-written ones of equal size, by the same recipe."""
    from lowland.app.display import stoppable
    from lowland.app.shown import shown
    from lowland.core.settings import count
    from lowland.workflow import compare as comparison

    request = comparison.ComparisonRequest(
        references=comparison.reference_names(references or ()),
        seeds=seeds,
        suites=tuple(name.strip() for name in suites.split(",") if name.strip()),
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
