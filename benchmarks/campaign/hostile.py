"""Hostile run directories: the corpus of the tests, each given to every verb, with bounds of time and memory."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from damage import loading
from processes import TESTS, apart, command

sys.path += [str(TESTS), str(TESTS / "hostile")]

MOST_GB = 1.0
"""Address space that a verb may take beyond what the program has after its imports."""

MOST_SECONDS = 60.0


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file of a folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def cases(folder: Path) -> Iterator[dict[str, Any]]:
    """Every case of the corpus.

    Yields:
        For each: what verbs made of it, whether anything outside was changed, the longest time and largest memory.
    """
    from cases import ARCHIVES, CASES, NETWORKS, make_outside

    from golden.relocate import relocated

    corpus = {"manifest and files": CASES, "archive": ARCHIVES, "network": NETWORKS}
    for kind, members in corpus.items():
        for name, spoil in members.items():
            row: dict[str, Any] = {"kind": kind, "case": name, "verbs": {}, "seconds": 0.0, "peak_mb": 0.0}
            for verb in ("status", "report", "resume", "load"):
                shutil.rmtree(folder, ignore_errors=True)
                run = relocated(TESTS / "golden" / "format-1" / "evolution", folder / "run")
                outside = make_outside(folder / "outside", run)
                spoil(run, outside)
                before = state(outside)
                task = loading(run) if verb == "load" else command(verb, run)
                ended = apart(task, limit=MOST_SECONDS, memory_gb=MOST_GB)
                how = ended.fault or ("done" if ended.code == 0 else "refused")
                if state(outside) != before or "precious" in ended.output or "\x1b" in ended.output:
                    how = "harm"
                row["verbs"][verb] = how
                if how not in ("done", "refused"):
                    row["said"] = ended.output.replace(str(run), "RUN")[-1500:]
                row["seconds"] = round(max(row["seconds"], ended.seconds), 2)
                row["peak_mb"] = round(max(row["peak_mb"], ended.peak_mb))
            yield row
    assert os.name == "posix"
