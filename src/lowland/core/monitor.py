"""What a long stage tells the outside, and how the outside asks it to stop."""

from __future__ import annotations

import time
from typing import Any

from lowland.core.errors import InterruptedRun

STEP = "step"
"""The unit of training; all steps of a stage cost about the same."""


class Monitor:
    """Hears how a stage goes. This base class is silent; the command line shows it, and `lowland status` reads it.

    Long loops call `advance` after every unit of work and `check` where everything computed so far is safe.
    """

    stopping = False
    """Set from outside (a signal handler) to ask for a stop at the next safe point."""

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """A stage begins, with `done` of `total` units already there from before a stop."""

    def advance(self, done: int, **facts: Any) -> None:
        """`done` units are finished; `facts` are a few numbers worth showing, such as the loss."""

    def say(self, line: str) -> None:
        """One line of plain information, such as what was found and what is planned."""

    def note(self, message: str) -> None:
        """One line worth reading."""

    def finish(self) -> None:
        """The stage is complete."""

    def check(self) -> None:
        """Raise InterruptedRun if a stop was asked for."""
        if self.stopping:
            raise InterruptedRun("stopped at a safe point")


LULL = 4.0
"""A rate has collapsed where it is this many times lower than the best of its stage …"""

LULL_SECONDS = 10.0
"""… for this long."""


class Rate:
    """Units per second and time left, over what this process did (a resumed stage does not count earlier units).

    Args:
        total: Units of the stage.
        done: Those there from before a stop.
        even: Whether all units cost about the same, as training steps do; the rate of others may fall by itself.

    Attributes:
        best: Highest rate over at least a second and ten units, per second; 0 before.
        recent: Rate over the last such stretch, or the last `LULL_SECONDS` of a lull.
        collapsed: Whether `recent` is less than `best` / `LULL`, for at least `LULL_SECONDS`; never unless `even`.
    """

    def __init__(self, total: int, done: int = 0, *, even: bool = False) -> None:
        self.total = total
        self.first = self.done = done
        self.even = even
        self.began = time.monotonic()
        self.best = self.recent = 0.0
        self.collapsed = False
        self._stretch = (self.began, done)

    def update(self, done: int) -> None:
        """`done` units are finished."""
        self.done = done
        if self.even:
            self._look(time.monotonic())

    def _look(self, now: float) -> None:
        """End the present stretch where it is long enough to be judged."""
        since, first = self._stretch
        seconds, units = now - since, self.done - first
        if seconds < 1.0:
            return
        rate = units / seconds
        slow = rate < self.best / LULL
        if seconds >= LULL_SECONDS if slow else units >= 10:
            self.best, self.recent, self.collapsed = max(self.best, rate), rate, slow
            self._stretch = (now, self.done)

    def lull(self, unit: str) -> str | None:
        """Where the rate has collapsed, a sentence that says so and what to do; else None."""
        if not self.collapsed:
            return None
        return (
            f"slow: {_short(self.recent)} {unit}/s where {_short(self.best)} was reached; other programs use this "
            "machine: free some cores, or stop and resume with --set compute.threads=1"
        )

    @property
    def per_second(self) -> float:
        """Units per second; 0 before the first."""
        seconds = time.monotonic() - self.began
        return (self.done - self.first) / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Expected seconds to the end of the stage; None before the first unit."""
        return (self.total - self.done) / self.per_second if self.done > self.first else None


def _short(rate: float) -> str:
    return f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}"
