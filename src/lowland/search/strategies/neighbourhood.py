"""Random search by the mean score of neighbourhoods, which favours flat regions of the space."""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import Annotated

from pydantic import Field

from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.core.settings import Positive, Section
from lowland.search.aggregation import neighbourhood_mean
from lowland.search.problem import SearchProblem
from lowland.search.strategies.regularized import Values
from lowland.search.strategies.state import SearchResult, SearchState
from lowland.search.strategies.strategy import Strategy, register


@register
class Neighbourhood(Strategy):
    """Random genotypes are each scored with their neighbours, and ordered by the mean of all of them (NA-RS).

    The ranking has the centres first, with the mean as their value, and then the neighbours by their own scores.
    """

    name = "neighbourhood"
    summary = "random genotypes, ordered by the mean score of each and its neighbours"
    source = "NA-RS (Wang et al., Neighborhood-Aware NAS, 2021, arXiv 2105.06369)"

    class Config(Section):
        """How many."""

        centres: Positive = Field(10, description="random genotypes")
        neighbours: Annotated[int, Field(ge=1)] | None = Field(
            None, description="random neighbours of each that are scored; default: all"
        )

    options: Neighbourhood.Config

    def search(self, problem: SearchProblem) -> SearchResult:
        """Search; BudgetError where no network is within the limits."""
        state, own = SearchState(problem), self.options
        around: dict[str, tuple[Genotype, list[Genotype]]] = {}
        total = own.centres
        for number in range(own.centres):
            found = state.random(number, range(1))
            if not found:
                break
            others = list(state.space.neighbours(found[0]))
            if own.neighbours is not None and own.neighbours < len(others):
                rng = numpy_rng(state.seed, "search", number, "neighbours")
                others = [others[int(place)] for place in sorted(rng.permutation(len(others))[: own.neighbours])]
            around[state.space.key(found[0])] = (found[0], others)
            new = [*found, *(genotype for genotype in others if state.propose(genotype))]
            total = len(state.proposed) + (own.centres - number - 1) * (1 + len(others))
            state.score(new, number, "neighbourhood", total)
        values = Values(state)
        centres, rest = [], []
        for candidate in state.ranking:
            if candidate.key not in around:
                rest.append(candidate)
                continue
            centre, others = around[candidate.key]
            mean = neighbourhood_mean([values.of(each) for each in (centre, *others)])
            centres.append(dataclasses.replace(candidate, value=mean, standard_error=None))
        state.ranking = [*sorted(centres, key=attrgetter("rank")), *rest]
        return state.result(self.name, len(around))
