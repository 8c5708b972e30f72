"""Suites without a section module: what they say of themselves, as paragraphs, tables and plots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lowland.evaluation.section import Figure
from lowland.report import text
from lowland.report.facts import Judged, ReportFacts
from lowland.report.sections import own
from lowland.report.tiles import Tile


def fill(facts: ReportFacts, judged: Judged) -> ReportFacts:
    """The facts with one more suite."""
    return replace(facts, judged=(*facts.judged, judged))


def values(facts: ReportFacts) -> dict[str, Any]:
    """Each suite's section with its plots drawn."""
    from lowland.report.figures import plots

    sections = [judged.section for judged in facts.judged if judged.section is not None and own(judged.suite) is None]
    return {
        "suites": [
            (section, [plots.lines(each, f"suite-{place}-{at}") for at, each in enumerate(section.series)])
            for place, section in enumerate(sections)
        ]
    }


def tiles(facts: ReportFacts) -> list[Tile]:
    """The winner's figures."""
    return [_tile(figure) for judged in facts.judged for figure in judged.figures.get("1", ())]


def _tile(figure: Figure) -> Tile:
    shown = text.estimate(figure.value, figure.standard_error)
    return Tile.of(figure.label, shown, figure.unit, f"n = {figure.n:,}" if figure.n is not None else "")
