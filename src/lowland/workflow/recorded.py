"""The monitor of a run's stages: it passes everything on and writes how far they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lowland.core.monitor import STEP, Monitor, Rate, Relay
from lowland.store.run import Run


class Recorded(Relay):
    """Passes everything on to another monitor and writes progress.json, which `lowland status` reads."""

    def __init__(self, run: Run, inner: Monitor, stage: str) -> None:
        super().__init__(inner)
        self.run, self.stage = run, stage
        self.rate = Rate(0)
        self.best: dict[str, Any] | None = None
        self._workers: Callable[[], Mapping[str, Any]] | None = None

    def follow(self, workers: Callable[[], Mapping[str, Any]] | None) -> None:
        """Pass on, and record how workers stand with everything that is told."""
        self._workers = workers
        super().follow(workers)

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """Pass on."""
        self.rate = Rate(total, done, even=unit == STEP)
        super().start(stage, total, unit, done)

    def advance(self, done: int, **facts: Any) -> None:
        """Pass on and record."""
        self.rate.update(done)
        if "best" in facts:
            best = facts["best"]
            told = {"score": None, "place": best} if isinstance(best, str) else {"score": best}
            self.best = {"genotype": facts.get("genotype", "")} | told
        self.run.progress(
            self.stage,
            done,
            self.rate.total,
            self.rate.per_second or None,
            self.best,
            self.rate.lull(STEP),
            (self._workers() or None) if self._workers is not None else None,
        )
        super().advance(done, **facts)
