"""Scores of the toy search space, known in closed form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lowland.core.genotype import Genotype
from lowland.search import Candidate, Proposal
from lowland.testing.toys import ToySpace


def toy_value(genotype: Genotype) -> float:
    """A score with one best function and many ties: −Σ (gᵢ − 2)²; symmetric in the first two genes."""
    return -float(sum((g - 2) ** 2 for g in genotype.genes))


class Recorder:
    """A score function that notes every proposal; fails where `fails` says so."""

    def __init__(self, space: ToySpace, fails=lambda genotype: False) -> None:  # type: ignore[no-untyped-def]
        self.space, self.fails = space, fails
        self.calls: list[tuple[Genotype, int, str]] = []

    def __call__(self, proposals: Sequence[Proposal]) -> Iterator[Candidate]:
        return (self.one(*proposal) for proposal in proposals)

    def one(self, genotype: Genotype, generation: int, origin: str) -> Candidate:
        self.calls.append((genotype, generation, origin))
        size = self.space.cost(genotype)
        failed = self.fails(genotype)
        return Candidate(
            genotype=genotype,
            key=self.space.key(genotype),
            measure="toy",
            generation=generation,
            origin=origin,
            status="failed" if failed else "scored",
            reason="told to" if failed else "",
            value=None if failed else toy_value(genotype),
            parameters=size.parameters,
            macs=size.macs,
        )
