"""Scoring candidates: once each, durably, and with a candidate's failure kept from stopping the search."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from lowland.core.errors import LowlandError
from lowland.core.genotype import Genotype
from lowland.execution.outcome import Outcome, Scorer, ScoringFailure, StreamScorer
from lowland.search.archive import Archive, Candidate

if TYPE_CHECKING:
    from lowland.spaces.space import Space
    from lowland.spaces.values import Cost

PATIENCE = 20
"""When every one of this many first candidates fails, it is not the candidates' fault and the search stops."""


class Proposal(NamedTuple):
    """A genotype to be scored: which generation of the search proposed it, and how (`random`, `mutation`, …)."""

    genotype: Genotype
    generation: int
    origin: str


class Evaluator:
    """Turns proposed genotypes into candidates: from the archive where their function was scored before, else scored.

    Args:
        space: Gives the isomorphism key.
        scorer: Gives the scores.
        archive: Keeps them. A candidate is in it, durably, before it is returned.
        measure: Full identity of the measure, settings included.
        cost: Size of the delivered network of a genotype.
    """

    def __init__(
        self, space: Space, scorer: Scorer, archive: Archive, measure: str, cost: Callable[[Genotype], Cost]
    ) -> None:
        self.space = space
        self.scorer = scorer
        self.archive = archive
        self.measure = measure
        self.cost = cost
        self._reasons: list[str] = []
        self._any_scored = False

    def __call__(self, proposals: Sequence[Proposal]) -> Iterator[Candidate]:
        """Score a batch; isomorphs within it are scored once.

        Yields:
            The candidates, scored or failed, in the batch's order.

        Raises:
            LowlandError: Every one of the first `PATIENCE` candidates failed; the commonest reason is named. Their
                failures are forgotten, so that they are scored again when the run is resumed.
        """
        batches = iter([proposals])
        yield from self.stream(lambda: next(batches, ()))

    def stream(self, more: Callable[[], Sequence[Proposal]]) -> Iterator[Candidate]:
        """Score proposals that are made while others are being scored.

        Args:
            more: Proposals made since it was last called, perhaps none: further ones may follow every candidate that is
                yielded. It ends where all are scored and there are no more.

        Yields:
            The candidates, scored or failed, in the order of the proposals.

        Raises:
            LowlandError: As for a batch.
        """
        ahead: deque[tuple[Proposal, str]] = deque()
        known: dict[str, Candidate] = {}
        first: dict[str, Proposal] = {}
        unsent: list[Genotype] = []
        unanswered: deque[str] = deque()

        def take() -> None:
            for proposal in more():
                key = self.space.key(proposal.genotype)
                ahead.append((proposal, key))
                if key in known or key in first:
                    continue
                archived = self.archive.get(self.measure, key)
                if archived is not None:
                    known[key] = archived
                    continue
                first[key] = proposal
                unsent.append(proposal.genotype)
                unanswered.append(key)

        def send() -> Sequence[Genotype]:
            given = unsent.copy()
            unsent.clear()
            return given

        with closing(self._scored(send)) as groups:
            while True:
                take()
                if not ahead:
                    return
                proposal, key = ahead.popleft()
                while key not in known:
                    # What is known by now is written together: flushing takes as long for many rows as for one.
                    group = []
                    for outcome in next(groups):
                        each = unanswered.popleft()
                        group.append(self._candidate(each, self._facts(first.pop(each)), outcome))
                    known |= {each.key: each for each in self.archive.record_all(group)}
                # Lends the score only: another search, or this one, may have proposed an isomorph of other size.
                candidate = dataclasses.replace(known[key], **self._facts(proposal))
                self._count(candidate)
                yield candidate

    def _scored(self, send: Callable[[], Sequence[Genotype]]) -> Generator[list[Outcome]]:
        if isinstance(self.scorer, StreamScorer):
            yield from self.scorer.stream(send)
            return
        while genotypes := send():
            with closing(self.scorer.scores(genotypes)) as outcomes:
                for outcome in outcomes:
                    yield [outcome]

    def _facts(self, proposal: Proposal) -> dict[str, Any]:
        size = self.cost(proposal.genotype)
        return proposal._asdict() | {"parameters": size.parameters, "macs": size.macs}

    def _count(self, candidate: Candidate) -> None:
        if candidate.status == "scored":
            self._any_scored = True
            return
        self._reasons.append(candidate.reason)
        if len(self._reasons) >= PATIENCE:
            self.require_success()

    def require_success(self) -> None:
        """Raise LowlandError, naming the commonest reason, where candidates failed and none was scored."""
        if self._any_scored or not self._reasons:
            return
        reason, times = Counter(self._reasons).most_common(1)[0]
        self.archive.forget_failed(self.measure)
        raise LowlandError(
            f"none of {len(self._reasons)} candidates could be scored ({times} times: {reason}); remove the cause and "
            f"resume the run: they will be tried again"
        )

    def _candidate(self, key: str, facts: Mapping[str, Any], outcome: Outcome) -> Candidate:
        if isinstance(outcome, ScoringFailure):
            result: dict[str, Any] = {"status": "failed", "reason": str(outcome), "seconds": outcome.seconds}
        else:
            result = {"status": "scored"} | {f.name: getattr(outcome, f.name) for f in dataclasses.fields(outcome)}
        return Candidate(key=key, measure=self.measure, **facts, **result)
