"""A search under way, and what it leaves."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from lowland.core.genotype import Genotype
from lowland.search.aggregation import aggregated
from lowland.search.archive import Candidate
from lowland.search.limits import Limits
from lowland.search.problem import ScoreFunction, SearchProblem
from lowland.search.scorer import Proposal

AHEAD = 1024
"""Proposals beyond the last score where a strategy does not look at scores: more than most have workers. Drawing them
takes a moment before the first one is scored.
"""


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

    Attributes:
        taken: Candidates that are known, scored or not, in the order of their proposals.

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
        self.exhausted = False
        self.taken: list[Candidate] = []
        self._ranking: list[Candidate] = []
        self._unranked: list[Candidate] = []
        self._score = score if score is not None else problem.score
        self._done = 0
        self._raced_out = 0
        self._repeated = 0
        self._isomorphs = 0

    @property
    def ranking(self) -> list[Candidate]:
        """The candidates scored so far, best first; ranks of a sum's parts are given anew when it is looked at."""
        if self._unranked:
            self._ranking = aggregated([*self._ranking, *self._unranked], self.problem.combine)
            self._unranked = []
        return self._ranking

    @ranking.setter
    def ranking(self, ranking: list[Candidate]) -> None:
        self._ranking, self._unranked = ranking, []

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

    def randoms(self, generation: int, slots: range) -> list[Proposal]:
        """Proposals of new uniform genotypes; see `random`."""
        return [Proposal(genotype, generation, "random") for genotype in self.random(generation, slots)]

    def score(self, genotypes: Sequence[Genotype], generation: int, origin: str, total: int) -> None:
        """Score proposed genotypes as one batch, telling about each."""
        self.score_batch([Proposal(genotype, generation, origin) for genotype in genotypes], total)

    def score_batch(self, proposals: Sequence[Proposal], total: int) -> None:
        """Score a batch of proposals, telling about each."""
        for candidate in self._score(proposals):
            self._take(candidate, total)

    def stream(self, propose: Callable[[int], Sequence[Proposal]], total: int, lag: int) -> None:
        """Score `total` proposals, telling about each, while further ones are made.

        Proposal n is made when the ranking holds the candidates below n − lag, all of them and no others, in whatever
        order and by however many workers they are scored: what is proposed is a function of the scores alone. A
        strategy may make several at once, which then all see what the first of them sees.

        Args:
            propose: (n) → proposal n, from 0, and perhaps the next ones; empty: there is no further one.
            total: How many proposals.
            lag: How many of the latest ones a further one does not see; 0: it sees all.
        """
        made = seen = 0
        ended = False
        ready: list[Proposal] = []

        def more() -> Sequence[Proposal]:
            given = ready.copy()
            ready.clear()
            return given

        def advance() -> None:
            nonlocal made, ended
            while not ended and made < total and made <= seen + lag:
                found = propose(made)
                ended = not found
                ready.extend(found)
                made += len(found)

        advance()
        for candidate in (self.problem.stream or self._as_batches)(more):
            self._take(candidate, total)
            seen += 1
            advance()

    def _as_batches(self, more: Callable[[], Sequence[Proposal]]) -> Iterator[Candidate]:
        while proposals := more():
            yield from self._score(proposals)

    def _take(self, candidate: Candidate, total: int) -> None:
        """Rank a candidate and tell about it; where ranks of parts order, the best is that of the last look."""
        self._done += 1
        self.taken.append(candidate)
        if candidate.status == "scored" and self.problem.combine != "sum":
            self._unranked.append(candidate)
        elif candidate.status == "scored":
            insort(self._ranking, candidate, key=attrgetter("rank"))
        self._raced_out += candidate.status == "raced"
        self.problem.report(self._done, total, candidate, self._ranking[0] if self._ranking else None)

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
