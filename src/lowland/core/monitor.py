"""What a long stage tells the outside, and how the outside asks it to stop."""

from __future__ import annotations

import time
from typing import Any

from lowland.core.errors import InterruptedRun


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

    def note(self, message: str) -> None:
        """One line worth reading."""

    def finish(self) -> None:
        """The stage is complete."""

    def check(self) -> None:
        """Raise InterruptedRun if a stop was asked for."""
        if self.stopping:
            raise InterruptedRun("stopped at a safe point")


class Rate:
    """Units per second and time left, over what this process did (a resumed stage does not count earlier units)."""

    def __init__(self, total: int, done: int = 0) -> None:
        self.total = total
        self.first = self.done = done
        self.began = time.monotonic()

    def update(self, done: int) -> None:
        """`done` units are finished."""
        self.done = done

    @property
    def per_second(self) -> float:
        """Units per second; 0 before the first."""
        seconds = time.monotonic() - self.began
        return (self.done - self.first) / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Expected seconds to the end of the stage; None before the first unit."""
        return (self.total - self.done) / self.per_second if self.done > self.first else None
