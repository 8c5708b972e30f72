"""The monitor of a run's stages: it passes everything on and writes how far they are."""

from __future__ import annotations

from typing import Any

from lowland.core.monitor import STEP, Monitor, Rate
from lowland.store.run import Run


class Recorded(Monitor):
    """Passes everything on to another monitor and writes progress.json, which `lowland status` reads."""

    def __init__(self, run: Run, inner: Monitor, stage: str) -> None:
        self.run, self.inner, self.stage = run, inner, stage
        self.rate = Rate(0)
        self.best: dict[str, Any] | None = None

    @property
    def stopping(self) -> bool:  # type: ignore[override]
        """Whether the outer monitor was asked to stop."""
        return self.inner.stopping

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """Pass on."""
        self.rate = Rate(total, done, even=unit == STEP)
        self.inner.start(stage, total, unit, done)

    def advance(self, done: int, **facts: Any) -> None:
        """Pass on and record."""
        self.rate.update(done)
        if "best" in facts:
            best = facts["best"]
            told = {"score": None, "place": best} if isinstance(best, str) else {"score": best}
            self.best = {"genotype": facts.pop("genotype", "")} | told
        self.run.progress(
            self.stage, done, self.rate.total, self.rate.per_second or None, self.best, self.rate.lull(STEP)
        )
        self.inner.advance(done, **facts)

    def say(self, line: str) -> None:
        """Pass on."""
        self.inner.say(line)

    def note(self, message: str) -> None:
        """Pass on."""
        self.inner.note(message)

    def finish(self) -> None:
        """Pass on."""
        self.inner.finish()
