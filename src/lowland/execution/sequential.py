"""Scoring in the calling process, one genotype after the other."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from lowland.core.genotype import Genotype
from lowland.execution.executor import Executor, register
from lowland.execution.outcome import LocalScorer, Outcome


@register
class Sequential(Executor):
    """Scores in the calling process, however many it may use."""

    name = "sequential"
    summary = "the calling process, one candidate after the other"
    source = "lowland"

    def scores(self, request: Any, genotypes: Sequence[Genotype], local: LocalScorer) -> Generator[Outcome]:
        """The outcome of every genotype, computed when it is asked for."""
        del request
        return local.scores(genotypes)

    def close(self) -> None:
        """It holds nothing."""
