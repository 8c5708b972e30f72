"""Places: the order that a search ended with, beside the scores of its archive.

The table `candidates` of an archive holds scores as they were measured: under `measure.combine=rank` its `value` is a
weighted sum of parts in different units, by which nothing is ordered. The order is known when the search has ended.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from lowland import spaces
from lowland.core.config import Config
from lowland.core.genotype import Genotype
from lowland.search import view
from lowland.search.aggregation import aggregated, labels
from lowland.search.archive import Archive, Candidate
from lowland.search.order import combined
from lowland.search.record import Ranked
from lowland.store.artifacts import Searched

if TYPE_CHECKING:
    from lowland.spaces.space import Space

_TOGETHER = 500
"""Candidates asked for at once; SQLite takes at least 999 values."""


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


def computed(config: Config, searched: Searched, archive: Archive) -> list[Place]:
    """The places of a search whose archive was written before archives held them; nothing is written.

    Args:
        config: Settings of the run.
        searched: What the search found; `measure` must be known.
        archive: Of the run.

    Returns:
        The places, in the order of `finished`. Of a front, or of a shortlist longer than `searched.ranking`, only the
        ranks of `searched.ranking` are known.
    """
    assert searched.measure is not None
    space = spaces.get(config.space)
    archived = {each.key: each for each in archive.candidates(searched.measure, order="created")}
    with archive.sound_rows():
        return _computed(config, searched, space, archived)


def _computed(config: Config, searched: Searched, space: Space, archived: Mapping[str, Candidate]) -> list[Place]:
    found = []
    for row in searched.candidates:
        genotype = Genotype(space.name, tuple(row["genes"]))
        facts = {name: row[name] for name in ("generation", "origin", "parameters", "macs")}
        found.append(dataclasses.replace(archived[space.key(genotype)], genotype=genotype, **facts))
    combine = combined(config, searched)
    ordered = sorted(found, key=attrgetter("rank")) if combine == "sum" else aggregated(found, combine)
    by_genes = {each.genotype.genes: each for each in ordered}
    first = {entry.genes: by_genes[entry.genes] for entry in searched.ranking if entry.genes in by_genes}
    known = searched.pareto is None and max(config.search.shortlist, config.search.finalists) <= len(first)
    rest = [each for each in ordered if each.genotype.genes not in first] if known else []
    failed = [each for each in archived.values() if each.status == "failed"]
    return finished(space, found, [*first.values(), *rest], failed)


def keep(archive: Archive, places: Sequence[Place]) -> None:
    """Write the places of a finished search into its archive, in place of all former ones, with the view `archive`."""
    names = list(dict.fromkeys(label for each in places for label in labels(each.candidate)))
    with archive.open() as connection:
        view.keep(connection, names, map(_row, places))


def reorder(archive: Archive, ranking: Sequence[Ranked]) -> None:
    """Give the candidates of a finished search the ranks, and those with a shape of their own the sizes, of a ranking.

    Args:
        archive: With places, open for writing.
        ranking: Best first. A genotype at several shapes counts where it first stands; a network that the search did
            not evaluate, such as one written by hand, has no row and leaves no gap.
    """
    _, rows = query(archive, "SELECT candidate, genes, parameters, macs FROM places")
    held = {_genes(genes): (number, parameters, macs) for number, genes, parameters, macs in rows}
    found = []
    for rank, entry in enumerate(_known(ranking, held), start=1):
        number, parameters, macs = held[entry.genotype.genes]
        size = (parameters, macs) if entry.shape is None else (entry.parameters, entry.macs)
        found.append((rank, *size, number))
    with archive.open() as connection:
        view.reorder(connection, found)


def _known(ranking: Sequence[Ranked], held: Mapping[tuple[int, ...], object]) -> list[Ranked]:
    first: dict[tuple[int, ...], Ranked] = {}
    for entry in ranking:
        if entry.genotype.genes in held:
            first.setdefault(entry.genotype.genes, entry)
    return list(first.values())


def query(archive: Archive, question: str, *values: object) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names of columns and rows that a SELECT answers."""
    with archive.open() as connection:
        found = connection.execute(question, values)
        return [column[0] for column in found.description], found.fetchall()


def there(archive: Archive) -> bool:
    """Whether the archive holds the places of a finished search; those of before, and of a search under way, do not."""
    _, tables = query(archive, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'places'")
    return bool(tables and query(archive, "SELECT 1 FROM places LIMIT 1")[1])


def kept(archive: Archive) -> list[dict[str, Any]]:
    """The rows of the view `archive`, best first and failed last; none where there are no places."""
    if not there(archive):
        return []
    # Within a schema that is not trusted a view may not read JSON, so that its query is asked by itself.
    ((made,),) = query(archive, "SELECT sql FROM sqlite_master WHERE type = 'view'")[1]
    names, rows = query(archive, view.body(made))
    with archive.sound_rows():
        found = [dict(zip(names, row, strict=True)) for row in rows]
        return [row | {"genes": _genes(row["genes"])} for row in found]


def evaluated(archive: Archive, numbers: Sequence[int]) -> list[Place]:
    """The places of the candidates with these numbers in order of evaluation, in the order asked for."""
    found: dict[int, Place] = {}
    for start in range(0, len(numbers), _TOGETHER):
        some = numbers[start : start + _TOGETHER]
        condition = f"evaluated IN ({', '.join('?' * len(some))})"
        names, rows = query(archive, f"SELECT * FROM places WHERE {condition} ORDER BY candidate", *some)
        scored = archive.where(f"candidates.id IN (SELECT candidate FROM places WHERE {condition})", *some)
        with archive.sound_rows():
            for row, each in zip(rows, scored, strict=True):
                own = dict(zip(names, row, strict=True))
                found[own["evaluated"]] = _place(each, own)
    with archive.sound_rows():
        return [found[number] for number in numbers]


def _place(scored: Candidate, own: dict[str, Any]) -> Place:
    genotype = Genotype(scored.genotype.space, _genes(own["genes"]))
    facts = {name: own[name] for name in ("value", "standard_error", "parameters", "macs", "generation", "origin")}
    candidate = dataclasses.replace(scored, genotype=genotype, **facts)
    return Place(candidate=candidate, genotype=own["genotype"], rank=own["rank"], evaluated=own["evaluated"])


def _genes(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _row(place: Place) -> tuple[Any, ...]:
    each = place.candidate
    genes = ",".join(map(str, each.genotype.genes))
    size = (each.parameters, each.macs, each.generation, each.origin)
    score = (each.value, each.standard_error)
    return (place.evaluated, place.rank, *score, place.genotype, genes, *size, each.measure, each.key)
