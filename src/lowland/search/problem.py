"""What a strategy is given: where it may look, how large networks may be, and who scores what it proposes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lowland.core.config import MeasureConfig
from lowland.core.genotype import Genotype
from lowland.search.archive import Candidate
from lowland.search.scorer import Evaluator, Proposal

if TYPE_CHECKING:
    from lowland.spaces.space import Space
    from lowland.spaces.values import Cost

ScoreFunction = Callable[[Sequence[Proposal]], Iterator[Candidate]]
"""A batch of proposals → their candidates, scored or failed, in the same order."""

StreamFunction = Callable[[Callable[[], Sequence[Proposal]]], Iterator[Candidate]]
"""(proposals made since it was last called) → their candidates in order, further ones made meanwhile included."""

CostFunction = Callable[[Genotype], "Cost"]
"""Size of the delivered network of a genotype."""

Report = Callable[[int, int, Candidate, Candidate | None], None]
"""Called after every candidate: number done, number planned, this candidate, the best one so far."""


def unreported(done: int, total: int, candidate: Candidate, best: Candidate | None) -> None:
    """The report of a search that nobody follows."""


def unchecked() -> None:
    """The check of a search that nobody stops."""


def no_first_look(share: float) -> Evaluator:
    """The first look of a problem that has none.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"this problem scores on all images only, so that none can be looked at on {share:g} of them")


@dataclass(frozen=True, kw_only=True)
class SearchProblem:
    """One search to be done by a strategy.

    Attributes:
        space: Where genotypes come from.
        score: Scores proposals, usually an `Evaluator`.
        cost: Size of the delivered network of a genotype.
        seed: Run seed, of which all draws are a function.
        max_params: Most parameters of the delivered network; None: any number.
        max_macs: Most multiply-accumulates of the delivered network; None: any number.
        sampling: What random genotypes are uniform over, `networks` or `genes` (every decision).
        measure: Settings of measures, from which a strategy with several objectives takes theirs.
        combine: How the parts of a sum are combined (`measure.combine`).
        report: Hears of every candidate; may raise, to stop the search.
        first_look: Share of the scored images → who scores on them alone (`racing`).
        lag: Proposal n sees the scores of the proposals below n − lag and no others (`SearchState.stream`); None: the
            strategy has generations, rounds or the like, and waits for each one's last score.
        stream: Scores proposals as they are made; None: as batches by `score`.
        check: Called where a batch takes long before its first candidate is reported; may raise, to stop the search.
    """

    space: Space
    score: ScoreFunction
    cost: CostFunction
    seed: int
    max_params: int | None = None
    max_macs: int | None = None
    sampling: str = "networks"
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    combine: str = "sum"
    report: Report = unreported
    first_look: Callable[[float], Evaluator] = no_first_look
    lag: int | None = None
    stream: StreamFunction | None = None
    check: Callable[[], None] = unchecked
