"""What a dispatcher keeps and says: tickets of candidates at workers, how workers end, and what candidates come to."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from lowland.execution.outcome import Attempt, Shortage


@dataclass(frozen=True)
class Ending:
    """How a worker ended.

    Attributes:
        how: In words.
        own: Whether it brought itself down (not from outside: a kill, a lost machine).
        began: The ticket that it began last, answered or not; None where that is not known.
    """

    how: str
    own: bool = False
    began: int | None = None


@dataclass(frozen=True)
class Assignment:
    """What to give to a worker: candidate `index` under the number `ticket`."""

    worker: Hashable
    ticket: int
    index: int


@dataclass(frozen=True)
class Settled:
    """What became of a candidate: an outcome, or an error that ends the search; and the attempt that ran short."""

    found: Attempt | BaseException
    first: Shortage | None = None


@dataclass
class Counts:
    """What happened to workers and candidates since the beginning."""

    lost: int = 0
    retried: int = 0
    copied: int = 0
    answered: int = 0


@dataclass
class Task:
    """One candidate of the batch, of a kind within it."""

    kind: Hashable = None
    losses: int = 0
    crashes: int = 0
    first: Shortage | None = None
    runners: set[Hashable] = field(default_factory=set)


@dataclass
class Worker:
    """One worker: its machine, the tickets it holds, since when it scores the first, and whether that is overdue."""

    host: Hashable
    tickets: deque[int] = field(default_factory=deque)
    since: float = 0.0
    late: bool = False
