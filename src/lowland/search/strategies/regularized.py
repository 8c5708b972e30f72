"""Regularized evolution: tournaments, one change, and the oldest dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.core.settings import Positive, Section
from lowland.search.problem import SearchProblem
from lowland.search.scorer import Proposal
from lowland.search.strategies.state import SearchResult, SearchState
from lowland.search.strategies.strategy import Strategy, register

if TYPE_CHECKING:
    import numpy as np

    from lowland.spaces.space import Space

STALLED = 200
"""Children in a row that were all known before; a random genotype then takes the place of the next."""


@register
class RegularizedEvolution(Strategy):
    """A population in the order of age. The best of a random few has a child with one change; the oldest dies.

    A child that was scored before (or computes the same function) joins the population with its known score and costs
    nothing; the search ends with `candidates` scored ones.

    With `search.lag` a candidate joins when the proposal `lag` + 1 places later is made, so that as many are scored at
    a time, as in the published asynchronous search; while nobody is alive proposals are random.
    """

    name = "regularized-evolution"
    summary = "a child of the best of a random few joins the population, its oldest member leaves"
    source = "Real et al., AAAI 2019 (arXiv 1802.01548); settings of NAS-Bench-201's code"
    lags = True

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
        values = Values(state)
        alive: deque[Genotype] = deque(maxlen=own.population)
        birth = joined = 0

        def propose(number: int) -> list[Proposal]:
            nonlocal birth, joined
            if number == 0:
                return state.randoms(0, range(min(own.population, own.candidates)))
            if state.exhausted:
                return []
            alive.extend(each.genotype for each in state.taken[joined:] if each.status == "scored")
            joined = len(state.taken)
            for _ in range(STALLED if alive else 0):
                birth += 1
                child = self._child(state.space, alive, values, numpy_rng(state.seed, "search", "birth", birth - 1))
                if values.of(child) is not None:
                    alive.append(child)
                elif state.propose(child):
                    return [Proposal(child, birth, "mutation")]
            birth += 1
            return state.randoms(birth, range(1))

        state.stream(propose, own.candidates, problem.lag or 0)
        return state.result(self.name, birth + 1)

    def _child(self, space: Space, alive: Sequence[Genotype], values: Values, rng: np.random.Generator) -> Genotype:
        """A neighbour of the best of a random few."""
        few = rng.choice(len(alive), size=min(self.options.tournament, len(alive)), replace=False)
        parent = max((alive[int(place)] for place in sorted(few)), key=values.order)
        others = list(space.neighbours(parent))
        return others[int(rng.integers(len(others)))]


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
