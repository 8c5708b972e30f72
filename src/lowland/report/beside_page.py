"""The page of `lowland report A B …`: runs side by side in one HTML file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lowland.core.files import write_text
from lowland.report import text
from lowland.report.beside import Beside, Found
from lowland.report.page import filled


def write(found: Beside, path: Path, version: str) -> None:
    """Write the page atomically to `path`. The same facts give the same bytes.

    Raises:
        RunError: the file cannot be written.
    """
    write_text(path, render(found, version))


def render(found: Beside, version: str) -> str:
    """The page as HTML. Every text of `found` is escaped."""
    from lowland.report.figures import beside, cells  # here: matplotlib takes a second to import

    runs = list(zip(found.letters, found.names, found.facts, strict=True))
    return filled(
        "beside.html",
        version=version,
        found=found,
        runs=runs,
        about=[(letter, _about(name, facts)) for letter, name, facts in runs],
        settings=[(key, [shown(value) for value in values]) for key, values in found.settings],
        results=[
            (row.name, row.unit, [_cell(each, row.unit) for each in row.runs])
            for row in found.results
            if row.name != "genotype"
        ],
        genotypes=[(letter, facts.networks[0].genotype) for letter, _, facts in runs if facts.networks],
        intervals=beside.intervals(found),
        losses=beside.losses(found),
        noise=beside.noise(found),
        cells=[
            (
                letter,
                [(graph.title, *cells.picture(graph, f"cell-{letter}-{index}")) for index, graph in enumerate(own)],
            )
            for letter, _, facts in runs
            if (own := facts.cells)
        ],
    )


def shown(value: Any) -> str:
    """A setting as `--set` takes it; a dash where a run has none."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _about(name: str, facts: Any) -> str:
    open_stages = [] if facts.stages and facts.stages[-1].name == "report" else ["not finished"]
    data = f"{facts.asked.data.name}, {facts.asked.data.image_size} pixels"
    parts = [name, facts.asked.space, data, f"seed {facts.asked.seed}", facts.created[:10], *open_stages]
    return " · ".join(parts)


def _cell(found: Found | None, unit: str) -> tuple[str, str]:
    """A result as text, and what stands small below it: its interval and sample size."""
    if found is None:
        return "–", ""
    if isinstance(found.value, str):
        return found.value, ""
    if unit == "s":
        return text.duration(found.value), ""
    if isinstance(found.value, int):
        return text.size(found.value), ""
    notes = []
    if found.interval is not None:
        low, high = found.interval
        decimals = 2 if unit == "%" else 4
        notes.append(f"{low:.{decimals}f} to {high:.{decimals}f}")
    if found.n is not None:
        notes.append(f"n = {found.n:,}")
    value = f"{found.value:.2f}" if unit == "%" else f"{found.value:.4g}"
    return value, "; ".join(notes)
