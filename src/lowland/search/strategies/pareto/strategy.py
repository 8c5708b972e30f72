"""The pareto strategy: surrogate-assisted multi-objective search (FlatNAS, after MSuNAS; Lu et al., ECCV 2020).

Array names: N candidates, Q genotypes, M objectives, all minimised.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from lowland import spaces
from lowland.core.config import Config as RunConfig
from lowland.core.config import MeasureConfig
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.seeds import derive, numpy_rng
from lowland.core.settings import Positive, Probability, Section
from lowland.search.archive import Candidate
from lowland.search.limits import sampler
from lowland.search.objectives import Array, Objectives, parse
from lowland.search.problem import CostFunction, SearchProblem
from lowland.search.scorer import Proposal
from lowland.search.strategies.pareto.facts import Round, describe, ranked
from lowland.search.strategies.pareto.front import ranks
from lowland.search.strategies.pareto.inner import PredictedProblem, nsga2, spread
from lowland.search.strategies.pareto.surrogates import Surrogate, fit
from lowland.search.strategies.state import SearchResult, SearchState
from lowland.search.strategies.strategy import Strategy, register

if TYPE_CHECKING:
    from lowland.spaces.space import Space

Features = Callable[[Sequence[Genotype]], Array]
"""Genotypes → what surrogates see of them (Q, D)."""

FEWEST = 4
"""Scored candidates from which surrogates are fitted; with fewer, a round is random."""


@register
class Pareto(Strategy):
    """Trade off two or more objectives (published: 100 random genotypes, then 30 iterations of 8).

    Generation 0 scores `initial` random genotypes within the limits. Each iteration freezes the k of `flatnas` and
    takes the objective values of all scored candidates under it, fits a surrogate per objective that is not exact,
    runs NSGA-II on predicted and exact objectives with the limits as constraints, beginning with the front found so
    far, and scores `proposals` new genotypes that fill the gaps of the predicted front (origin `surrogate`; random ones
    where there are too few). A failed candidate has no objective values: it is neither learned from nor ranked. With
    `search.lag` iterations overlap: each learns the scores that its first proposal may see.
    """

    name = "pareto"
    summary = "several objectives traded off, with surrogate models and NSGA-II"
    lags = True
    source = "FlatNAS (Gambella et al., 2024, arXiv 2402.19102), after MSuNAS (Lu et al., ECCV 2020)"

    class Config(Section):
        """What is traded off, and how many candidates that takes."""

        objectives: tuple[str, ...] = Field(
            ("flatnas(alpha=0.5)", "params"), description="what is traded off: measures, error, params, macs, …"
        )
        initial: Annotated[int, Field(ge=2)] = Field(20, description="random genotypes scored first")
        iterations: Annotated[int, Field(ge=0)] = Field(5, description="rounds of surrogate search")
        proposals: Positive = Field(4, description="genotypes scored per round")
        pick: Literal["knee", "best"] = Field(
            "knee", description="the network of the front to deliver, its knee or the best by the first objective"
        )
        surrogate: Literal["adaptive", "rbf", "cart", "mlp", "gp"] = Field(
            "adaptive", description="model of each objective; adaptive: the best by cross-validated τ, every round"
        )
        inner_population: Annotated[int, Field(ge=4)] = Field(40, description="NSGA-II population on the surrogate")
        inner_generations: Positive = Field(20, description="NSGA-II generations on the surrogate")
        crossover: Literal["space", "two-point"] = Field(
            "space", description="in NSGA-II: the space's own, or two-point over the genes as published"
        )
        mutation: Literal["space", "polynomial"] = Field(
            "space", description="in NSGA-II: the space's own, or polynomial (elastic spaces), as published"
        )
        mutation_probability: Probability = Field(0.1, description="with which each gene of a child changes in NSGA-II")
        mutated_genes: Literal["all", "first-half"] = Field(
            "all", description="first-half: only the normal cell of DARTS, the public code's fault"
        )

    options: Pareto.Config

    @property
    def objectives(self) -> tuple[str, ...]:
        """What it trades off, as written."""
        return self.options.objectives

    def measure(self, config: MeasureConfig) -> MeasureConfig:
        """The one expression that measures all objectives, each part once; ConfigError for a wrong objective."""
        return parse(self.options.objectives, config).measure

    def require(self, config: RunConfig) -> None:
        """Raise ConfigError where the best are to be ordered by one score, or an objective is wrong."""
        for name, count, by in (
            ("finalists", config.search.finalists, "accuracy"),
            ("shortlist", config.search.shortlist, "shortlist_measure"),
        ):
            if count:
                raise ConfigError(
                    f"search.{name} orders the best by {by} alone, which would undo a trade-off; leave {name} out or "
                    "choose another strategy than pareto"
                )
        self.measure(config.measure)
        if self.options.mutation == "polynomial":
            space = spaces.get(config.space)
            rng = numpy_rng(config.seed)
            space.mutate_near(space.sample(rng), rng, 0.0, lambda value, count: value)

    def candidates(self) -> int:
        """The first ones, and those of every round."""
        return self.options.initial + self.options.iterations * self.options.proposals

    def search(self, problem: SearchProblem) -> SearchResult:
        """Search.

        Returns:
            Ranking: the pick of the feasible front first (`pick`: its knee, or its best by the first objective), then
            the rest of the front by distance to the pick in normalised objectives, then the others by non-domination
            rank and that distance. `facts`: see `describe`.

        Raises:
            BudgetError: No network of the space is within the limits.
            ConfigError: k cannot be taken from the candidates scored.
        """
        own, objectives = self.options, parse(self.options.objectives, problem.measure)

        def report(done: int, total: int, candidate: Candidate, best: Candidate | None) -> None:
            # No candidate is the best one before the end, so that none is reported as such.
            problem.report(done, total, candidate, None)

        # Objectives have their own values: ranks of a sum's parts play no part.
        state = SearchState(dataclasses.replace(problem, report=report, combine="sum"))
        total = own.initial + own.iterations * own.proposals
        rounds: list[Round] = []

        def propose(number: int) -> list[Proposal]:
            if state.exhausted:
                return []
            iteration = len(rounds)
            this = Round(iteration=iteration)
            found: list[Genotype] = []
            wanted = own.proposals if iteration else own.initial
            scored = _scored(state)
            if iteration and len(scored) >= FEWEST:
                found = self._proposals(state, objectives, scored, this)
            batch = [Proposal(genotype, iteration, "surrogate") for genotype in found]
            batch += state.randoms(iteration, range(len(found), wanted))
            this.proposed = len(batch)
            rounds.append(this)
            return batch

        state.stream(propose, total, problem.lag or 0)
        scored = _scored(state)
        for each in rounds:
            each.archive = sum(candidate.generation <= each.iteration for candidate in scored)
        result = state.result(self.name, len(rounds))
        if not scored:
            return result
        k = objectives.scale(scored)
        order = ranked(scored, objectives, k, own.pick)
        facts = describe(problem, own.pick, objectives, scored, rounds, k)
        return dataclasses.replace(result, ranking=tuple(order), facts=facts)

    def _proposals(
        self, state: SearchState, objectives: Objectives, scored: Sequence[Candidate], this: Round
    ) -> list[Genotype]:
        """New genotypes from the predicted front; notes k and surrogates in `this`."""
        own, cost = self.options, state.problem.cost
        this.k = objectives.scale(scored)
        values_NM = objectives.values(scored, this.k)
        features = _features(state.space, [candidate.genotype for candidate in scored], cost)
        x_ND = features([candidate.genotype for candidate in scored])
        for column, objective in enumerate(objectives.every):
            if not objective.exact:
                model_seed = derive(state.seed, "search", this.iteration, "surrogate", objective.label)
                this.surrogates[objective.label] = fit(own.surrogate, x_ND, values_NM[:, column], model_seed)
        predict = _prediction(features, objectives, this.surrogates, cost)
        problem = PredictedProblem(predict, cost, len(objectives), state.problem)
        front = [candidate.genotype for candidate, rank in zip(scored, ranks(values_NM), strict=True) if rank == 0]
        seed = derive(state.seed, "search", this.iteration, "nsga2")
        found = nsga2(state.space, problem, front, own, seed, sampler(state.space, state.problem.sampling))
        chosen = spread(state.space, found, values_NM, state.proposed.keys(), own.proposals)
        return [genotype for genotype in chosen if state.propose(genotype)]


def _scored(state: SearchState) -> list[Candidate]:
    """Those with scores, in the order of their proposals."""
    return [candidate for candidate in state.taken if candidate.status == "scored"]


def _features(space: Space, scored: Sequence[Genotype], cost: CostFunction) -> Features:
    """Describe genotypes to surrogates: by their encodings, and the logarithms of parameters and MACs.

    The sizes are in standard deviations of the scored genotypes'. They cost nothing, and few points teach more with
    them (docs/log.md).

    Returns:
        A function of genotypes that gives their features (Q, D).
    """

    def sizes(genotypes: Sequence[Genotype]) -> Array:
        found = [cost(genotype) for genotype in genotypes]
        return np.log1p(np.array([[size.parameters, size.macs] for size in found], dtype=np.float64))

    known_N2 = sizes(scored)
    centre_2, spread_2 = known_N2.mean(axis=0), known_N2.std(axis=0)
    spread_2[spread_2 <= 1e-9] = 1.0

    def features(genotypes: Sequence[Genotype]) -> Array:
        x_QD = np.array([space.encode(genotype) for genotype in genotypes], dtype=np.float64)
        return np.hstack([x_QD, (sizes(genotypes) - centre_2) / spread_2])

    return features


def _prediction(
    features: Features, objectives: Objectives, surrogates: Mapping[str, Surrogate], cost: CostFunction
) -> Callable[[Sequence[Genotype]], Array]:
    """Genotypes → objective values (Q, M): exact sizes, and what the surrogates predict."""

    def predict(genotypes: Sequence[Genotype]) -> Array:
        x_QD = features(genotypes)
        sizes = [cost(genotype) for genotype in genotypes]
        columns: list[Array] = []
        for objective in objectives.every:
            if objective.label in surrogates:
                columns.append(surrogates[objective.label].predict(x_QD))
            else:
                counts = [size.parameters if objective.kind == "params" else size.macs for size in sizes]
                columns.append(np.array(counts, dtype=np.float64))
        return np.stack(columns, axis=1)

    return predict
