"""Whether a search's scores have a unit or are only an order, and each network's place where they are one."""

from __future__ import annotations

from lowland.core.config import Config
from lowland.measures.expression import combination
from lowland.search.strategies import strategy as strategies
from lowland.store.artifacts import Searched


def combined(config: Config, searched: Searched) -> str:
    """How the search came to its order (`measure.combine`); `sum` where its scores have a unit."""
    # Searches of before did not record it; it then follows from the settings, where there is an archive.
    if searched.combine is not None:
        return searched.combine
    return following(config) if searched.measure is not None else "sum"


def following(config: Config) -> str:
    """How the settings of a run order its candidates; several objectives have values of their own."""
    return "sum" if strategies.chosen(config.search).objectives else combination(config.measure)


def standings(config: Config, searched: Searched) -> list[int | None] | None:
    """The place of each network of `searched.ranking` in the order of the measure, from 1 of `summary["scored"]`.

    A shortlist or finalists may have ordered the first anew since.

    Returns:
        The places; None for one that is not known any more. None at all where scores have a unit.
    """
    if combined(config, searched) == "sum":
        return None
    ranking = searched.ranking
    if any(entry.place is not None for entry in ranking):
        return [entry.place for entry in ranking]
    # Not recorded by searches of before. Only the first were ordered anew: sorting these gives back what was.
    if max(config.search.shortlist, config.search.finalists) > len(ranking):
        return [None] * len(ranking)
    before = sorted(ranking, key=lambda entry: (-(entry.value or 0.0), entry.parameters, entry.genes))
    places = {entry.genes: place for place, entry in enumerate(before, start=1)}
    return [places[entry.genes] for entry in ranking]


def shortlist_standings(config: Config, searched: Searched) -> list[tuple[int, int] | None] | None:
    """The place of each network of `searched.ranking` in the order of the shortlist's measure, and of how many.

    Returns:
        The places; None for a network that is not on the shortlist. None at all where its values have a unit.
    """
    measure = config.measure.model_copy(update={"name": config.search.shortlist_measure})
    if combination(measure) == "sum":
        return None
    values = [entry.shortlist["value"] if entry.shortlist is not None else None for entry in searched.ranking]
    judged = sorted((value for value in values if value is not None), reverse=True)
    return [None if value is None else (judged.index(value) + 1, len(judged)) for value in values]
