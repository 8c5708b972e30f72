"""Random search."""

from __future__ import annotations

from pydantic import Field

from lowland.core.settings import Positive, Section
from lowland.search.problem import SearchProblem
from lowland.search.strategies.state import AHEAD, SearchResult, SearchState
from lowland.search.strategies.strategy import Strategy, register


@register
class Random(Strategy):
    """`candidates` different genotypes within the limits, uniform."""

    name = "random"
    summary = "uniform random genotypes"
    source = "Li and Talwalkar, UAI 2019"

    class Config(Section):
        """How many."""

        candidates: Positive = Field(1000, description="number of genotypes scored")

    options: Random.Config

    def candidates(self) -> int:
        """As many as are asked for."""
        return self.options.candidates

    def search(self, problem: SearchProblem) -> SearchResult:
        """Search; BudgetError where no network is within the limits."""
        state, wanted = SearchState(problem), self.options.candidates
        state.stream(lambda slot: state.randoms(0, range(slot, slot + 1)), wanted, AHEAD)
        return state.result(self.name, 1)
