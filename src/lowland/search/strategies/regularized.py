"""Regularized evolution: tournaments, one change, and the oldest dies."""

from __future__ import annotations

from collections import deque
from typing import Annotated, Self

from pydantic import Field, model_validator

from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.core.settings import Positive, Section
from lowland.search.problem import SearchProblem
from lowland.search.strategies.state import SearchResult, SearchState
from lowland.search.strategies.strategy import Strategy, register

STALLED = 200
"""Children in a row that were all known before; a random genotype then takes the place of the next."""


@register
class RegularizedEvolution(Strategy):
    """A population in the order of age. The best of a random few has a child with one change; the oldest dies.

    A child that was scored before (or computes the same function) joins the population with its known score and costs
    nothing; the search ends with `candidates` scored ones.
    """

    name = "regularized-evolution"
    summary = "a child of the best of a random few joins the population, its oldest member leaves"
    source = "Real et al., AAAI 2019 (arXiv 1802.01548); settings of NAS-Bench-201's code"

    class Config(Section):
        """How many, and how strong the selection is."""

        candidates: Positive = Field(200, description="number of genotypes scored, the random first ones included")
        population: Annotated[int, Field(ge=2)] = Field(10, description="members alive")
        tournament: Positive = Field(3, description="random members of which the best has a child")

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if self.tournament > self.population:
                raise ValueError(f"tournament ({self.tournament}) must not exceed population ({self.population})")
            return self

    options: RegularizedEvolution.Config

    def candidates(self) -> int:
        """As many as are asked for."""
        return self.options.candidates

    def search(self, problem: SearchProblem) -> SearchResult:
        """Search; BudgetError where no network is within the limits."""
        own, state = self.options, SearchState(problem)
        first = state.random(0, range(min(own.population, own.candidates)))
        state.score(first, 0, "random", own.candidates)
        values = Values(state)
        alive = deque((genotype for genotype in first if values.of(genotype) is not None), maxlen=own.population)
        birth = stalled = 0
        while len(state.proposed) < own.candidates and not state.exhausted:
            rng = numpy_rng(state.seed, "search", "birth", birth)
            birth += 1
            child, origin = None, "mutation"
            if len(alive) and stalled < STALLED:
                few = rng.choice(len(alive), size=min(own.tournament, len(alive)), replace=False)
                parent = max((alive[int(place)] for place in sorted(few)), key=values.order)
                others = list(state.space.neighbours(parent))
                child = others[int(rng.integers(len(others)))]
                stalled += 1
                if values.of(child) is not None:
                    alive.append(child)
                    continue
                if not state.propose(child):
                    continue
            else:
                found = state.random(birth, range(1))
                if not found:
                    break
                child, origin = found[0], "random"
            stalled = 0
            state.score([child], birth, origin, own.candidates)
            if values.of(child) is not None:
                alive.append(child)
        return state.result(self.name, birth + 1)


class Values:
    """Scores of what a search has scored so far, also of genotypes that compute the same function.

    Where a sum orders by ranks they are the aggregates of the moment, which every further candidate changes.
    """

    def __init__(self, state: SearchState) -> None:
        self.state = state
        self._known: dict[str, float] = {}
        self._read: tuple[int, int] = (0, 0)

    def of(self, genotype: Genotype) -> float | None:
        """The score; None where there is none."""
        ranking = self.state.ranking
        if self._read != (id(ranking), len(ranking)):
            self._known = {each.key: each.value for each in ranking if each.value is not None}
            self._read = (id(ranking), len(ranking))
        return self._known.get(self.state.space.key(genotype))

    def order(self, genotype: Genotype) -> float:
        """The score, or −∞."""
        value = self.of(genotype)
        return float("-inf") if value is None else value
