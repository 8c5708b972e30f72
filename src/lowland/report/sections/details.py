"""Class by class and picture by picture: accuracy of every class, confusion, calibration, the worst mistakes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lowland.core.errors import RunError
from lowland.evaluation.details import Details, Mistake
from lowland.evaluation.section import Estimate, Line, Series
from lowland.report.facts import ReportFacts

MOST_CLASSES = 20
"""Classes of which all are shown at once, with the whole confusion matrix."""

MOST_PAIRS = 15
"""Pairs of classes taken for one another that are listed where there are more classes."""

_PICTURE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]{1,40000}")


@dataclass(frozen=True, slots=True)
class _Class:
    """One class: how often it is named right, and which other it is taken for most often (None: for none)."""

    name: str
    accuracy: Estimate | None
    n: int
    taken_for: tuple[str, int] | None


def values(facts: ReportFacts) -> dict[str, Any]:
    """The best network's classes, worst first, its confusion, its calibration plot and its mistakes."""
    details, names = facts.details, facts.class_names
    if details is None:
        return {"details": None}
    from lowland.report.figures import plots

    rows = sorted(_classes(details, names), key=lambda row: (row.accuracy is None, row.accuracy and row.accuracy.value))
    few = len(names) <= MOST_CLASSES
    return {
        "details": details,
        "class_rows": rows[:MOST_CLASSES],
        "more_rows": rows[MOST_CLASSES:],
        "confusion": _matrix(details) if few else None,
        "class_names": names,
        "pairs_confused": [(names[a], names[b], count, details.n[a]) for a, b, count in details.confused[:MOST_PAIRS]],
        "reliability": plots.lines(_reliability(details), "reliability"),
        "mistakes": [
            (title, [(_checked(each), names[each.label], names[each.named], each) for each in kind])
            for title, kind in (
                ("Worst mistakes: least sure of the right class", details.worst),
                ("Surest mistakes: most sure of a wrong class", details.surest),
            )
            if kind
        ],
    }


def _classes(details: Details, names: Sequence[str]) -> list[_Class]:
    taken: dict[int, tuple[str, int]] = {}
    for label, named, count in details.confused:  # most first
        taken.setdefault(label, (names[named], count))
    return [
        _Class(name, _share(right, n), n, taken.get(label))
        for label, (name, right, n) in enumerate(zip(names, details.right, details.n, strict=True))
    ]


def _share(right: int, n: int) -> Estimate | None:
    """A share in percent with its binomial standard error; None without images."""
    if not n:
        return None
    share = right / n
    return Estimate(value=100 * share, standard_error=100 * (share * (1 - share) / n) ** 0.5 if n > 1 else None, n=n)


def _matrix(details: Details) -> list[list[int]]:
    """Images of each class (rows) by the class that is said (columns)."""
    counts = [[0] * len(details.n) for _ in details.n]
    for label, right in enumerate(details.right):
        counts[label][label] = right
    for label, named, count in details.confused:
        counts[label][named] = count
    return counts


def _reliability(details: Details) -> Series:
    return Series(
        x_label="confidence, %",
        y_label="accuracy, %",
        lines=(
            Line(label="as sure as right", x=(0.0, 100.0), y=(0.0, 100.0)),
            details.reliability.line("best network"),
        ),
    )


def _checked(mistake: Mistake) -> str:
    """The picture as it may stand in a page, or empty where none is kept; RunError where it is no picture."""
    if mistake.picture and not _PICTURE.fullmatch(mistake.picture):
        raise RunError(
            "evaluation/classification.json holds something that is no picture; evaluate again with `lowland resume "
            "RUN --restart evaluate`"
        )
    return mistake.picture
