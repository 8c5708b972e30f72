"""Places: the order that a search ended with, beside the scores of its archive.

The table `candidates` of an archive holds scores as they were measured: under `measure.combine=rank` its `value` is a
weighted sum of parts in different units, by which nothing is ordered. The order is known when the search has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lowland.search.aggregation import labels
from lowland.search.archive import Archive, Candidate

if TYPE_CHECKING:
    from lowland.spaces.space import Space


@dataclass(frozen=True, kw_only=True)
class Place:
    """One candidate of a finished search.

    Attributes:
        candidate: With the genotype, size, generation and origin that this search gave it; an isomorph, or an earlier
            search, may have lent the score. `value` is what the search ordered by: the score, or under ranks their
            aggregate among these candidates, which has no unit. `details` are those of the score.
        genotype: As text.
        rank: In the final order, from 1, the delivered network first; None: it is not in that order.
        evaluated: In order of evaluation, from 1; None: it failed.
    """

    candidate: Candidate
    genotype: str
    rank: int | None = None
    evaluated: int | None = None

    def columns(self) -> dict[str, Any]:
        """The row of the view `archive`, by column; `genes` as numbers."""
        each = self.candidate
        return {
            "rank": self.rank,
            "genotype": self.genotype,
            "genes": tuple(each.genotype.genes),
            "value": each.value,
            "standard_error": each.standard_error,
            **{f"measure_{label}": each.details[label]["value"] for label in labels(each)},
            "parameters": each.parameters,
            "macs": each.macs,
            "generation": each.generation,
            "origin": each.origin,
            "status": each.status,
            "reason": each.reason,
            "seconds": each.seconds,
            "created": each.created,
            "evaluated": self.evaluated,
        }


def finished(
    space: Space, evaluated: Sequence[Candidate], final: Sequence[Candidate], failed: Sequence[Candidate]
) -> list[Place]:
    """Put the candidates of a finished search in their places.

    Args:
        space: Writes genotypes as text.
        evaluated: Those with a score, in order of evaluation.
        final: Those of them that are ranked, best first, with the value they were ordered by.
        failed: Those without a score.

    Returns:
        The ranked ones in their order, then the others, the failed ones last.
    """
    numbers = {each.key: number for number, each in enumerate(evaluated, start=1)}
    ranked = {each.key for each in final}
    rest = [each for each in evaluated if each.key not in ranked]
    ranks = [*range(1, len(final) + 1), *[None] * (len(rest) + len(failed))]
    return [
        Place(candidate=each, genotype=space.format(each.genotype), rank=rank, evaluated=numbers.get(each.key))
        for rank, each in zip(ranks, [*final, *rest, *failed], strict=True)
    ]


def keep(archive: Archive, places: Sequence[Place]) -> None:
    """Write the places of a finished search into its archive, in place of all former ones, with the view `archive`."""
    archive.keep_places(
        list(dict.fromkeys(label for each in places for label in labels(each.candidate))), map(_row, places)
    )


def kept(archive: Archive) -> list[dict[str, Any]]:
    """The rows of the view `archive`, best first and failed last; none where no search has ended since it was made."""
    names, rows = archive.view()
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return [row | {"genes": tuple(map(int, row["genes"].split(",")))} for row in found]


def _row(place: Place) -> tuple[Any, ...]:
    each = place.candidate
    genes = ",".join(map(str, each.genotype.genes))
    size = (each.parameters, each.macs, each.generation, each.origin)
    score = (each.value, each.standard_error)
    return (place.evaluated, place.rank, *score, place.genotype, genes, *size, each.measure, each.key)
