"""Clean test images: columns of the results table, and a tile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lowland.evaluation.results import ClassificationResults
from lowland.report import text
from lowland.report.facts import Judged, Network, ReportFacts
from lowland.report.tiles import Tile


def fill(facts: ReportFacts, judged: Judged) -> ReportFacts:
    """The networks with their figures, and what lies behind the best one's."""
    results = ClassificationResults.from_json(judged.results)
    found = results.networks
    return replace(
        facts,
        networks=tuple(replace(each, test=found.get(str(each.rank))) for each in facts.networks),
        details=results.details.get("1"),
        class_names=results.classes,
    )


def values(facts: ReportFacts) -> dict[str, Any]:
    """Nothing more: the results table reads the networks."""
    return {}


def tiles(winner: Network | None) -> list[Tile]:
    """Top-1 accuracy."""
    if winner is None or winner.test is None:
        return []
    top1 = text.estimate(winner.test.top1, winner.test.top1_standard_error)
    return [Tile.of("Test accuracy, top-1", top1, "%", f"{winner.test.n:,} test images")]
