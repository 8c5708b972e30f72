"""Verbs that look at several runs: a list of those below a folder, and two side by side. Neither needs torch."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowland.app import console
from lowland.app.options import JsonOutput

if TYPE_CHECKING:
    from rich.text import Text

    from lowland.store.overview import Overview


def ls(
    folder: Annotated[Path, typer.Argument(help="Folder that holds runs, at any depth.")] = Path("runs"),
    json_output: JsonOutput = False,
) -> None:
    """List the runs below a folder: state, data, space, size, test accuracy and date."""
    from lowland.store.overview import overview, runs_below

    found = [overview(path) for path in runs_below(folder)]
    if json_output:
        console.print_json([asdict(each) for each in found])
    else:
        console.say(overview_lines(found, folder, console.out.width))


def diff(
    one: Annotated[Path, typer.Argument(metavar="A", help="Run directory.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    json_output: JsonOutput = False,
) -> None:
    """Show which settings of two runs differ, and their results side by side."""
    from lowland.store.differences import results_beside, settings_that_differ
    from lowland.store.run import Run

    with Run.open(one, read_only=True) as a, Run.open(other, read_only=True) as b:
        changed = settings_that_differ(a.config.model_dump(mode="json"), b.config.model_dump(mode="json"))
        results = results_beside(a, b)
    if json_output:
        console.print_json({"a": str(one), "b": str(other), "settings": changed, "results": results})
    else:
        console.say(difference_lines(str(one), str(other), changed, results, console.out.width))


def overview_lines(found: list[Overview], folder: Path, width: int) -> list[str | Text]:
    """One line for each run in a table; below it what is wrong with damaged ones."""
    from lowland.app.tables import table
    from lowland.core.amounts import measured, millions, storage

    if not found:
        return [f"There is no run in {folder}."]
    header = ("run", "state", "data", "space", "params", "disk", "top-1", "made, UTC")
    rows = [
        (
            each.path,
            each.state if each.state in ("done", "damaged") else f"{each.state} in {each.stage}",
            each.data or "–",
            each.space or "–",
            "–" if each.parameters is None else millions(each.parameters),
            "–" if each.bytes is None else storage(each.bytes),
            "–" if each.top1 is None else measured(each.top1, each.top1_error, "%"),
            "–" if each.created is None else each.created[:16].replace("T", " "),
        )
        for each in found
    ]
    faults = [f"damaged: {each.error}" for each in found if each.error is not None]
    return [*table(header, rows, width), *([""] if faults else []), *faults]


def difference_lines(
    one: str, other: str, changed: list[dict[str, Any]], results: list[dict[str, Any]], width: int
) -> list[str | Text]:
    """Settings that differ and results, each with a column for A and one for B."""
    from lowland.app.tables import columns
    from lowland.app.verbs.settings import shown

    lines: list[str | Text] = [f"A  {one}", f"B  {other}", ""]
    if changed:
        rows = [[row["key"], *("–" if row[run] is None else shown(row[run]) for run in "ab")] for row in changed]
        lines += columns(("setting", "A", "B"), rows, width)
    else:
        lines.append("All settings are equal.")
    if results:
        rows = [[row["name"], *(_result(row[run], row["unit"]) for run in "ab")] for row in results]
        lines += ["", *columns(("result", "A", "B"), rows, width)]
    return lines


def _result(result: dict[str, Any] | None, unit: str) -> str:
    from lowland.core.amounts import clock, measured

    if result is None:
        return "–"
    value = result["value"]
    if unit == "s":
        return clock(value)
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else measured(value, result["standard_error"], unit)
