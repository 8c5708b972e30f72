"""Evolution: mutants and crossovers of the best candidates so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from lowland import measures as measuring
from lowland.core.config import Config as RunConfig
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.core.settings import Positive, Probability, Section
from lowland.measures.combined import parts_of
from lowland.measures.expression import combination
from lowland.measures.subnet import SubnetMeasure
from lowland.search.problem import SearchProblem
from lowland.search.racing import Racing
from lowland.search.scorer import Proposal
from lowland.search.strategies.state import SearchResult, SearchState
from lowland.search.strategies.strategy import Strategy, register
from lowland.search.strategies.variation import per_gene, redrawn

if TYPE_CHECKING:
    import numpy as np

    from lowland.spaces.space import Space

ATTEMPTS = 10
"""Draws per wanted mutation or crossover before random genotypes fill the rest, as in the public SPOS code."""


@register
class Evolution(Strategy):
    """Elitist evolution (SPOS; GeNAS: population 50, 20 generations, 10 parents, 25 mutations, 25 crossovers).

    Generation 0 is random. Each further one takes as parents the best `parents` candidates scored so far and proposes
    `mutations` mutants, `crossovers` uniform crossovers of two of them, and random genotypes up to `population`. All
    candidates of a search differ (in function, not only in genes), so that a search scores population · generations of
    them. Where 10 draws per wanted child give too few new ones, random genotypes take their place.

    With `search.lag` there are no generations: proposal n is a mutant, a crossover or a random genotype as its place
    n mod `population` says, and its parents are the best `parents` of the candidates below n − lag. The first
    `population` are random, and so are all that see fewer than `parents` scores.
    """

    name = "evolution"
    summary = "mutants and crossovers of the best candidates so far"
    source = "SPOS (Guo et al., ECCV 2020), GeNAS §5"
    lags = True

    class Config(Section):
        """How many candidates of which kind."""

        population: Annotated[int, Field(ge=2)] = Field(20, description="candidates per generation")
        generations: Positive = Field(5, description="generations, the random first one included")
        parents: Positive = Field(5, description="how many of the best candidates so far become parents")
        mutations: Annotated[int, Field(ge=0)] = Field(10, description="mutants per generation")
        crossovers: Annotated[int, Field(ge=0)] = Field(5, description="crossovers of two parents per generation")
        mutation_probability: Probability = Field(0.1, description="with which each gene of a mutant changes")
        mutated_genes: Literal["all", "first-half"] = Field(
            "all", description="first-half: only the normal cell of DARTS, the public code's fault"
        )
        variation: Literal["space", "repair"] = Field(
            "space",
            description="how children are made: by the space's own mutation and crossover, or gene by gene and then "
            "repaired, as in the codes of RLNAS and GeNAS, where both parents may be the same",
        )
        racing: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
            None,
            description="share of the scored images (at least 30) that a candidate is looked at first; if it is "
            "significantly worse than the parents on them, it is not scored on all; default: no racing",
        )

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if self.parents > self.population:
                raise ValueError(f"parents ({self.parents}) must not exceed population ({self.population})")
            if self.mutations + self.crossovers > self.population:
                raise ValueError(
                    f"mutations + crossovers ({self.mutations + self.crossovers}) must not exceed population "
                    f"({self.population})"
                )
            return self

    options: Evolution.Config

    def require(self, config: RunConfig) -> None:
        """Raise ConfigError where racing could save nothing."""
        if self.options.racing is None:
            return
        racing = f"search.options.evolution.racing={self.options.racing:g}"
        if config.search.lag is not None:
            raise ConfigError(
                f"{racing} compares the candidates of a generation, but with search.lag={config.search.lag} there are "
                "none; leave one of the two out"
            )
        if not any(isinstance(part, SubnetMeasure) for part in parts_of(measuring.get(config.measure))):
            raise ConfigError(
                f"{racing} needs a measure that looks at images, such as flatness, but "
                f"measure.name={config.measure.name!r} does not; leave search.options.evolution.racing out"
            )
        if combination(config.measure) != "sum":
            raise ConfigError(
                f"{racing} compares values, but measure.combine={config.measure.combine} "
                "orders by ranks; set measure.combine=sum or leave search.options.evolution.racing out"
            )
        if config.finetune.epochs:
            raise ConfigError(
                f"{racing} would fine-tune every candidate for its first look already; set "
                "finetune.epochs=0 or leave search.options.evolution.racing out"
            )

    def candidates(self) -> int:
        """Those of all generations."""
        return self.options.population * self.options.generations

    def search(self, problem: SearchProblem) -> SearchResult:
        """Search; candidates that racing rules out are neither ranked nor made parents."""
        if problem.lag is not None:
            return self._streamed(SearchState(problem), problem.lag)
        if self.options.racing is None:
            return self._evolved(SearchState(problem))
        first = problem.first_look(self.options.racing)
        racing = Racing(first, problem.score, self.options.parents, problem.check)
        result = self._evolved(SearchState(problem, racing))
        first.require_success()
        return result

    def _evolved(self, state: SearchState) -> SearchResult:
        own = self.options
        total = own.population * own.generations
        generation = 0
        for generation in range(own.generations):
            parents = [candidate.genotype for candidate in state.ranking[: own.parents]]
            mutants, crosses = self._children(state, parents, generation) if parents else ([], [])
            randoms = state.random(generation, range(len(mutants) + len(crosses), own.population))
            batch = {"mutation": mutants, "crossover": crosses, "random": randoms}
            proposals = [Proposal(g, generation, origin) for origin, found in batch.items() for g in found]
            state.score_batch(proposals, total)
            if state.exhausted:
                break
        return state.result(self.name, generation + 1)

    def _children(
        self, state: SearchState, parents: list[Genotype], generation: int
    ) -> tuple[list[Genotype], list[Genotype]]:
        """New mutants and crossovers of `parents`, as many as wanted or as 10 draws for each give."""
        own = self.options
        mutants: list[Genotype] = []
        crosses: list[Genotype] = []
        for attempt in range(ATTEMPTS * own.mutations):
            if len(mutants) == own.mutations:
                break
            child = self._mutant(state.space, parents, numpy_rng(state.seed, "search", generation, "mutation", attempt))
            if state.propose(child):
                mutants.append(child)
        for attempt in range(ATTEMPTS * own.crossovers):
            if len(crosses) == own.crossovers or len(parents) < 2:
                break
            child = self._cross(state.space, parents, numpy_rng(state.seed, "search", generation, "crossover", attempt))
            if state.propose(child):
                crosses.append(child)
        return mutants, crosses

    def _mutant(self, space: Space, parents: Sequence[Genotype], rng: np.random.Generator) -> Genotype:
        own = self.options
        # The public code mutates the normal cell only, which is the first half of the genes.
        genes = range(len(space.gene_names) // 2) if own.mutated_genes == "first-half" else None
        parent = parents[int(rng.integers(len(parents)))]
        if own.variation == "repair":
            return redrawn(space, parent, rng, own.mutation_probability, genes)
        return space.mutate(parent, rng, own.mutation_probability, genes)

    def _cross(self, space: Space, parents: Sequence[Genotype], rng: np.random.Generator) -> Genotype:
        repair = self.options.variation == "repair"
        first, second = (parents[int(i)] for i in rng.choice(len(parents), 2, replace=repair))
        return per_gene(space, first, second, rng) if repair else space.crossover(first, second, rng)

    def _streamed(self, state: SearchState, lag: int) -> SearchResult:
        """With no generations: `population` proposals in a row are a generation in name only."""
        own = self.options

        def propose(number: int) -> list[Proposal]:
            if number == 0:  # random ones look at no scores
                return state.randoms(0, range(own.population))
            generation, place = divmod(number, own.population)
            parents = [candidate.genotype for candidate in state.ranking[: own.parents]]
            kind = self._kind(place) if len(parents) == own.parents else "random"
            for attempt in range(ATTEMPTS if kind != "random" else 0):
                rng = numpy_rng(state.seed, "search", "proposal", number, kind, attempt)
                child = (self._mutant if kind == "mutation" else self._cross)(state.space, parents, rng)
                if state.propose(child):
                    return [Proposal(child, generation, kind)]
            return state.randoms(generation, range(place, place + 1))

        state.stream(propose, own.population * own.generations, lag)
        return state.result(self.name, -(-len(state.proposed) // own.population))

    def _kind(self, place: int) -> str:
        """What the candidate at a place of its generation is."""
        own = self.options
        if place < own.mutations:
            return "mutation"
        return "crossover" if place < own.mutations + own.crossovers and own.parents > 1 else "random"
