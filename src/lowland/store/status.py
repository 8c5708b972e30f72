"""How a run stands, for `lowland status`: read from manifest, lock and progress; no file of a stage is opened."""

from __future__ import annotations

from typing import Any

from lowland.store import lock
from lowland.store.ledger import Ledger
from lowland.store.manifest import LOCK, STAGES


def status(run: Ledger, progress: dict[str, Any] | None) -> dict[str, Any]:
    """How the run stands: a JSON-like summary for people and programs.

    Returns:
        `path`, `created`, `lowland`; `checkpoints` (the folder they lie in by `checkpoints_to`, or None);
        `active` (a process is writing it) and `writer` (its name, or None);
        `stages` {name: {status: pending|running|interrupted|done, seconds, facts}} for every stage in order;
        `progress` (as last given to `progress`, or None); `seconds_left` of the running stage (None: unknown);
        `best` (the best result last reported, or None); `lag` (`search.lag`: the search has no generations, or None).
        `Run.status` adds `progress_lost`: whether progress.json is
        damaged.
    """
    active = lock.held(run.path / LOCK)
    stages = {}
    for name in STAGES:
        stage = run.manifest["stages"].get(name, {})
        state = stage.get("status", "pending")
        if state == "running" and not active:
            state = "interrupted"
        stages[name] = {"status": state, "seconds": stage.get("seconds", 0.0), "facts": stage.get("facts", {})}
    left = None
    if progress is not None and progress["rate"] and stages[progress["stage"]]["status"] == "running":
        left = max(0, progress["total"] - progress["done"]) / progress["rate"]
    return {
        "path": str(run.path),
        "created": run.manifest["created"],
        "lowland": run.manifest["lowland"],
        "active": active,
        "checkpoints": run.manifest["store"]["folder"] if "store" in run.manifest else None,
        "writer": lock.owner(run.path / LOCK) or None if active else None,
        "stages": stages,
        "progress": progress,
        "seconds_left": left,
        "best": progress["best"] if progress is not None else None,
        "lag": run.config.search.lag,
    }
