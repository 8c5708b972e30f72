"""Clean test images: columns of the results table, and a tile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lowland.evaluation.recall import recall_tables
from lowland.evaluation.results import ClassificationResults
from lowland.evaluation.section import SuiteSection
from lowland.report import text
from lowland.report.facts import Judged, Network, ReportFacts
from lowland.report.tiles import Tile


def fill(facts: ReportFacts, judged: Judged) -> ReportFacts:
    """The networks with their figures, what lies behind the best one's, and of unequal classes the recall of each."""
    results = ClassificationResults.from_json(judged.results)
    facts = replace(
        facts,
        networks=tuple(replace(each, test=results.networks.get(str(each.rank))) for each in facts.networks),
        details=results.details.get("1"),
        class_names=results.classes,
    )
    tables = recall_tables(results)
    if not tables:
        return facts
    # Shown as the sections of suites without a module are; its figures stand in the results table already.
    section = SuiteSection(title="Classes", tables=tables)
    return replace(facts, judged=(*facts.judged, replace(judged, suite="recall", section=section, figures={})))


def values(facts: ReportFacts) -> dict[str, Any]:
    """Nothing more: the results table reads the networks."""
    return {}


def tiles(winner: Network | None) -> list[Tile]:
    """Top-1 accuracy; where test classes are unequal, balanced accuracy."""
    if winner is None or winner.test is None:
        return []
    top1 = text.estimate(winner.test.top1, winner.test.top1_standard_error)
    tiles = [Tile.of("Test accuracy, top-1", top1, "%", f"{winner.test.n:,} test images")]
    if winner.test.unequal and winner.test.balanced is not None:
        balanced = text.estimate(winner.test.balanced, winner.test.balanced_standard_error)
        tiles.append(Tile.of("Balanced accuracy", balanced, "%", f"mean over {len(winner.test.recall):,} classes"))
    return tiles
