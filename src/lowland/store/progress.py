"""Live progress of a run: one small file that `lowland status` reads while the run goes on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowland.core.files import checked_json, write_text
from lowland.store.manifest import STAGES, now

INTERVAL = 1.0
"""Least time between two writes, seconds."""


class ProgressFile:
    """The progress of the running stage in a JSON file, replaced atomically, so that a reader never sees a part.

    It is not flushed: a crash of the machine may leave it empty, which then tells nothing until it is written anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
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
    ) -> None:
        """Note `done` of `total` at `rate` per second; skipped within `INTERVAL` of the last, unless first or last.

        A `lull` is a sentence for people, where the rate has collapsed.
        """
        clock = time.monotonic()
        if stage == self._stage and done < total and clock - self._written < INTERVAL:
            return
        known_rate = rate if rate is not None and math.isfinite(rate) and rate > 0 else None
        value = {"stage": stage, "done": done, "total": total, "rate": known_rate, "best": best, "lull": lull}
        value["updated"] = now()
        write_text(self.path, checked_json(value, f"the progress of stage {stage}"), durable=False)
        self._written, self._stage = clock, stage

    def read(self) -> dict[str, Any] | None:
        """What was last written: stage, done, total, rate (per second, or None), best, lull (or None), updated."""
        try:
            value = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        complete = isinstance(value, dict) and {"stage", "done", "total", "rate", "best"} <= value.keys()
        return value if complete and value["stage"] in STAGES else None
