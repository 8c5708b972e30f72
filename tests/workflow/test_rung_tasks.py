"""Designs of a rung train side by side: the same figures and weights on any number of workers, lost ones too."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lowland.core.errors import InterruptedRun, LowlandError, NotFiniteError
from lowland.core.monitor import Monitor
from lowland.execution.local import Workers
from lowland.measures import Score
from lowland.store.run import Run
from lowland.testing.simulated import Simulated, Weather
from lowland.training.legs import Trained
from lowland.workflow import pipeline, room, rung_tasks, rungs
from lowland.workflow.designs import Design
from lowland.workflow.halving import Halving
from lowland.workflow.rung_training import RungTraining
from lowland.workflow.session import Session
from whole_runs import copied, made

FINALISTS: dict[str, Any] = {
    "search": {"finalists": 3, "finalist_epochs": 0.8, "halving": 2, "promote": "accuracy"},
    "retrain": {"epochs": 4},
}


def workers(count: int, executor: str = "local", **compute: Any) -> dict[str, Any]:
    return {"search": {"workers": count}, "compute": {"executor": executor} | compute}


def figures(run: Path) -> str:
    """What designs were worth at rungs, in the file's order, without the times that it took."""

    def timeless(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: timeless(each) for key, each in value.items() if key != "seconds"}
        return [timeless(each) for each in value] if isinstance(value, list) else value

    return json.dumps(timeless(json.loads((run / "rungs.json").read_text())))


def same(run: Path, other: Path) -> bool:
    weights = "network/network.safetensors"
    return figures(run) == figures(other) and (run / weights).read_bytes() == (other / weights).read_bytes()


@pytest.fixture(scope="module")
def supernet_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Legs are as short as the time between checkpoints."""
    return made(tmp_path_factory.mktemp("supernet") / "run", {"compute": {"checkpoint_seconds": 0.08}}, last="supernet")


@pytest.fixture(scope="module")
def alone(supernet_only: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One design after the other."""
    run = copied(supernet_only, tmp_path_factory.mktemp("alone") / "run")
    pipeline.resume(run, last="train", changes=[FINALISTS, workers(1)])
    return run


@pytest.mark.parametrize("count", [2, 5])
def test_the_figures_are_those_of_one_process(supernet_only: Path, alone: Path, tmp_path: Path, count: int) -> None:
    asked: list[Callable[[], Mapping[str, Any]]] = []
    told: list[Mapping[str, Any]] = []

    class Status(Monitor):
        def follow(self, workers: Callable[[], Mapping[str, Any]] | None) -> None:
            asked[:] = [] if workers is None else [workers]

        def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
            self.stage = stage

        def advance(self, done: int, **facts: Any) -> None:
            told.extend(each() for each in asked if self.stage == "rung 1")

    run = copied(supernet_only, tmp_path / "run")
    pipeline.resume(run, last="train", changes=[FINALISTS, workers(count, "simulated")], monitor=Status())
    assert same(run, alone)
    assert [each["alive"] for each in told] == [count] * 3


@pytest.mark.filterwarnings("ignore:.*alone, after the first one ran short")
def test_lost_workers_are_no_designs_failure(
    supernet_only: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[int] = []
    begin, close = Simulated.__init__, Simulated.close

    def stormy(self: Simulated, *what: Any, **named: Any) -> None:
        begin(self, *what, **named)
        self.weather = Weather(loss=0.2, restart=1.0)

    def counted(self: Simulated) -> None:
        lost.append(self.facts()["lost"])
        close(self)

    monkeypatch.setattr(Simulated, "__init__", stormy)
    monkeypatch.setattr(Simulated, "close", counted)
    run = copied(supernet_only, tmp_path / "run")
    pipeline.resume(run, last="train", changes=[FINALISTS, workers(3, "simulated")])
    assert lost[-1] > 0
    assert same(run, alone)


@pytest.mark.parametrize("after", [1, 5])
def test_a_stop_between_legs_changes_nothing(
    supernet_only: Path, alone: Path, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    legs: list[str] = []
    keep = rung_tasks.SideBySide._next

    def counted(self: rung_tasks.SideBySide, design: Any, found: Trained) -> Any:
        legs.append(design.key)
        return keep(self, design, found)

    class Stop(Monitor):
        @property
        def stopping(self) -> bool:  # type: ignore[override]
            return len(legs) == after

    monkeypatch.setattr(rung_tasks.SideBySide, "_next", counted)
    run = copied(supernet_only, tmp_path / "run")
    with pytest.raises(InterruptedRun):
        pipeline.resume(run, last="train", changes=[FINALISTS, workers(2, "simulated")], monitor=Stop())
    with Run.open(run, read_only=True) as opened:
        assert [name for name in opened.manifest["checkpoints"] if name.startswith("rung-")]
    pipeline.resume(run, last="train", changes=[workers(1)])
    assert same(run, alone)


def test_a_design_that_diverges_fails_alike(supernet_only: Path, tmp_path: Path) -> None:
    wild = {"retrain": {"learning_rate": 1e18, "clip": 0.0}}
    found = []
    for place, settings in enumerate((workers(1), workers(2, "simulated"))):
        run = copied(supernet_only, tmp_path / f"run-{place}")
        with pytest.raises(Exception, match="none of the finalists could be trained"):
            pipeline.resume(run, last="search", changes=[FINALISTS, wild, settings])
        found.append(figures(run))
    assert "the training loss became" in found[0]
    assert found[0] == found[1]


def without_finite_loss(monkeypatch: pytest.MonkeyPatch, broken: Callable[[Design], bool]) -> None:
    """From now on the averaged weights of some designs are NaN, as one last gradient can make them."""
    judge = RungTraining.judge

    def judged(self: RungTraining, design: Design, averaged: dict[str, torch.Tensor]) -> dict[str, Any]:
        if broken(design):
            averaged = {
                name: value * math.nan if value.is_floating_point() else value for name, value in averaged.items()
            }
        return judge(self, design, averaged)

    monkeypatch.setattr(RungTraining, "judge", judged)


def test_a_design_without_a_finite_loss_fails_alike_and_the_others_go_on(
    supernet_only: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best, *others = json.loads((alone / "rungs.json").read_text())["designs"]
    without_finite_loss(monkeypatch, lambda design: design.key == best)
    found, notes = [], list[str]()

    class Stop(Monitor):
        def note(self, text: str) -> None:
            notes.append(text)

        @property
        def stopping(self) -> bool:  # type: ignore[override]
            return bool(notes)

    for place, settings in enumerate((workers(1), workers(2, "simulated"))):
        run, stopped = (copied(supernet_only, tmp_path / f"{name}-{place}") for name in ("run", "stopped"))
        pipeline.resume(run, last="train", changes=[FINALISTS, settings])
        notes.clear()
        with pytest.raises(InterruptedRun):
            pipeline.resume(stopped, last="train", changes=[FINALISTS, settings], monitor=Stop())
        pipeline.resume(stopped)
        assert any(re.fullmatch("finalist .* failed: loss is not finite", text) for text in notes)
        found += [run, stopped]
    rows = json.loads((found[0] / "rungs.json").read_text())["designs"]
    assert rows[best] == [{"steps": rows[best][0]["steps"], "failed": "loss is not finite"}]
    assert any("value" in row for key in others for row in rows[key][1:])
    assert all(same(found[0], other) for other in found[1:])


def test_where_no_design_has_a_finite_loss_one_sentence_says_so(
    supernet_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_finite_loss(monkeypatch, lambda _: True)
    for place, settings in enumerate((workers(1), workers(2, "simulated"))):
        run = copied(supernet_only, tmp_path / f"run-{place}")
        for _ in range(2):
            with pytest.raises(LowlandError, match="none of the finalists could be trained"):
                pipeline.resume(run, last="search", changes=[FINALISTS, settings])


@pytest.mark.parametrize("given", [ValueError("no such thing"), ZeroDivisionError("by zero"), math.nan])
def test_what_fails_a_candidate_in_a_search_fails_it_at_a_rung(
    supernet_only: Path, tmp_path: Path, given: Exception | float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(*_: Any) -> Score:
        if isinstance(given, Exception):
            raise given
        return Score(given, None)

    with Run.open(copied(supernet_only, tmp_path / "run")) as opened:
        session = Session(opened, Monitor())
        training = RungTraining(session)
        monkeypatch.setattr(type(training.measure), "score", score)
        genotype = session.space.sample(np.random.default_rng(0))
        design = Design(genotype=genotype, shape=session.network_shape(1))
        with pytest.raises(NotFiniteError, match=r"nan|no such thing|by zero"):
            training.judge(design, training._body(design).state_dict())


def test_threads_of_a_training_are_its_own_and_leave_room_for_as_many_as_there_are_cores(
    supernet_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "available_cores", lambda: 4)
    run = copied(supernet_only, tmp_path / "run")
    pipeline.resume(run, last="supernet", changes=[FINALISTS, workers(3)])
    seen: list[int] = []
    monkeypatch.setattr(Halving, "_one_by_one", lambda *_: seen.append(torch.get_num_threads()) or iter(()))
    with Run.open(run) as opened:
        session = Session(opened, Monitor())
        for asked, size in ((None, 3), (1, 3), (2, 2), (4, 1)):
            compute = opened.config.compute.model_copy(update={"task_threads": asked})
            opened.config = opened.config.model_copy(update={"compute": compute})
            threads = rungs.task_threads(session.config, session.compute)
            assert threads == (asked or 1)
            assert room.chosen(session, threads)[1].size == size
        with rung_tasks.side_by_side(session, Halving(session).training) as beside:
            assert beside is None
            assert torch.get_num_threads() == 4
    assert torch.get_num_threads() == 1


@pytest.mark.slow
@pytest.mark.usefixtures("eager_workers")
@pytest.mark.filterwarnings("ignore:.*alone, after the first one ran short")  # a design may be hit twice
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_worker_processes_that_are_killed(
    supernet_only: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools: list[Workers] = []
    killed: set[int] = set()
    begin: Callable[..., None] = Workers.__init__
    keep = rung_tasks.SideBySide._next

    def noted(self: Workers, *what: Any, **named: Any) -> None:
        begin(self, *what, **named)
        pools.append(self)

    def killing(self: rung_tasks.SideBySide, design: Any, found: Trained) -> Any:
        for process in pools[-1].processes:
            if pools[-1].dispatcher.knows(process) and len(killed) < 3 and process not in killed:
                killed.add(process)
                os.kill(process, signal.SIGKILL)
                break
        return keep(self, design, found)

    monkeypatch.setattr(Workers, "__init__", noted)
    monkeypatch.setattr(rung_tasks.SideBySide, "_next", killing)
    run = copied(supernet_only, tmp_path / "run")
    pipeline.resume(run, last="train", changes=[FINALISTS, workers(2)])
    assert len(killed) == 3
    assert same(run, alone)


DRIVER = """
import sys
from pathlib import Path
from lowland.execution import local
from lowland.workflow import pipeline
local.WORTH_SECONDS = 0.0
pipeline.resume(Path(sys.argv[1]), last="train")
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_driver_that_is_killed_in_every_rung(supernet_only: Path, alone: Path, tmp_path: Path) -> None:
    run = copied(supernet_only, tmp_path / "run")
    pipeline.resume(run, last="supernet", changes=[FINALISTS, workers(2)])

    def legs() -> dict[str, int]:
        """Checkpoints that were written of every design."""
        kept = json.loads((run / "manifest.json").read_text())["checkpoints"]
        return {name: entries[0]["step"] for name, entries in kept.items() if name.startswith("rung-")}

    def rung() -> int:
        file = run / "rungs.json"
        return max(map(len, json.loads(file.read_text())["designs"].values())) if file.exists() else 0

    for wanted in (0, 1):
        with subprocess.Popen([sys.executable, "-c", DRIVER, str(run)]) as driver:
            deadline, before = time.monotonic() + 900, None
            while driver.poll() is None and time.monotonic() < deadline:
                if rung() == wanted and before is None and legs():
                    before = legs()
                if before is not None and legs() != before:
                    break
                time.sleep(0.01)
            assert driver.poll() is None
            driver.kill()
    pipeline.resume(run, last="train", changes=[workers(1)])
    assert same(run, alone)
