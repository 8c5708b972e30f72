"""References that begin to train while the delivered network does: the same bytes, and the stage `train` does not fail
for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lowland.core.device import resolve
from lowland.core.errors import InterruptedRun, LowlandError
from lowland.core.monitor import Monitor
from lowland.data import load
from lowland.evaluation.pool import EvaluationPool
from lowland.execution.local import Workers
from lowland.store.run import Run
from lowland.testing import simulated
from lowland.training import loop
from lowland.workflow import pipeline, room, rungs
from lowland.workflow.evaluation_tasks import evaluation_pool
from lowland.workflow.session import Session
from lowland.workflow.stages import early_references
from whole_runs import copied, made

SEARCHED: dict[str, Any] = {
    "evaluate": {"suites": ["classification", "references"]},
    "compute": {"checkpoint_seconds": 0.05},
}


def workers(count: int, executor: str = simulated.Simulated.name) -> dict[str, Any]:
    return {"search": {"workers": count}, "compute": {"executor": executor}}


def weights(run: Path) -> dict[str, bytes]:
    files = [*run.glob("network/network.safetensors"), *run.glob("references/networks/*/*/network.safetensors")]
    return {file.relative_to(run).as_posix(): file.read_bytes() for file in files}


def kept(run: Path) -> list[Path]:
    """What there is of trainings of references."""
    return [*run.glob("references/**/checkpoint.safetensors"), *run.glob("references/**/trained.json")]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("searched") / "run", SEARCHED, last="search")


@pytest.fixture(scope="module")
def alone(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = copied(searched, tmp_path_factory.mktemp("alone") / "run")
    pipeline.resume(run, last="evaluate", changes=[workers(1, "local")])
    assert set(weights(run)) == {
        "network/network.safetensors",
        "references/networks/resnet-cell/seed-3/network.safetensors",
    }
    return run


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is watched for long, since tiny trainings are over before; a virtual second passes with every look."""
    monkeypatch.setattr(early_references, "WATCHED_SECONDS", 0.0)
    monkeypatch.setattr(early_references, "ATTENDED_SECONDS", 0.0)
    hear = simulated.Simulated._hear
    monkeypatch.setattr(simulated.Simulated, "_hear", lambda self, seconds: hear(self, seconds or 1.0))


class Entering(Monitor):
    """What lay there when the evaluation began, and the lines that were told."""

    def __init__(self, run: Path) -> None:
        self.run, self.before, self.told = run, list[Path](), list[str]()

    def enter(self, stage: str) -> None:
        if stage == "evaluate":
            self.before = kept(self.run)

    def detail(self, line: str) -> None:
        self.told.append(line)

    note = detail


@pytest.mark.usefixtures("at_once")
def test_they_have_begun_when_the_network_is_there_and_end_in_the_same_bytes(
    searched: Path, alone: Path, tmp_path: Path
) -> None:
    run = copied(searched, tmp_path / "run")
    monitor = Entering(run)
    pipeline.resume(run, last="evaluate", changes=[workers(2)], monitor=monitor)
    assert monitor.before
    assert "references begin their trainings beside it" in monitor.told
    assert weights(run) == weights(alone)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("last", ["train", "evaluate"])
def test_nothing_begins_where_nothing_asks_for_it(searched: Path, tmp_path: Path, last: str) -> None:
    run = copied(searched, tmp_path / "run")
    suites = {"evaluate": {"suites": ["classification"]}} if last == "evaluate" else {}
    monitor = Entering(run)
    pipeline.resume(run, last=last, changes=[suites, workers(2)], monitor=monitor)
    assert not kept(run)
    assert monitor.told == []


@pytest.mark.usefixtures("at_once")
def test_a_stop_in_the_training_loses_no_more_than_a_leg_of_theirs(
    searched: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Monitor):
        def advance(self, done: int, **facts: Any) -> None:
            self.stopping = self.stopping or bool(kept(run))

    run = copied(searched, tmp_path / "run")
    with pytest.raises(InterruptedRun):
        pipeline.resume(run, last="evaluate", changes=[workers(2)], monitor=Stop())
    assert kept(run)
    assert not (run / "network").exists()
    pipeline.resume(run, last="evaluate")
    assert weights(run) == weights(alone)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("where", ["begin", "attend"])
def test_a_fault_of_theirs_is_told_and_the_network_is_trained_all_the_same(
    searched: Path, alone: Path, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = getattr(EvaluationPool, where)
    asked: list[int] = []

    def failing(self: EvaluationPool, *what: Any) -> Any:
        asked.append(1)
        if len(asked) == 1:
            raise LowlandError("no worker can be started")
        return real(self, *what)

    monkeypatch.setattr(EvaluationPool, where, failing)
    run = copied(searched, tmp_path / "run")
    monitor = Entering(run)
    pipeline.resume(run, last="evaluate", changes=[workers(2)], monitor=monitor)
    assert "references train when the network is there: no worker can be started" in monitor.told
    assert weights(run) == weights(alone)


def test_threads_of_the_network_are_those_of_a_reference_where_one_trains_beside_it(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so they are with one worker, and where the evaluation is not asked for now: they decide the last bits."""
    told: list[int] = []
    fit = loop.fit

    def heard(*what: Any, **named: Any) -> Any:
        told.append(torch.get_num_threads())
        return fit(*what, **named)

    monkeypatch.setattr("lowland.workflow.stages.train.fit", heard)
    settings: tuple[tuple[str, list[str], int | None, int], ...] = (
        ("train", ["classification", "references"], None, 2),
        ("train", ["classification", "references"], 3, 3),
        ("train", ["classification"], 3, 4),
    )
    for number, (last, suites, task_threads, wanted) in enumerate(settings):
        run = copied(searched, tmp_path / f"run-{number}")
        change = {"evaluate": {"suites": suites}, "compute": {"threads": 4, "task_threads": task_threads}}
        pipeline.resume(run, last=last, changes=[change, workers(1, "local")])
        assert told.pop() == wanted
    torch.set_num_threads(1)


def test_under_torchrun_the_network_has_all_threads_of_its_process(searched: Path) -> None:
    with Run.open(searched, read_only=True) as opened:
        config = opened.config
    data, compute = load(config.data, seed=config.seed), resolve(config.compute)
    assert rungs.network_threads(config, data, compute, world_size=2) == compute.threads
    torch.set_num_threads(1)


def test_beside_a_training_there_is_room_for_one_worker_less(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms: list[int | None] = []
    monkeypatch.setattr(room, "available_cores", lambda: 4)
    monkeypatch.setattr(Workers, "__init__", lambda self, room, prepare: rooms.append(room.size))
    monkeypatch.setattr(Workers, "expect", lambda self, seconds: None)
    with Run.open(copied(alone, tmp_path / "run")) as opened:
        session = Session(opened, Monitor())
        for count, wanted in ((4, 3), (2, 1)):
            change = opened.config.search.model_copy(update={"workers": count})
            compute = opened.config.compute.model_copy(update={"executor": "local"})
            opened.config = opened.config.model_copy(update={"search": change, "compute": compute})
            for busy, size in ((False, count), (True, wanted)):
                with evaluation_pool(session, busy=busy) as pool:
                    assert pool is not None
                    pool._opened()
                assert rooms.pop() == size
