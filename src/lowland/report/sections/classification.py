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
    """The networks with their figures; and where test classes are unequal, a section on the recall of each."""
    results = ClassificationResults.from_json(judged.results)
    networks = tuple(replace(each, test=results.networks.get(str(each.rank))) for each in facts.networks)
    tables = recall_tables(results)
    if not tables:
        return replace(facts, networks=networks)
    # Shown as the sections of suites without a module are; its figures stand in the results table already.
    section = SuiteSection(title="Classes", tables=tables)
    classes = replace(judged, suite="recall", section=section, figures={})
    return replace(facts, networks=networks, judged=(*facts.judged, classes))


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
