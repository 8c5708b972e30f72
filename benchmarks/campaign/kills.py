"""Kills: runs ended by SIGKILL at random instants and at file operations, again and again, end as if never stopped."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from processes import TINY, Ended, apart, result

from lowland.core.monitor import Monitor

KINDS: dict[str, dict[str, Any]] = {
    "evolution": {},
    "random": {"search": {"strategy": "random", "options": {"random": {"candidates": 10}}}},
    "pareto": {
        "search": {
            "strategy": "pareto",
            "options": {
                "pareto": {"initial": 6, "iterations": 2, "proposals": 2, "inner_population": 8, "inner_generations": 4}
            },
        }
    },
    "exhaustive": {"search": {"strategy": "exhaustive", "max_params": 4900}},
    "workers": {"search": {"workers": 2}},
    "halving": {"search": {"finalists": 2, "depths": [1], "hand_written": False}},
}
"""What each kind of run has besides the tiny settings."""

MOST_KILLS = 60
"""Of one run, which is then left to end: a kill may come before anything new is kept."""


def settings(kind: str) -> list[dict[str, Any]]:
    return [TINY, KINDS[kind]]


def carried(run: Path, kind: str) -> None:
    """Begin the run, or go on with it."""
    from lowland.execution import local
    from lowland.workflow import pipeline
    from lowland.workflow.presets import assemble

    local.WORTH_SECONDS = 0.0
    if (run / "manifest.json").exists():
        pipeline.resume(run, monitor=Monitor())
    else:
        pipeline.run(assemble(*settings(kind)), run, monitor=Monitor())


def killed_at(operation: int, after: bool, task: Callable[[], object]) -> Callable[[], None]:
    """`task`, ended by SIGKILL before or after its n-th file operation or archived row."""

    def call() -> None:
        from lowland.search import Archive
        from lowland.store import inside

        left = operation

        def counted(what: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*arguments: Any, **named: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0 and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                done = what(*arguments, **named)
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return done

            return wrapped

        for name in ("open", "replace", "delete", "flush"):
            setattr(inside._Folder, name, counted(getattr(inside._Folder, name)))
        inside.flush = counted(inside.flush)  # type: ignore[assignment]
        Archive.record_all = counted(Archive.record_all)  # type: ignore[method-assign]
        task()

    return call


def chains(folder: Path, kinds: list[str], seed: int) -> Iterator[dict[str, Any]]:
    """Runs of each kind in turn, each killed until it ends in spite of it.

    Yields:
        For each run: its kind, how it was killed and how often, and what went wrong.
    """
    generator = random.Random(seed)
    whole: dict[str, tuple[dict[str, str], float]] = {}
    number = 0
    while True:
        for kind in kinds:
            if kind not in whole:
                ended = apart(lambda kind=kind: carried(folder / f"whole-{kind}", kind), limit=600)
                if ended.code:
                    yield {"kind": kind, "way": "none", "kills": 0, "fault": f"uninterrupted: {ended.output[-500:]}"}
                    return
                whole[kind] = result(folder / f"whole-{kind}"), ended.seconds
            number += 1
            yield one(folder / f"{kind}-{number}", kind, generator, *whole[kind])


def one(run: Path, kind: str, generator: random.Random, expected: dict[str, str], seconds: float) -> dict[str, Any]:
    """One run, killed at random instants or at file operations."""
    way = generator.choice(["instant", "operation"])
    kills, ended = 0, Ended(1, "", 0.0, 0.0, late=False)
    while ended.code:
        if kills >= MOST_KILLS:
            ended = apart(lambda: carried(run, kind), limit=600)
        elif way == "instant":
            ended = apart(lambda: carried(run, kind), kill_after=generator.uniform(0.05, seconds))
        else:
            task = killed_at(generator.randint(1, 25), generator.random() < 0.5, lambda: carried(run, kind))
            ended = apart(task, limit=600)
        if ended.code not in (0, -signal.SIGKILL) or ended.late:
            return {"kind": kind, "way": way, "kills": kills, "fault": f"lost: {ended.output[-500:]}"}
        kills += ended.code != 0
    found = result(run)
    differ = [name for name, digest in expected.items() if found[name] != digest]
    return {"kind": kind, "way": way, "kills": kills, "fault": f"different: {', '.join(differ)}" if differ else ""}


# --- torchrun ---------------------------------------------------------------------------------------------------------


def torchrun(run: Path) -> list[str]:
    """The command that trains `run` on two processes."""
    script = Path(__file__).with_name("torchrun_program.py")
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script), str(run)]


def distributed(folder: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Runs on two processes of torchrun, both killed at random instants.

    Yields:
        As `chains`.
    """
    generator = random.Random(seed)

    def ended(run: Path, kill_after: float | None) -> int | None:
        with (folder / "torchrun.log").open("w") as log:
            process = subprocess.Popen(torchrun(run), stdout=log, stderr=log, start_new_session=True)
        try:
            return process.wait(kill_after or 600)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            # The processes that torchrun started have sessions of their own, and notice that it is gone.
            process.wait()
            deadline = time.monotonic() + 120
            while _held(run) and time.monotonic() < deadline:
                time.sleep(0.2)
            return None

    begun = time.monotonic()
    if ended(folder / "whole-torchrun", None) != 0:
        yield {"kind": "torchrun", "way": "none", "kills": 0, "fault": (folder / "torchrun.log").read_text()[-500:]}
        return
    seconds, expected, number = time.monotonic() - begun, result(folder / "whole-torchrun"), 0
    while True:
        number += 1
        kills, code, run = 0, None, folder / f"torchrun-{number}"
        while code is None:
            code = ended(run, generator.uniform(0.4 * seconds, 1.2 * seconds) if kills < 10 else None)
            kills += code is None
        if code:
            fault = f"lost: {(folder / 'torchrun.log').read_text()[-500:]}"
        else:
            found = result(run)
            differ = [name for name, digest in expected.items() if found[name] != digest]
            fault = f"different: {', '.join(differ)}" if differ else ""
        yield {"kind": "torchrun", "way": "instant", "kills": kills, "fault": fault}


def _held(run: Path) -> bool:
    from lowland.store import lock

    return lock.held(run / ".lock")
