"""Local search: to the best neighbour, until there is none better."""

from __future__ import annotations

from collections.abc import Container

from pydantic import Field

from lowland.core.genotype import Genotype
from lowland.core.settings import Positive, Section
from lowland.search.problem import SearchProblem
from lowland.search.scorer import Proposal
from lowland.search.strategies.regularized import Values
from lowland.search.strategies.state import SearchResult, SearchState
from lowland.search.strategies.strategy import Strategy, register


@register
class Local(Strategy):
    """All neighbours of a genotype are scored; the search goes on from the best, and begins anew at an optimum.

    With `search.lag` further climbs begin, from further random starts, while the scores of all neighbours are awaited;
    the earliest climb that can go on does.
    """

    name = "local"
    summary = "to the best of all neighbours, from a random start; at an optimum from another"
    lags = True
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
        climbs: list[Climb] = []
        known: set[str] = set()
        values, started = Values(state), 0

        def propose(number: int) -> list[Proposal]:
            nonlocal started
            known.update(each.key for each in state.taken[len(known) :])
            for climb in climbs:
                found = climb.further(state, values, known, wanted - number)
                if found:
                    return [Proposal(genotype, climb.start, "neighbour") for genotype in found]
            climbs[:] = (climb for climb in climbs if not climb.ended)
            first = state.randoms(started, range(1))
            if first:
                climbs.append(Climb(started, first[0].genotype))
                started += 1
            return first

        state.stream(propose, wanted, problem.lag or 0)
        return state.result(self.name, started)


class Climb:
    """One way upwards.

    Args:
        start: Its number.
        here: Where it begins.
    """

    def __init__(self, start: int, here: Genotype) -> None:
        self.start = start
        self.here = here
        self.ended = False
        self._around: list[Genotype] | None = None

    def further(self, state: SearchState, values: Values, known: Container[str], most: int) -> list[Genotype]:
        """New neighbours of where it stands, or of where it gets, all at once, but at most so many.

        They then count as proposed. None: scores of some are not known yet, or it has ended, at an optimum.

        Returns:
            The neighbours.
        """
        while not self.ended:
            if self._around is None:
                self._around = list(state.space.neighbours(self.here))
                new: list[Genotype] = []
                for genotype in self._around:
                    if len(new) == most:
                        break
                    if state.propose(genotype):
                        new.append(genotype)
                if new:
                    return new
            around = [self.here, *self._around]
            keys = map(state.space.key, around)
            if any(key in state.proposed and key not in known for key in keys):
                return []
            best = max(self._around, key=values.order, default=self.here)
            self.ended = values.order(best) <= values.order(self.here)
            self.here, self._around = best, None
        return []
