"""Live progress of a run: one small file that `lowland status` reads while the run goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowland.core.files import checked_json
from lowland.store import inside
from lowland.store.database import row_digest
from lowland.store.manifest import PROGRESS, STAGES, now
from lowland.store.manifest_check import Fault, parsed

MOST_BYTES = 2**20
"""It has a few hundred."""

INTERVAL = 1.0
"""Least time between two writes, seconds."""


class ProgressFile:
    """The progress of a run's stage in a JSON file, replaced atomically, so that a reader never sees a part.

    It is not flushed: a crash of the machine may leave it empty, which then tells nothing until it is written anew.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._written = -math.inf
        self._stage = ""

    def write(
        self,
        stage: str,
        done: int,
        total: int,
        rate: float | None,
        best: Mapping[str, Any] | None,
        lull: str | None = None,
        workers: Mapping[str, Any] | None = None,
    ) -> None:
        """Note `done` of `total` at `rate` per second; skipped within `INTERVAL` of the last, unless first or last.

        A `lull` is a sentence for people, where the rate has collapsed; `workers` how those that score stand, numbers
        by name.
        """
        clock = time.monotonic()
        if stage == self._stage and done < total and clock - self._written < INTERVAL:
            return
        known_rate = rate if rate is not None and math.isfinite(rate) and rate > 0 else None
        value = {"stage": stage, "done": done, "total": total, "rate": known_rate, "best": best, "lull": lull}
        if workers is not None:
            value["workers"] = dict(workers)
        value["updated"] = now()
        text = checked_json(value | {"check": _check(value)}, f"the progress of stage {stage}")
        inside.write_text(self.root, PROGRESS, text, durable=False)
        self._written, self._stage = clock, stage

    def read(self) -> dict[str, Any] | None:
        """What was last written: stage, done, total, rate (per second or None), best, lull, updated, workers."""
        try:
            value = parsed(inside.read(self.root, PROGRESS, MOST_BYTES))
        except (OSError, Fault):
            return None
        if isinstance(value, dict) and value.pop("check", None) not in (None, _check(value)):
            return None
        return value if _sound(value) else None

    def lost(self) -> bool:
        """Whether there is a file that tells nothing, since it is damaged."""
        return (self.root / PROGRESS).exists() and self.read() is None


def _check(value: Mapping[str, Any]) -> str:
    """A checksum of what is told; files of before had none."""
    return row_digest(value.items())


def _sound(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("stage") not in STAGES:
        return False
    best, lull = value.get("best", ""), value.get("lull")
    told = best is None or (isinstance(best, dict) and _plain(best.get("genotype")) and _judged(best))
    counted = _number(value.get("done")) and _number(value.get("total"))
    rated = value.get("rate", "") is None or _number(value["rate"])
    workers = value.get("workers", {})
    known = isinstance(workers, dict) and all(_plain(name) and _number(count) for name, count in workers.items())
    return told and counted and rated and known and (lull is None or _plain(lull))


def _judged(best: dict[str, Any]) -> bool:
    """Whether the best so far has a score, or where scores are only an order its place."""
    return _number(best["score"]) if best.get("score") is not None else _plain(best.get("place"))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()
