"""Search by an ensemble of surrogates: mutants of the best are scored where a sampled prediction is highest.

Array names: N scored genotypes, Q mutants, M models, D numbers of an encoding.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from lowland.core.genotype import Genotype
from lowland.core.seeds import derive, numpy_rng
from lowland.core.settings import Positive, Section
from lowland.search.problem import SearchProblem
from lowland.search.scorer import Proposal
from lowland.search.strategies.pareto import surrogates
from lowland.search.strategies.pareto.surrogates import Array
from lowland.search.strategies.state import SearchResult, SearchState
from lowland.search.strategies.strategy import Strategy, register


@register
class Bananas(Strategy):
    """In each round an ensemble learns the scores so far, and a few one-gene mutants of the best are scored.

    Which: independent Thompson sampling. For each mutant a value is drawn from N(μ, s²), mean and standard deviation
    over the predictions of the ensemble, and the highest draws are taken. Unlike the published code, which encodes
    the paths of a cell and has networks of ten layers, models see the space's own encoding and are those of the pareto
    strategy. With `search.lag` rounds overlap: each learns the scores that its first proposal may see.
    """

    name = "bananas"
    summary = "an ensemble predicts scores; mutants of the best with the highest sampled predictions are scored"
    lags = True
    source = "White et al., BANANAS, AAAI 2021 (arXiv 1910.11858)"

    class Config(Section):
        """How many, and which models."""

        candidates: Positive = Field(200, description="number of genotypes scored, the random first ones included")
        initial: Annotated[int, Field(ge=2)] = Field(10, description="random ones before the first model")
        proposals: Positive = Field(10, description="scored in each round")
        parents: Positive = Field(5, description="best ones whose mutants are looked at")
        models: Annotated[int, Field(ge=2)] = Field(5, description="members of the ensemble")
        surrogate: Literal["mlp", "cart"] = Field("mlp", description="kind of model; both are random in their start")

    options: Bananas.Config

    def candidates(self) -> int:
        """As many as are asked for."""
        return self.options.candidates

    def search(self, problem: SearchProblem) -> SearchResult:
        """Search; BudgetError where no network is within the limits."""
        own, state = self.options, SearchState(problem)
        round_ = -1

        def propose(number: int) -> list[Proposal]:
            nonlocal round_
            if state.exhausted:
                return []
            round_ += 1
            if number == 0:
                return state.randoms(0, range(min(own.initial, own.candidates)))
            room = min(own.proposals, own.candidates - number)
            chosen = [Proposal(each, round_, "surrogate") for each in self._promising(state, round_, room)]
            # The best may have no further neighbours, or nothing could be scored.
            return chosen + state.randoms(round_, range(room - len(chosen)))

        state.stream(propose, own.candidates, problem.lag or 0)
        return state.result(self.name, round_ + 1)

    def _promising(self, state: SearchState, round_: int, count: int) -> list[Genotype]:
        """At most `count` new mutants with the highest draws, which then count as proposed."""
        best = state.ranking[: self.options.parents]
        pool: dict[str, Genotype] = {}
        for candidate in best:
            for genotype in state.space.neighbours(candidate.genotype):
                key = state.space.key(genotype)
                if key not in state.proposed:
                    pool.setdefault(key, genotype)
        if not pool:
            return []
        mutants = list(pool.values())
        mean_Q, std_Q = self._predicted(state, mutants, round_)
        draws_Q = mean_Q + std_Q * numpy_rng(state.seed, "search", "thompson", round_).standard_normal(len(mutants))
        found: list[Genotype] = []
        for place in np.argsort(-draws_Q, kind="stable"):
            if len(found) == count:
                break
            if state.propose(mutants[place]):
                found.append(mutants[place])
        return found

    def _predicted(self, state: SearchState, mutants: list[Genotype], round_: int) -> tuple[Array, Array]:
        """Mean and standard deviation of the ensemble's predictions."""
        scored = [candidate for candidate in state.ranking if candidate.value is not None]
        x_ND = _encoded(state, [candidate.genotype for candidate in scored])
        y_N = np.array([candidate.value for candidate in scored], dtype=np.float64)
        x_QD = _encoded(state, mutants)
        predicted_MQ = np.stack(
            [
                surrogates.fitted(
                    self.options.surrogate, x_ND, y_N, derive(state.seed, "search", "model", round_, member)
                )(x_QD)
                for member in range(self.options.models)
            ]
        )
        return predicted_MQ.mean(axis=0), predicted_MQ.std(axis=0)


def _encoded(state: SearchState, genotypes: list[Genotype]) -> Array:
    return np.array([state.space.encode(genotype) for genotype in genotypes], dtype=np.float64)
