"""The page of `lowland compare`: the delivered network beside its references, with an interval plot, in one HTML file.

It shows a document in the form of compare.json (`lowland.workflow.compare`), and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowland.core.files import write_text
from lowland.evaluation.comparison import ComparisonResults, NetworkRow, signed
from lowland.evaluation.paired import Difference
from lowland.report import text
from lowland.report.page import filled
from lowland.report.tiles import Tile


def write(document: Mapping[str, Any], path: Path) -> None:
    """Write the page atomically to `path`. The same document gives the same bytes.

    Raises:
        RunError: the file cannot be written.
    """
    write_text(path, render(document))


def render(document: Mapping[str, Any]) -> str:
    """The page as HTML. Every text of `document` is escaped."""
    from lowland.report.figures.intervals import intervals  # here: matplotlib takes a second to import

    results = ComparisonResults.from_json(document)
    return filled(
        "comparison.html",
        document=document,
        results=results,
        sentences=results.sentences,
        seeds=len(results.delivered.seeds),
        tiles=_tiles(results),
        plot=intervals(results),
        rows=[_Cells(row) for row in results.networks],
        what=[(row.name, f"{row.text}; {row.source}") for row in results.networks],
        lacking=[(row.name, ", ".join(row.lacks)) for row in results.networks if row.lacks],
        asked=_asked(document, results),
        environment=[(key.replace("_", " "), str(value)) for key, value in document["environment"].items()],
        recipe=json.dumps(document["recipe"], indent=2, ensure_ascii=False),
    )


class _Cells:
    """A row of the table as text."""

    def __init__(self, row: NetworkRow) -> None:
        self.row = row
        self.top1 = f"{row.top1:.2f}"
        self.corrupted = "–" if row.corrupted is None else f"{row.corrupted:.2f}"
        self.clean = shown(row.difference)
        self.shifted = shown(row.corrupted_difference)
        self.seconds = "–" if row.seconds is None else text.duration(row.seconds)
        self.alone = [
            (each.seed, f"{each.top1:.2f}", "–" if each.corrupted is None else f"{each.corrupted:.2f}")
            for each in row.seeds
        ]


def shown(difference: Difference | None) -> tuple[str, str]:
    """A difference and its interval as text; dashes where there is none."""
    if difference is None:
        return "–", ""
    if difference.low is None or difference.high is None:
        return signed(difference.value, 2), ""
    return signed(difference.value, 2), f"{signed(difference.low, 2)} to {signed(difference.high, 2)}"


def _tiles(results: ComparisonResults) -> list[Tile]:
    best, own = results.best, results.delivered
    tiles = [
        Tile("Delivered network, top-1", f"{own.top1:.2f}", "%", f"{results.images:,} test images"),
        Tile("Best reference, top-1", f"{best.top1:.2f}", "%", best.name),
        Tile("Difference", shown(best.difference)[0], "points", shown(best.difference)[1] or "no interval"),
    ]
    if own.corrupted is not None:
        kinds = f"{len(results.corruptions)} corruptions × {len(results.severities)} severities"
        note = f"{kinds}, {results.corrupted_images:,} images"
        tiles.append(Tile("Under corruption, top-1", f"{own.corrupted:.2f}", "%", note))
    tiles.append(Tile.of("Parameters", text.size(own.parameters), "", "of the delivered network"))
    return tiles


def _asked(document: Mapping[str, Any], results: ComparisonResults) -> list[tuple[str, str]]:
    budget, data = document["budget"], document["data"]
    limits = ["none: every reference at its own width"]
    if budget is not None:
        limits = [f"{text.size(budget['parameters'])} parameters", f"{text.size(budget['macs'])} MACs"]
    return [
        ("Data set", data["name"]),
        ("Images", f"{data['image_size']} × {data['image_size']} pixels; {data['train']:,} to learn from"),
        ("Search space", document["space"]),
        ("Budget of references", " and ".join(limits)),
        ("Seeds", ", ".join(str(each.seed) for each in results.delivered.seeds)),
    ]
