"""What all parts of the campaign share: a task in a process of its own, tiny runs, what of a run must be equal."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import os
import resource
import select
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"

TINY: dict[str, Any] = {
    "seed": 3,
    "data": {"name": "digits", "limit": 200},
    "supernet": {"channels": 4, "cells": 1, "epochs": 2},
    "search": {
        "finalists": 0,
        "options": {"evolution": {"population": 4, "generations": 2, "parents": 2, "mutations": 2, "crossovers": 2}},
    },
    "measure": {"calibration_images": 32, "images": 20},
    "network": {"channels": 4, "cells": 1},
    "retrain": {"epochs": 2, "batch_size": 32},
    "evaluate": {"suites": ["classification"]},
    "compute": {"threads": 1, "device": "cpu", "checkpoint_seconds": 0.05},
}  # fmt: skip
"""Settings of a run of about a second."""


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: Exit code; negative: the signal that ended it.
        output: What it printed, the last 200,000 characters.
        seconds: Time it took.
        peak_mb: Its largest memory.
        late: Whether it was ended because it took too long.
    """

    code: int
    output: str
    seconds: float
    peak_mb: float
    late: bool

    @property
    def fault(self) -> str:
        """What is wrong with how it ended; empty where it did its work or said why not."""
        if self.late:
            return "hang"
        if "Traceback (most recent call last)" in self.output:
            return "traceback"
        return "" if self.code in (0, 2, 130) else f"exit {self.code}"


def apart(
    task: Callable[[], object], *, limit: float = 120.0, memory_gb: float | None = None, kill_after: float | None = None
) -> Ended:
    """Do `task` in a forked process, which has imported all that this one has.

    Args:
        task: What to do; what it raises is printed and ends the process with 1.
        limit: Seconds after which it hangs.
        memory_gb: Most address space beyond what this process has.
        kill_after: Seconds after which it is killed; no hang.

    Returns:
        How it ended.
    """
    reading, writing = os.pipe()
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(reading)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), "utf-8", errors="replace", write_through=True)
        sys.stderr = sys.stdout
        if memory_gb is not None:
            most = int(memory_gb * 2**30) + _address_space()
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        code = 1
        try:
            task()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(writing)
    content, late, ends = b"", False, begun + (limit if kill_after is None else kill_after)
    while True:
        left = ends - time.monotonic()
        if left <= 0:
            late = kill_after is None
            os.kill(child, signal.SIGKILL)
            break
        if select.select([reading], [], [], left)[0]:
            chunk = os.read(reading, 2**16)
            if not chunk:
                break
            content = (content + chunk)[-200_000:]
    os.close(reading)
    _, status, usage = os.wait4(child, 0)
    return Ended(
        os.waitstatus_to_exitcode(status),
        content.decode("utf-8", "replace"),
        time.monotonic() - begun,
        usage.ru_maxrss / 1024,
        late,
    )


def _address_space() -> int:
    with Path("/proc/self/statm").open(encoding="ascii") as stream:
        return int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def command(*arguments: object) -> Callable[[], None]:
    """A call of the command line, as a task."""

    def call() -> None:
        from rich.console import Console

        from lowland.app import cli, console

        console.out, console.err = Console(width=200, file=sys.stdout), Console(width=200, file=sys.stdout)
        sys.argv = ["lowland", *map(str, arguments)]
        cli.main()

    return call


def result(run: Path) -> dict[str, str]:
    """Digests of what a run found: the supernet, the scores, the ranking, the delivered network."""
    found = {}
    for name in ("supernet/trained.safetensors", "network/network.safetensors"):
        found[name] = hashlib.sha256((run / name).read_bytes()).hexdigest()[:16]
    with closing(sqlite3.connect(run / "archive.sqlite")) as connection:
        connection.text_factory = bytes  # a damaged text is another one, no error
        rows = connection.execute("SELECT measure, key, genes, status, value FROM candidates ORDER BY measure, key")
        found["archive"] = hashlib.sha256(repr(rows.fetchall()).encode()).hexdigest()[:16]
    found["search.json"] = hashlib.sha256((run / "search.json").read_bytes()).hexdigest()[:16]
    return found


def warm(task: Callable[[], object]) -> None:
    """Import here what `task` imports, so that no later process has to; `task` itself is done in one of its own."""

    def told() -> None:
        known = set(sys.modules)
        try:
            task()
        finally:
            print("\n" + " ".join(sorted(set(sys.modules) - known)))

    for name in apart(told, limit=600).output.rpartition("\n")[0].rpartition("\n")[2].split():
        with contextlib.suppress(Exception):
            importlib.import_module(name)
