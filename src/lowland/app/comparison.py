"""The answer of `lowland compare` in the terminal: one table of 80 columns, and the sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from lowland.evaluation.comparison import ComparisonResults, NetworkRow, signed
from lowland.evaluation.paired import Difference
from lowland.report.text import rough_duration, size


def comparison_lines(document: dict[str, Any], out: Path) -> list[str | Table]:
    """What a person sees when a comparison comes to its end."""
    results = ComparisonResults.from_json(document)
    table = Table(header_style="bold", show_edge=False, pad_edge=False, box=box.SIMPLE_HEAD, padding=0)
    shifted = results.corrupted_images > 0
    columns = ["network", "top-1", "difference"]
    columns += ["corrupted", "difference"] if shifted else []
    for name in [*columns, "params", "MACs", "time"]:
        if name == "network":
            table.add_column(name, overflow="fold", min_width=14)
        else:
            table.add_column(name, justify="right", no_wrap=True)
    for row in results.networks:
        under = [_percent(row.corrupted), _interval(row.corrupted_difference)] if shifted else []
        table.add_row(row.name, _percent(row.top1), _interval(row.difference), *under, *_size(row))
    seeds = len(results.delivered.seeds)
    note = (
        f"{seeds} {'seed' if seeds == 1 else 'seeds'}, {results.images:,} test images"
        + (f", {results.corrupted_images:,} under corruption" if shifted else "")
        + "; top-1 and corrupted in percent; difference: delivered minus reference, points, with 95 % interval"
    )
    places = [f"figures  {out / 'compare.json'}", f"page     {out / 'compare.html'}"]
    return ["", table, note, "", *results.sentences, "", *places]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _size(row: NetworkRow) -> tuple[str, str, str]:
    return size(row.parameters), size(row.macs), "–" if row.seconds is None else rough_duration(row.seconds)


def _interval(difference: Difference | None) -> str:
    """The difference, and below it its interval."""
    if difference is None:
        return "–"
    if difference.low is None or difference.high is None:
        return signed(difference.value)
    return f"{signed(difference.value)}\n{signed(difference.low)}…{signed(difference.high)}"
