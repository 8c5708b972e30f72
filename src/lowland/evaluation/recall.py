"""Recall of each class as a table, where test classes are unequal: the mean accuracy hides the small ones."""

from __future__ import annotations

from lowland.evaluation.results import Classification, ClassificationResults
from lowland.evaluation.section import Estimate, Table

MOST = 40
"""Classes that a table shows; of more, those of the lowest recall."""


def recall_tables(results: ClassificationResults) -> tuple[Table, ...]:
    """A table of balanced accuracy and the recall of each class, where test classes are unequal; else none."""
    if not any(found.unequal for found in results.networks.values()):
        return ()
    names = results.classes
    judged = list(results.networks.values())
    shown = sorted(range(len(names)), key=lambda place: (_mean(judged, place), place))[:MOST]
    if len(names) <= MOST:
        shown.sort()
    rows: list[tuple[str, tuple[Estimate | str | None, ...]]] = [("balanced accuracy", (None, *map(_balanced, judged)))]
    rows += [
        (names[place], (f"{judged[0].recall[place].n:,}", *(_recall(each, place) for each in judged)))
        for place in shown
    ]
    left = f" The {MOST} classes of the lowest recall, of {len(names):,}." if len(names) > MOST else ""
    return (
        Table(
            columns=("Class", "Test images", *(f"Recall of network {rank}, %" for rank in results.networks)),
            rows=tuple(rows),
            title="Recall of each class",
            note="Balanced accuracy: mean recall of all classes, each counting alike; ± is one standard error." + left,
        ),
    )


def _mean(judged: list[Classification], place: int) -> float:
    values = [each.recall[place].value for each in judged]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 101.0  # classes without images last


def _balanced(found: Classification) -> Estimate | None:
    if found.balanced is None:
        return None
    return Estimate(value=found.balanced, standard_error=found.balanced_standard_error, n=found.n)


def _recall(found: Classification, place: int) -> Estimate | None:
    recall = found.recall[place]
    if recall.value is None:
        return None
    return Estimate(value=recall.value, standard_error=recall.standard_error, n=recall.n)
