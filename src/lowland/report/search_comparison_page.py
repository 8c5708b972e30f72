"""The page of `lowland compare --searchers`: searches beside one another in one HTML file.

It shows a document in the form of searches.json (`lowland.workflow.search_comparison`), and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lowland.core.amounts import clock
from lowland.evaluation.search_comparison import Found, SearchComparison, SearchRow
from lowland.report import text
from lowland.report.page import filled

REFERENCE_DAYS = 0.4
"""GPU-days of first-order DARTS on CIFAR-10 (its paper), in units of which published costs are shown, too."""


def render(document: Mapping[str, Any]) -> str:
    """The page as HTML. Every text of `document` is escaped."""
    from lowland.report.figures import search_comparison as figures  # here: matplotlib takes a second to import

    results = SearchComparison.from_json(document)
    return filled(
        "search_comparison.html",
        document=document,
        results=results,
        sentences=results.sentences,
        truth=results.accuracy != "retrained",
        budget=None if document["budget"] is None else clock(document["budget"]),
        rows=[cells(results, row) for row in results.ordered],
        every=[(row.name, each, of_seed(each)) for row in results.rows for each in row.found],
        corrupted=any(each.corrupted is not None for row in results.rows for each in row.found),
        time=figures.against_time(results),
        means=figures.means(results),
        ranks=figures.ranks(results),
        p=None if results.ranks is None else f"{results.ranks[2]:.2g}",
        skips=figures.skips(results),
        what=[(row.name, f"{row.summary}; {row.source}") for row in results.rows],
        environment=[(key.replace("_", " "), str(value)) for key, value in document["environment"].items()],
        accuracies=json.dumps(document["accuracies"], indent=2, ensure_ascii=False),
    )


def cells(results: SearchComparison, row: SearchRow) -> dict[str, str]:
    """A row of the table as text; a dash where something is not known."""
    mean, flat = row.accuracy, row.flatness
    skipping = any(each.operations is not None for each in row.found)
    return {
        "name": row.name,
        "accuracy": f"{mean.value:.2f}",
        "interval": "" if mean.low is None else f"{mean.low:.2f} to {mean.high:.2f}",
        "seconds": text.duration(row.seconds),
        "relative": _times(results.relative(row)),
        "training": _times(results.relative_training(row)),
        "days": "–" if row.gpu_days is None else f"{row.gpu_days:g}",
        "to_darts": "–" if row.gpu_days is None else _times(row.gpu_days / REFERENCE_DAYS),
        "flatness": "–" if flat is None else f"{flat.value:.4g}",
        "flatness_interval": "" if flat is None or flat.low is None else f"{flat.low:.3g} to {flat.high:.3g}",
        "skips": f"{sum(sum(each.skips.values()) for each in row.found) / results.seeds:.1f}" if skipping else "–",
        "collapsed": f"{row.collapsed} of {results.seeds}" if skipping else "–",
        "parameters": text.size(round(sum(each.parameters for each in row.found) / results.seeds)),
    }


def of_seed(each: Found) -> dict[str, str]:
    """One search with one seed as text."""
    return {
        "accuracy": f"{each.accuracy:.2f}",
        "corrupted": text.number(each.corrupted, 2),
        "seconds": text.duration(each.seconds),
        "skips": ", ".join(f"{count} {kind}" for kind, count in each.skips.items()) or "–",
        "flatness": "–" if each.judged is None else text.estimate(each.judged.flatness, each.judged.flatness_error),
        "inherited": "–" if each.judged is None else f"{100 * each.judged.accuracy:.1f}",
    }


def _times(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
