"""A search under way, and what it leaves."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from lowland.core.genotype import Genotype
from lowland.search.aggregation import aggregated
from lowland.search.archive import Candidate
from lowland.search.limits import Limits
from lowland.search.problem import ScoreFunction, SearchProblem
from lowland.search.scorer import Proposal

CHUNK = 256
"""Candidates of a batch where a strategy has no generations; large, because the workers wait for the batch's last."""


@dataclass(frozen=True, kw_only=True)
class SearchSummary:
    """What a search did.

    Attributes:
        strategy: Name of the strategy, or of the searcher that has none.
        proposed: Unique candidates proposed, equal to scored + failed + raced out.
        scored: Candidates with a score.
        generations: How many were carried out; 1 where there are none.
        failed: Candidates without.
        rejected: Draws beyond the size limits, never scored.
        repeated: Draws of a genotype proposed before.
        isomorphs: Draws of another genotype that computes the same function as one proposed before.
        note: One sentence where the search ended early, else empty.
        raced_out: Candidates that few images ruled out (`racing`); they have no score to compare.
    """

    strategy: str
    proposed: int
    scored: int
    generations: int = 1
    failed: int = 0
    rejected: int = 0
    repeated: int = 0
    isomorphs: int = 0
    note: str = ""
    raced_out: int = 0


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """Scored candidates, best first (ties: fewer parameters, then smaller genes), and what the search did.

    `facts`: what a strategy with several objectives tells besides, as JSON (`Pareto`); None of other strategies.
    """

    ranking: tuple[Candidate, ...]
    summary: SearchSummary
    facts: Mapping[str, Any] | None = None


class SearchState:
    """One search under way: what was proposed, what it scored, and what was refused.

    Args:
        problem: What is searched.
        score: Scores proposals in place of `problem.score`.
    """

    def __init__(self, problem: SearchProblem, score: ScoreFunction | None = None) -> None:
        self.problem = problem
        self.space = problem.space
        self.seed = problem.seed
        self.limits = Limits(problem.space, problem, problem.cost, problem.seed, problem.sampling)
        self.proposed: dict[str, Genotype] = {}
        self.ranking: list[Candidate] = []
        self.exhausted = False
        self._score = score if score is not None else problem.score
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
        """Score a batch of proposals, telling about each; ranks are given anew when all of it are scored."""
        ranks, fresh = self.problem.combine != "sum", []
        for candidate in self._score(proposals):
            self._done += 1
            if candidate.status == "scored" and ranks:
                fresh.append(candidate)
            elif candidate.status == "scored":
                insort(self.ranking, candidate, key=attrgetter("rank"))
            self._raced_out += candidate.status == "raced"
            self.problem.report(self._done, total, candidate, self.ranking[0] if self.ranking else None)
        if ranks:
            self.ranking = aggregated([*self.ranking, *fresh], self.problem.combine)

    def result(self, strategy: str, generations: int) -> SearchResult:
        """The ranking and the summary."""
        note = ""
        if self.exhausted:
            unlimited = self.problem.max_params is None and self.problem.max_macs is None
            within = "" if unlimited else " within the size limits"
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
