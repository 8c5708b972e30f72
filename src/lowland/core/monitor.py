"""What a long stage tells the outside, and how the outside asks it to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lowland.core.amounts import clock
from lowland.core.config import Config
from lowland.core.errors import InterruptedRun

STEP = "step"
"""The unit of training; all steps of a stage cost about the same."""


DETAILS = ("learning_rate", "genotype", "candidate", "score")
"""Facts whose names begin so are told to curves and callbacks; a line of progress has no room for them."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a run says of itself when it begins, or goes on.

    Attributes:
        path: The run directory.
        created: When it was made, ISO 8601.
        config: All settings.
        resumed: Whether it began in an earlier call.
        stages: Names of the stages that are to be done now.
        done: Names of those that are done already.
        plan: Steps, device, precision and time of a new run in one line; empty where it goes on.
        facts: Versions, device, precision and threads.
        changed: Settings by dotted key that are not what their preset says.
    """

    path: Path
    created: str
    config: Config
    resumed: bool
    stages: tuple[str, ...]
    done: tuple[str, ...] = ()
    plan: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, Any] = field(default_factory=dict)


class Monitor:
    """Hears how a stage goes. This base class is silent; the command line shows it, and `lowland status` reads it.

    Long loops call `advance` after every unit of work and `check` where everything computed so far is safe.
    """

    stopping = False
    """Set from outside (a signal handler) to ask for a stop at the next safe point."""

    def begin(self, start: Start) -> None:
        """A run begins, or goes on: its directory is there, and nothing is computed yet."""

    def enter(self, stage: str) -> None:
        """A stage of the run begins (supernet, search, train, evaluate or report)."""

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """A stage, or a part of one, begins, with `done` of `total` units already there from before a stop."""

    def advance(self, done: int, **facts: Any) -> None:
        """`done` units are finished; `facts` are a few numbers worth showing, such as the loss."""

    def say(self, line: str) -> None:
        """One line of plain information, such as what was found and what is planned."""

    def note(self, message: str) -> None:
        """One line worth reading."""

    def detail(self, line: str) -> None:
        """One line for those who asked for more (`--verbose`)."""

    def follow(self, workers: Callable[[], Mapping[str, Any]] | None) -> None:
        """Ask this how workers stand whenever progress is told; None: there are no workers any more."""

    def finish(self) -> None:
        """What `start` began is complete."""

    def leave(self, stage: str, seconds: float) -> None:
        """A stage of the run is done; it took so many seconds in all."""

    def end(self, result: Any) -> None:
        """The run has come to where it was asked to; `result` is its `workflow.result.RunResult`."""

    def fail(self, error: BaseException) -> None:
        """The run ends otherwise: it was stopped (InterruptedRun), or something went wrong."""

    def check(self) -> None:
        """Raise InterruptedRun if a stop was asked for."""
        if self.stopping:
            raise InterruptedRun("stopped at a safe point")


class Relay(Monitor):
    """Passes everything on to another monitor."""

    def __init__(self, inner: Monitor) -> None:
        self.inner = inner

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self.inner.stopping

    @stopping.setter
    def stopping(self, asked: bool) -> None:
        self.inner.stopping = asked

    def begin(self, start: Start) -> None:
        """Pass on."""
        self.inner.begin(start)

    def enter(self, stage: str) -> None:
        """Pass on."""
        self.inner.enter(stage)

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """Pass on."""
        self.inner.start(stage, total, unit, done)

    def advance(self, done: int, **facts: Any) -> None:
        """Pass on."""
        self.inner.advance(done, **facts)

    def say(self, line: str) -> None:
        """Pass on."""
        self.inner.say(line)

    def note(self, message: str) -> None:
        """Pass on."""
        self.inner.note(message)

    def detail(self, line: str) -> None:
        """Pass on."""
        self.inner.detail(line)

    def follow(self, workers: Callable[[], Mapping[str, Any]] | None) -> None:
        """Pass on."""
        self.inner.follow(workers)

    def finish(self) -> None:
        """Pass on."""
        self.inner.finish()

    def leave(self, stage: str, seconds: float) -> None:
        """Pass on."""
        self.inner.leave(stage, seconds)

    def end(self, result: Any) -> None:
        """Pass on."""
        self.inner.end(result)

    def fail(self, error: BaseException) -> None:
        """Pass on."""
        self.inner.fail(error)


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

    def speed(self, unit: str) -> str:
        """Such as `9.1 step/s`, or `4.0 network/min` where a unit takes more than a second."""
        rate = self.per_second
        return f"{rate:.1f} {unit}/s" if rate >= 1 else f"{rate * 60:.1f} {unit}/min"

    def outlook(self, unit: str) -> str:
        """The speed and, once known, the time left: `9.1 step/s, 3 min 05 s left`."""
        left = self.seconds_left
        return self.speed(unit) if left is None else f"{self.speed(unit)}, {clock(left)} left"


def named(facts: Mapping[str, Any]) -> list[str]:
    """The facts that a line of progress has room for, as `name value`."""
    return [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in facts.items()
        if not name.startswith(DETAILS)
    ]


def _short(rate: float) -> str:
    return f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}"
