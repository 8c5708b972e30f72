"""Local search: to the best neighbour, until there is none better."""

from __future__ import annotations

from pydantic import Field

from lowland.core.genotype import Genotype
from lowland.core.settings import Positive, Section
from lowland.search.problem import SearchProblem
from lowland.search.strategies.regularized import Values
from lowland.search.strategies.state import SearchResult, SearchState
from lowland.search.strategies.strategy import Strategy, register


@register
class Local(Strategy):
    """All neighbours of a genotype are scored; the search goes on from the best, and begins anew at an optimum."""

    name = "local"
    summary = "to the best of all neighbours, from a random start; at an optimum from another"
    source = "White et al., Local Search is State of the Art for NAS Benchmarks, 2020 (arXiv 2005.02960)"

    class Config(Section):
        """How many."""

        candidates: Positive = Field(200, description="number of genotypes scored")

    options: Local.Config

    def candidates(self) -> int:
        """As many as are asked for."""
        return self.options.candidates

    def search(self, problem: SearchProblem) -> SearchResult:
        """Search; BudgetError where no network is within the limits."""
        state, wanted = SearchState(problem), self.options.candidates
        values = Values(state)
        start = 0
        while len(state.proposed) < wanted:
            found = state.random(start, range(1))
            if not found:
                break
            state.score(found, start, "random", wanted)
            self._climb(state, values, found[0], start)
            start += 1
        return state.result(self.name, start)

    def _climb(self, state: SearchState, values: Values, here: Genotype, start: int) -> None:
        """From `here` upwards, as far as the number of candidates allows."""
        wanted = self.options.candidates
        while True:
            around = list(state.space.neighbours(here))
            new: list[Genotype] = []
            for genotype in around:
                if len(state.proposed) == wanted:
                    break
                if state.propose(genotype):
                    new.append(genotype)
            state.score(new, start, "neighbour", wanted)
            best = max(around, key=values.order, default=here)
            if values.order(best) <= values.order(here) or len(state.proposed) >= wanted:
                return
            here = best
