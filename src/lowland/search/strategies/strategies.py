"""Search strategies: evolution, random and exhaustive search, each a deterministic function of the run seed.

Resuming is replaying: every draw depends only on the seed, the generation and the slot, and the scores of earlier
generations come from the archive, so that a search begun again makes the same proposals and scores what is missing.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.search.aggregation import aggregated
from lowland.search.archive import Candidate
from lowland.search.limits import Limits
from lowland.search.scorer import Proposal

if TYPE_CHECKING:
    from lowland.core.config import SearchConfig
    from lowland.search.objectives import Objectives
    from lowland.search.racing import Racing
    from lowland.search.scorer import Evaluator
    from lowland.spaces.space import Cost, Space

ScoreFunction = Callable[[Sequence[Proposal]], Iterator[Candidate]]
"""A batch of proposals → their candidates, scored or failed, in the same order."""

CostFunction = Callable[[Genotype], "Cost"]
"""Size of the delivered network of a genotype."""

Report = Callable[[int, int, Candidate, Candidate | None], None]
"""Called after every candidate: number done, number planned, this candidate, the best one so far."""

CHUNK = 256
"""Candidates of a batch where a strategy has no generations; large, because the workers wait for the batch's last."""

ATTEMPTS = 10
"""Draws per wanted mutation or crossover before random genotypes fill the rest, as in the public SPOS code."""


@dataclass(frozen=True, kw_only=True)
class SearchSummary:
    """What a search did.

    Attributes:
        strategy: Its name.
        generations: How many were carried out; 1 where there are none.
        proposed: Unique candidates proposed, equal to scored + failed + raced out.
        scored: Candidates with a score.
        failed: Candidates without.
        rejected: Draws beyond the size limits, never scored.
        repeated: Draws of a genotype proposed before.
        isomorphs: Draws of another genotype that computes the same function as one proposed before.
        note: One sentence where the search ended early, else empty.
        raced_out: Candidates that few images ruled out (`search.racing`); they have no score to compare.
    """

    strategy: str
    generations: int
    proposed: int
    scored: int
    failed: int
    rejected: int
    repeated: int
    isomorphs: int
    note: str = ""
    raced_out: int = 0


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """Scored candidates, best first (ties: fewer parameters, then smaller genes), and what the search did.

    `facts`: what the pareto strategy tells besides, as JSON (`pareto.describe`); None of other strategies.
    """

    ranking: tuple[Candidate, ...]
    summary: SearchSummary
    facts: Mapping[str, Any] | None = None


class SearchState:
    """One search under way: what was proposed, what it scored, and what was refused."""

    def __init__(
        self,
        space: Space,
        config: SearchConfig,
        seed: int,
        score: ScoreFunction,
        cost: CostFunction,
        report: Report,
        combine: str = "sum",
    ) -> None:
        self.space = space
        self.config = config
        self.seed = seed
        self.limits = Limits(space, config, cost, seed)
        self.proposed: dict[str, Genotype] = {}
        self.ranking: list[Candidate] = []
        self.exhausted = False
        self._combine = combine
        self._score = score
        self._report = report
        self._done = 0
        self._raced_out = 0
        self._repeated = 0
        self._isomorphs = 0

    def propose(self, genotype: Genotype) -> bool:
        """Whether `genotype` is new and within the limits; it then counts as proposed."""
        key = self.space.key(genotype)
        if key in self.proposed:
            same = self.proposed[key] == genotype
            self._repeated += same
            self._isomorphs += not same
            return False
        if not self.limits.allow(genotype):
            return False
        self.proposed[key] = genotype
        return True

    def random(self, generation: int, slots: range) -> list[Genotype]:
        """A new uniform genotype per slot; fewer, and `exhausted` set, where the space has no more."""
        found: list[Genotype] = []
        for slot in slots:
            genotype = self.limits.sample(self.propose, self.proposed.keys(), generation, "random", slot)
            if genotype is None:
                self.exhausted = True
                break
            self.proposed[self.space.key(genotype)] = genotype
            found.append(genotype)
        return found

    def score(self, genotypes: Sequence[Genotype], generation: int, origin: str, total: int) -> None:
        """Score proposed genotypes as one batch, telling about each."""
        self.score_batch([Proposal(genotype, generation, origin) for genotype in genotypes], total)

    def score_batch(self, proposals: Sequence[Proposal], total: int) -> None:
        """Score a batch of proposals, telling about each."""
        for candidate in self._score(proposals):
            self._done += 1
            if candidate.status == "scored":
                insort(self.ranking, candidate, key=attrgetter("rank"))
            self._raced_out += candidate.status == "raced"
            self._report(self._done, total, candidate, self.ranking[0] if self.ranking else None)
        if self._combine != "sum":
            self.ranking = aggregated(self.ranking, self._combine)

    def result(self, strategy: str, generations: int) -> SearchResult:
        """The ranking and the summary."""
        note = ""
        if self.exhausted:
            within = (
                "" if self.config.max_params is None and self.config.max_macs is None else " within the size limits"
            )
            note = f"the search ended after {self._done} candidates: {self.space.name} has no further network{within}"
        summary = SearchSummary(
            strategy=strategy,
            generations=generations,
            proposed=self._done,
            scored=len(self.ranking),
            failed=self._done - len(self.ranking) - self._raced_out,
            rejected=self.limits.rejected,
            repeated=self._repeated,
            isomorphs=self._isomorphs,
            note=note,
            raced_out=self._raced_out,
        )
        return SearchResult(ranking=tuple(self.ranking), summary=summary)


def evolution(
    space: Space,
    config: SearchConfig,
    seed: int,
    score: ScoreFunction,
    cost: CostFunction,
    report: Report,
    combine: str = "sum",
) -> SearchResult:
    """Elitist evolution (SPOS; GeNAS: population 50, 20 generations, 10 parents, 25 mutations, 25 crossovers).

    Generation 0 is random. Each further one takes as parents the best `parents` candidates scored so far and proposes
    `mutations` mutants, `crossovers` uniform crossovers of two of them, and random genotypes up to `population`. All
    candidates of a search differ (in function, not only in genes), so that a search scores population · generations of
    them. Where 10 draws per wanted child give too few new ones, random genotypes take their place.

    Raises:
        BudgetError: No network of the space is within the limits.
    """
    search = SearchState(space, config, seed, score, cost, report, combine)
    total = config.population * config.generations
    # The public code mutates the normal cell only, which is the first half of the genes.
    genes = range(len(space.gene_names) // 2) if config.mutated_genes == "first-half" else None
    generation = 0
    for generation in range(config.generations):
        parents = [candidate.genotype for candidate in search.ranking[: config.parents]]
        mutants, crosses = _children(search, parents, generation, genes) if parents else ([], [])
        randoms = search.random(generation, range(len(mutants) + len(crosses), config.population))
        batch = {"mutation": mutants, "crossover": crosses, "random": randoms}
        search.score_batch([Proposal(g, generation, origin) for origin, found in batch.items() for g in found], total)
        if search.exhausted:
            break
    return search.result("evolution", generation + 1)


def _children(
    search: SearchState, parents: list[Genotype], generation: int, genes: range | None
) -> tuple[list[Genotype], list[Genotype]]:
    """New mutants and crossovers of `parents`, as many as wanted or as 10 draws for each give."""
    config = search.config
    mutants: list[Genotype] = []
    crosses: list[Genotype] = []
    for attempt in range(ATTEMPTS * config.mutations):
        if len(mutants) == config.mutations:
            break
        rng = numpy_rng(search.seed, "search", generation, "mutation", attempt)
        parent = parents[int(rng.integers(len(parents)))]
        child = search.space.mutate(parent, rng, config.mutation_probability, genes)
        if search.propose(child):
            mutants.append(child)
    for attempt in range(ATTEMPTS * config.crossovers):
        if len(crosses) == config.crossovers or len(parents) < 2:
            break
        rng = numpy_rng(search.seed, "search", generation, "crossover", attempt)
        first, second = (parents[int(i)] for i in rng.choice(len(parents), 2, replace=False))
        child = search.space.crossover(first, second, rng)
        if search.propose(child):
            crosses.append(child)
    return mutants, crosses


def random(
    space: Space,
    config: SearchConfig,
    seed: int,
    score: ScoreFunction,
    cost: CostFunction,
    report: Report,
    combine: str = "sum",
) -> SearchResult:
    """Random search: `candidates` different genotypes within the limits, uniform; BudgetError where there is none."""
    search = SearchState(space, config, seed, score, cost, report, combine)
    for first in range(0, config.candidates, CHUNK):
        slots = range(first, min(first + CHUNK, config.candidates))
        search.score(search.random(0, slots), 0, "random", config.candidates)
        if search.exhausted:
            break
    return search.result("random", 1)


def exhaustive(
    space: Space,
    config: SearchConfig,
    seed: int,
    score: ScoreFunction,
    cost: CostFunction,
    report: Report,
    combine: str = "sum",
) -> SearchResult:
    """Every genotype within the limits in the space's order, isomorphs once.

    Raises:
        ConfigError: The space is too large to list.
        BudgetError: No network of the space is within the limits.
    """
    search = SearchState(space, config, seed, score, cost, report, combine)
    genotypes = [genotype for genotype in space.all() if search.propose(genotype)]
    if not genotypes:
        search.limits.require_any()
    for first in range(0, len(genotypes), CHUNK):
        search.score(genotypes[first : first + CHUNK], 0, "exhaustive", len(genotypes))
    return search.result("exhaustive", 1)


STRATEGIES = {"evolution": evolution, "random": random, "exhaustive": exhaustive}


def search(
    space: Space,
    config: SearchConfig,
    seed: int,
    evaluator: Evaluator | Racing,
    report: Report,
    objectives: Objectives | None = None,
    combine: str = "sum",
) -> SearchResult:
    """Run the strategy that `config` names; `pareto` needs `objectives`, whose `measure` the evaluator must score.

    With `combine` (`measure.combine`) other than `sum`, candidates are ordered after every batch by the ranks of the
    parts of their measure among all candidates scored so far.

    Raises:
        BudgetError: No network of the space is within the limits.
        ConfigError: The space is too large for exhaustive search.
        LowlandError: No candidate could be scored; the commonest reason is named.
    """
    if config.strategy == "pareto":
        from lowland.search.strategies.pareto.strategy import pareto

        if objectives is None:
            raise ValueError("the pareto strategy needs objectives")
        result = pareto(space, config, seed, evaluator, evaluator.cost, report, objectives)
    else:
        result = STRATEGIES[config.strategy](space, config, seed, evaluator, evaluator.cost, report, combine)
    evaluator.require_success()
    return result
