"""Exhaustive search."""

from __future__ import annotations

from lowland.search.problem import SearchProblem
from lowland.search.scorer import Proposal
from lowland.search.strategies.state import AHEAD, SearchResult, SearchState
from lowland.search.strategies.strategy import Strategy, register


@register
class Exhaustive(Strategy):
    """Every genotype within the limits in the space's order, isomorphs once."""

    name = "exhaustive"
    summary = "every genotype of a small space"
    source = "NAS-Bench-201 (Dong and Yang, ICLR 2020), whose 15,625 genotypes are 6,466 networks"

    def search(self, problem: SearchProblem) -> SearchResult:
        """Search; ConfigError where the space is too large to list, BudgetError where no network is within limits."""
        state = SearchState(problem)
        genotypes = [genotype for genotype in problem.space.all() if state.propose(genotype)]
        if not genotypes:
            state.limits.require_any()
        state.stream(lambda place: [Proposal(genotypes[place], 0, self.name)], len(genotypes), AHEAD)
        return state.result(self.name, 1)
