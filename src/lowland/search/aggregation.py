"""Ordering the candidates of a search by the ranks that the parts of a sum give them (`measure.combine`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from lowland.measures.aggregation import AGGREGATIONS
from lowland.search.archive import Candidate


def parts(details: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The parts of the sum that made a score, by their labels, of the score's details; none of any other measure."""
    return {label: part for label, part in details.items() if isinstance(part, Mapping) and "weight" in part}


def labels(candidate: Candidate) -> list[str]:
    """Labels of the parts of the sum that scored a candidate; none of any other measure."""
    return list(parts(candidate.details))


def aggregated(candidates: Sequence[Candidate], combine: str) -> list[Candidate]:
    """Order scored candidates by the aggregate of their parts' ranks among them.

    A rank holds among these candidates only: with every further one all are ordered anew, and no standard error is
    known. So the archive keeps the parts, never the aggregate.

    Args:
        candidates: Scored by one sum of measures, whose parts `Candidate.details` holds by their labels.
        combine: `rank` or `log-rank` (`measures.aggregation`).

    Returns:
        The candidates, best first, with the aggregate in place of their value.

    Raises:
        ValueError: a candidate has no parts.
    """
    if not candidates:
        return []
    names = labels(candidates[0])
    if not names:
        raise ValueError(f"measure.combine={combine!r} needs a sum of measures, such as angle+flatness")
    values_MN = [np.array([float(c.details[label]["value"]) for c in candidates]) for label in names]
    values_N = AGGREGATIONS[combine](values_MN)
    found = (
        dataclasses.replace(candidate, value=float(value), standard_error=None)
        for candidate, value in zip(candidates, values_N, strict=True)
    )
    return sorted(found, key=attrgetter("rank"))


def neighbourhood_mean(values: Sequence[float | None]) -> float:
    """Mean of the scores of a genotype and its neighbours (Neighborhood-Aware NAS, arXiv 2105.06369).

    Args:
        values: Of the genotype and each neighbour; None where one could not be scored or is beyond the limits.

    Returns:
        Mean of those there are.

    Raises:
        ValueError: there are none.
    """
    known = [value for value in values if value is not None]
    if not known:
        raise ValueError("none of a genotype and its neighbours has a score")
    return sum(known) / len(known)
