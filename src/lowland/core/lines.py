"""How a run goes, in lines: for outputs that are no terminal, and for `run.log`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from lowland.core.amounts import clock
from lowland.core.monitor import STEP, Monitor, Rate, Start, named

SHARE = 0.05
"""A line each time that this share of a stage is done …"""

MOST_SECONDS = 60.0
"""… and after this long in any case …"""

LEAST_SECONDS = 5.0
"""… but none sooner than this after the last, so that a quick stage is no flood."""


def stamp() -> str:
    """The present time by this machine's clock, to the second: `2026-03-01 09:30:00`."""
    return datetime.now().isoformat(sep=" ", timespec="seconds")


class Lines(Monitor):
    """Lines for begin and end of every stage, and between them every 5 % or minute, whichever comes first.

    Args:
        write: Takes one line, without a time.
        verbose: Also write versions, the place of computation, changed settings and details.
    """

    def __init__(self, write: Callable[[str], None], *, verbose: bool = False) -> None:
        self.write = write
        self.verbose = verbose
        self.rate = Rate(0)
        self.stage = self.unit = ""
        self.warned = False
        self.facts: Mapping[str, Any] = {}
        self._written = self._share = 0.0

    def begin(self, start: Start) -> None:
        """Where the run is and what is done of it; its plan was said already."""
        todo = ", ".join(start.stages) or "nothing"
        if start.resumed:
            self.write(f"run {start.path} goes on; done: {', '.join(start.done) or 'nothing'}; to do: {todo}")
        else:
            self.write(f"run {start.path}; to do: {todo}")
        if self.verbose:
            for line in facts_of(start):
                self.write(line)

    def enter(self, stage: str) -> None:
        """Say so."""
        self.write(f"stage {stage} begins")

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """Say how much there is to do."""
        self._close()
        self.stage, self.unit, self.rate, self.facts = stage, unit, Rate(total, done, even=unit == STEP), {}
        self.warned = False
        self._put(f"{done}/{total} {unit}")

    def advance(self, done: int, **facts: Any) -> None:
        """Write a line where one is due."""
        self.rate.update(done)
        self.facts = facts
        lull = None if self.warned else self.rate.lull(self.unit)
        if lull is not None:
            self.warned = True
            self.note(lull)
        passed = time.monotonic() - self._written
        share = done / self.rate.total if self.rate.total else 1.0
        due = passed >= MOST_SECONDS or (share >= self._share + SHARE and passed >= LEAST_SECONDS)
        if due and done < self.rate.total:  # the last is told by `finish`
            self._put(f"{done}/{self.rate.total} ({share:.0%}), {self.rate.outlook(self.unit)}{self._newest()}")

    def say(self, line: str) -> None:
        """Write it."""
        self.write(line)

    def note(self, message: str) -> None:
        """Write it."""
        self.write(f"note: {message}")

    def detail(self, line: str) -> None:
        """Write it where details were asked for."""
        if self.verbose:
            self.write(line)

    def finish(self) -> None:
        """Say how far it came."""
        if self.stage:
            self._put(f"{self.rate.done}/{self.rate.total} {self.rate.speed(self.unit)}{self._newest()}")
        self._close()

    def leave(self, stage: str, seconds: float) -> None:
        """Say so."""
        self.write(f"stage {stage} done in {clock(seconds)}")

    def end(self, result: Any) -> None:
        """How long each stage took."""
        self.write(summary(result.seconds))

    def fail(self, error: BaseException) -> None:
        """Say how far what was going on came; the error itself is told elsewhere."""
        if self.stage:
            self._put(f"{self.rate.done}/{self.rate.total}, stopped")
        self._close()

    def _put(self, text: str) -> None:
        self._written = time.monotonic()
        self._share = self.rate.done / self.rate.total if self.rate.total else 0.0
        self.write(f"{self.stage:<12} {text}")

    def _newest(self) -> str:
        return "".join(f", {each}" for each in named(self.facts))

    def _close(self) -> None:
        self.stage = ""


def facts_of(start: Start) -> list[str]:
    """Versions and place of computation, and the settings that are not what the preset says, as two lines."""
    found = [", ".join(f"{name} {value}" for name, value in start.facts.items())] if start.facts else []
    changed = ", ".join(f"{key}={value}" for key, value in start.changed.items())
    return [*found, f"preset {start.config.preset}; set otherwise: {changed or 'nothing'}"]


def summary(seconds: Mapping[str, float]) -> str:
    """How long a run took, over all its sessions: `2 min 05 s in all: supernet 1 min 10 s, search 42 s, …`."""
    return f"{clock(sum(seconds.values()))} in all: {', '.join(f'{n} {clock(s)}' for n, s in seconds.items())}"
