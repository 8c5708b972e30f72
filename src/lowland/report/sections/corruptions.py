"""Distribution shift: error by corruption as bars, accuracy as a table, and a tile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lowland.evaluation.results import Shift, ShiftResults
from lowland.report import text
from lowland.report.facts import Judged, Network, ReportFacts
from lowland.report.tiles import Tile


def fill(facts: ReportFacts, judged: Judged) -> ReportFacts:
    """The networks with their figures."""
    found = ShiftResults.from_json(judged.results).networks
    return replace(facts, networks=tuple(replace(each, shift=found.get(str(each.rank))) for each in facts.networks))


def values(facts: ReportFacts) -> dict[str, Any]:
    """The winner's bars and table."""
    from lowland.report.figures import robustness

    winner = facts.networks[0] if facts.networks else None
    if winner is None or winner.shift is None:
        return {"shift": None, "bars": None, "cell_error": None}
    clean_error = None if winner.test is None else 100 - winner.test.top1
    return {
        "shift": _heat(winner.shift),
        "bars": robustness.robustness(winner.shift, clean_error),
        "cell_error": 50 / winner.shift.n**0.5,
    }


def tiles(winner: Network | None) -> list[Tile]:
    """Mean top-1 accuracy."""
    if winner is None or winner.shift is None:
        return []
    kinds = f"{len(winner.shift.by)} corruptions × {len(winner.shift.severities)} severities"
    mean = text.estimate(winner.shift.mean, winner.shift.standard_error)
    return [Tile.of("Under corruption, top-1", mean, "%", f"{kinds}, {winner.shift.n:,} images")]


def _heat(shift: Shift) -> list[tuple[str, list[float], float]]:
    """Rows of the corruption table: type, accuracy at each severity, mean; the last row holds the means."""
    rows = [(name, [row[level] for level in shift.severities]) for name, row in shift.by.items()]
    columns = list(zip(*(values for _, values in rows), strict=True))
    rows.append(("mean", [sum(column) / len(column) for column in columns]))
    return [(name, values, sum(values) / len(values)) for name, values in rows]
