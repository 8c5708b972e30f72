"""How long candidates take, and so when one of them is late."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Hashable

PATIENCE_SECONDS = 60.0
"""Least time before a candidate is given to a second worker."""

PATIENCE_MEDIANS = 5.0
"""That time in medians of what candidates took."""

IDLE_SECONDS = 10.0
"""Least time before a candidate is given to a second worker that has nothing else to do."""

IDLE_MEDIANS = 2.0
"""That time in medians. At the end of a batch it saves the wait for the last ones (docs/log.md)."""

UNKNOWN_SECONDS = 600.0
"""Least time before anything is late while there are tasks of a kind of which none is known to have ended."""

SHORT_SECONDS = 0.5
"""Candidates that take less are handed out two at a time, so that a worker need not wait for the next one."""

_RECENT = 101
"""Candidates over which the median is taken."""


class Times:
    """The times of the last candidates, seconds.

    A batch may hold tasks of several kinds, whose times say nothing of one another's. What is late is told by the kind
    that takes longest, and while one of them has no time yet, nothing is for a long while: its first tasks may take
    longer than all others.
    """

    def __init__(self) -> None:
        self._took: dict[Hashable, deque[float]] = {}
        self._expected: set[Hashable] = set()
        self._median: float | None = None

    @property
    def known(self) -> bool:
        """Whether there is one; before that nothing is late."""
        return any(self._took.get(kind) for kind in self._expected)

    def begin(self) -> None:
        """A batch begins, of no kind yet."""
        self._expected, self._median = set(), None

    def expect(self, kind: Hashable) -> None:
        """There are tasks of this kind in the batch."""
        if kind not in self._expected:
            self._expected.add(kind)
            self._median = None

    def add(self, seconds: float, kind: Hashable = None) -> None:
        """A candidate took so long."""
        self._took.setdefault(kind, deque(maxlen=_RECENT)).append(seconds)
        self._median = None

    def clear(self) -> None:
        """Forget all: another kind begins."""
        self._took.clear()
        self._median = None

    def deadline(self) -> float:
        """After so long a candidate is given to a second worker before all others."""
        least = PATIENCE_SECONDS if self._all_known else UNKNOWN_SECONDS
        return max(least, PATIENCE_MEDIANS * self._usual())

    def seems_slow(self) -> float:
        """After so long one is given to a second worker that has nothing else to do."""
        return max(IDLE_SECONDS, IDLE_MEDIANS * self._usual()) if self._all_known else self.deadline()

    def short(self) -> bool:
        """Whether candidates are so short that a worker should have the next one at hand."""
        return self.known and self._all_known and self._usual() < SHORT_SECONDS

    @property
    def _all_known(self) -> bool:
        return all(self._took.get(kind) for kind in self._expected)

    def _usual(self) -> float:
        if self._median is None and self.known:
            took = [self._took[kind] for kind in self._expected if self._took.get(kind)]
            self._median = max(map(statistics.median, took))
        return self._median or 0.0
