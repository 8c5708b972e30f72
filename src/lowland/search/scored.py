"""The scored candidates of a finished search, many or few: a value of each, and all of it for those one asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowland.core.config import Config
from lowland.search import places
from lowland.search.archive import Archive
from lowland.search.places import Place
from lowland.store.artifacts import Searched

_ALL = "SELECT value, parameters FROM places WHERE evaluated IS NOT NULL ORDER BY evaluated"


@dataclass(frozen=True, eq=False)
class ScoredCandidates:
    """The N scored candidates of a search in order of evaluation.

    Attributes:
        values_N: What the search ordered by, greater is better.
        parameters_N: Scalar weights of the delivered network of each.
        winner: Position of the delivered network.
        at: Positions, from 0 → these candidates, in this order.
    """

    values_N: NDArray[np.float64]
    parameters_N: NDArray[np.int64]
    winner: int
    at: Callable[[Sequence[int]], list[Place]]


def scored(config: Config, searched: Searched, archive: Archive) -> ScoredCandidates:
    """The scored candidates of a finished search, from the archive's places where it has them.

    Args:
        config: Settings of the run.
        searched: What the search found; `measure` must be known.
        archive: Of the run; it must stay open while `at` is used.

    Returns:
        The candidates; only values and sizes of all of them are in memory, where the archive has places.
    """
    if places.there(archive):
        _, rows = places.query(archive, _ALL)
        _, first = places.query(archive, "SELECT evaluated FROM places WHERE rank = 1")

        def at(positions: Sequence[int]) -> list[Place]:
            return places.evaluated(archive, [position + 1 for position in positions])

        with archive.sound_rows():
            ((winner,),) = first
            found = np.array(rows, dtype=np.float64)
            return ScoredCandidates(found[:, 0], found[:, 1].astype(np.int64), winner - 1, at)
    computed = [place for place in places.computed(config, searched, archive) if place.evaluated is not None]
    computed.sort(key=lambda place: place.evaluated or 0)
    return ScoredCandidates(
        np.array([place.candidate.value for place in computed], dtype=np.float64),
        np.array([place.candidate.parameters for place in computed], dtype=np.int64),
        next(position for position, place in enumerate(computed) if place.rank == 1),
        lambda positions: [computed[position] for position in positions],
    )


def order_of(candidates: ScoredCandidates) -> NDArray[np.int64]:
    """The place of each in the order of values, from 1; of equal ones the smaller network comes first."""
    order_N = np.lexsort((candidates.parameters_N, -candidates.values_N))
    places_N = np.empty(len(order_N), dtype=np.int64)
    places_N[order_N] = np.arange(1, len(order_N) + 1)
    return places_N
