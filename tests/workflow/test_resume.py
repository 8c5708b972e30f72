"""Real SIGKILLs and Ctrl-C at moments chosen by progress: a resumed run ends where an uninterrupted one does."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lowland.app import cli
from lowland.report.gather import gather
from lowland.search.archive import Archive
from lowland.store.manifest import STAGES
from lowland.store.run import Run
from whole_runs import Command, content, options

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")

# The server imports lowland once and forks a fresh process, without threads of torch, for each command.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        *("lowland.app.display", "lowland.app.cli", "lowland.report.figures.plots", "sklearn.datasets", "pytest"),
        "torch._dynamo",  # which every optimizer imports when it is made
    ]
)


def command(log: Path, held: Held, *arguments: str) -> None:
    """`lowland ARGUMENTS` in this (forked) process, its output in a file, waiting at the moment to be held at."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    # Everything a run makes known goes through one of these.
    held.after(Run, "_write_manifest")
    held.after(Archive, "record_all")
    sys.argv = ["lowland", *arguments]
    cli.main()


class Held:
    """A moment of a run at which its process waits until it is let go."""

    def __init__(self, run: Path, stage: str, before: int = 0) -> None:
        self.run, self.stage, self.before = run, stage, before
        # Files, since a process killed while it waits would leave a lock of multiprocessing taken.
        self.reached, self.go = (run.with_name(f"{run.name}.{stage}.{before}.{name}") for name in ("reached", "go"))

    def after(self, owner: type, name: str) -> None:
        """Look after every call of a method whether the moment has come."""
        method = getattr(owner, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            result = method(*arguments, **options)
            if not self.reached.exists() and MOMENTS[self.stage](self.run, self.before):
                self.reached.touch()
                while not self.go.exists():
                    time.sleep(0.001)
            return result

        setattr(owner, name, watched)


class Started:
    """A lowland command in a process of its own, come to the moment it is held at."""

    def __init__(self, log: Path, held: Held, *arguments: str | Path) -> None:
        self.log, self.held = log, held
        self.process = _SERVER.Process(target=command, args=(log, held, *map(str, arguments)))
        self.process.start()

    def until(self, come: Callable[[], bool]) -> None:
        """Wait for something the held process does."""
        deadline = time.monotonic() + 600
        while not come():
            assert self.process.is_alive(), f"ended too early: {self.log.read_text()}"
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.001)

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.process.pid or 0, number)

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal, let go and wait for the end: exit code and what was said."""
        self.signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        self.held.go.touch()
        self.process.join(60)
        assert self.process.exitcode is not None, "it does not end"
        return self.process.exitcode, self.log.read_text()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Start commands, each held at a moment; none outlives the test."""
    begun: list[Started] = []

    def starting(held: Held, *arguments: str | Path) -> Started:
        begun.append(Started(tmp_path / f"log{len(begun)}", held, *arguments))
        begun[-1].until(held.reached.exists)
        return begun[-1]

    yield starting
    for each in begun:
        if each.process.is_alive():
            each.process.kill()
            each.process.join()


def manifest(run: Path) -> dict[str, Any]:
    """The manifest, or an empty one before there is any."""
    try:
        found: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    except FileNotFoundError:
        return {"stages": {}, "checkpoints": {}}
    return found


def running(run: Path, stage: str) -> bool:
    return bool(manifest(run)["stages"].get(stage, {}).get("status") == "running")


def scored(run: Path) -> int:
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{run}/archive.sqlite?mode=ro", uri=True)) as archive:
        return int(archive.execute("SELECT count(*) FROM candidates").fetchone()[0])
    return 0


def step(run: Path, name: str) -> int:
    """How often a checkpoint whose name begins with `name` was written."""
    kept = [entries for key, entries in manifest(run)["checkpoints"].items() if key.startswith(name)]
    return int(kept[0][0]["step"]) if kept else 0


MOMENTS: dict[str, Callable[[Path, int], bool]] = {
    "supernet": lambda run, before: running(run, "supernet") and step(run, "supernet") >= before + 2,
    "search": lambda run, _: running(run, "search") and scored(run) >= 3,
    "train": lambda run, before: running(run, "train") and step(run, "train") >= before + 2,
    "evaluate": lambda run, _: running(run, "evaluate"),
    "report": lambda run, _: running(run, "report"),
}
"""When a stage is well under way."""

OFTEN = ("--set", "compute.checkpoint_seconds=1e-9")


def results(run: Path) -> dict[str, Any]:
    """Everything a run found, without times and paths."""
    with Run.open(run, read_only=True) as opened:
        assert opened.verify() == []
        assert [name for name in STAGES if opened.stage_done(name)] == list(STAGES)
        facts = dataclasses.asdict(gather(opened))
    for name in ("run", "created", "commands", "stages", "loading", "config_yaml"):
        facts.pop(name)
    found = {
        "report": facts,
        "ranking": json.loads((run / "search.json").read_text())["ranking"],
        "evaluation": content(run / "evaluation"),
        "losses": [json.loads((run / file).read_text()) for file in ("supernet/history.json", "training.json")],
    }
    found["losses"][0].pop("images_per_second")
    return found


def assert_same(run: Path, reference: Path) -> None:
    """Both runs found the same, to the last bit."""
    assert results(run) == results(reference)
    for file in ("supernet/initial", "supernet/trained", "network/network"):
        mine, theirs = load_file(run / f"{file}.safetensors"), load_file(reference / f"{file}.safetensors")
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine), file


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_under_another_executor(
    tmp_path: Path, pristine: Path, start: Callable[..., Started], lowland: Command
) -> None:
    run = tmp_path / "run"
    arguments = options("--set", "search.workers=2", "--out", str(run))
    code, _ = start(Held(run, "search"), "run", *arguments).end(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert scored(run) >= 3
    assert lowland("search", run, "--set", "compute.executor=sequential").code == 0
    assert lowland("resume", run).code == 0
    assert results(run)["ranking"] == results(pristine)["ranking"]
    assert scored(run) == scored(pristine)


@pytest.mark.slow
def test_killed_in_every_stage_it_ends_the_same(
    tmp_path: Path, pristine: Path, start: Callable[..., Started], lowland: Command
) -> None:
    run = tmp_path / "run"
    arguments = ["run", *options(*OFTEN, "--out", str(run))]
    for stage in ("supernet", "supernet", "search", "train", "evaluate", "report"):
        before = step(run, stage) if (run / "manifest.json").exists() else 0
        code, _ = start(Held(run, stage, before), *arguments).end(signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert manifest(run)["stages"][stage]["status"] == "running"
        told = lowland("status", run)
        assert f"lowland resume {run}" in told.out
        assert re.search(rf"{stage}\s+interrupted", told.out)
        arguments = ["resume", run]
    assert lowland("resume", run).code == 0
    assert_same(run, pristine)
    assert "interrupted" not in lowland("status", run).out


@pytest.mark.parametrize("stage", ["search", "train"])
def test_ctrl_c_stops_at_a_safe_point_and_tells_how_to_go_on(
    stage: str, tmp_path: Path, pristine: Path, start: Callable[..., Started], lowland: Command
) -> None:
    run = tmp_path / "run"
    code, said = start(Held(run, stage), "run", *options(*OFTEN, "--out", str(run))).end(signal.SIGINT)
    assert code == 130
    assert said.strip().splitlines()[-1] == f"stopped at a safe point; continue with `lowland resume {run}`"
    assert "Traceback" not in said
    assert lowland("resume", run).code == 0
    assert_same(run, pristine)


def test_a_second_ctrl_c_stops_at_once(
    tmp_path: Path, pristine: Path, start: Callable[..., Started], lowland: Command
) -> None:
    run = tmp_path / "run"
    begun = start(Held(run, "evaluate"), "run", *options(*OFTEN, "--out", str(run)))
    begun.signal(signal.SIGINT)
    begun.until(lambda: "safe point" in begun.log.read_text())
    code, said = begun.end(signal.SIGINT)
    assert code == 130
    assert "Traceback" not in said
    assert f"lowland resume {run}" in said
    assert lowland("resume", run).code == 0
    assert_same(run, pristine)


def test_a_second_writer_is_refused_while_the_first_goes_on(
    tmp_path: Path, pristine: Path, start: Callable[..., Started], lowland: Command
) -> None:
    run = tmp_path / "run"
    begun = start(Held(run, "supernet"), "run", *options(*OFTEN, "--out", str(run)))
    for arguments in (("resume", run), ("report", run), ("train", run, "--top", 2)):
        fault = lowland(*arguments).fault
        assert f"{run} is in use by process {begun.process.pid} on" in fault
    assert "already holds a run" in lowland("run", *options("--out", str(run))).fault
    told = lowland("status", run).out
    assert "(running, made" in told
    assert begun.wait()[0] == 0
    assert_same(run, pristine)


def test_resuming_a_finished_run_changes_nothing(finished: Path, lowland: Command) -> None:
    before = content(finished)
    said = lowland("resume", finished)
    assert said.code == 0
    assert str(finished / "report.html") in said.out
    assert content(finished) == before
