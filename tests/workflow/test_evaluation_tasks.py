"""An evaluation whose references train and whose networks are judged side by side: the same bytes on any executor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lowland.core.errors import BudgetError, InterruptedRun
from lowland.core.monitor import Monitor
from lowland.evaluation import pool as pool_module
from lowland.evaluation import references_suite
from lowland.evaluation import tasks as tasks_module
from lowland.evaluation.pool import EvaluationPool
from lowland.evaluation.tasks import EvaluationWork
from lowland.execution.local import Workers
from lowland.store.run import Run
from lowland.testing.simulated import Simulated, Weather
from lowland.workflow import pipeline, rungs
from lowland.workflow.evaluation_tasks import evaluation_pool
from lowland.workflow.session import Session
from whole_runs import copied, made

ASKED: dict[str, Any] = {"evaluate": {"suites": ["classification", "corruptions", "landscape", "references"]}}


def workers(count: int, executor: str = "local") -> dict[str, Any]:
    return {"search": {"workers": count}, "compute": {"executor": executor}}


def found(run: Path) -> dict[str, Any]:
    """What suites found and references weigh, without the times that it took."""

    def timeless(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: timeless(each) for key, each in value.items() if key not in ("seconds", "environment")}
        return [timeless(each) for each in value] if isinstance(value, list) else value

    suites = {file.name: timeless(json.loads(file.read_text())) for file in (run / "evaluation").glob("*.json")}
    weights = {file.parent.parent.name: file.read_bytes() for file in run.glob("references/networks/*/*/*.safetensors")}
    judged = {file: timeless(json.loads(file.read_text())) for file in run.glob("references/networks/*/*/judged.json")}
    left = [file.name for file in run.glob("references/**/*") if "checkpoint" in file.name or file.name == "judging"]
    return {"suites": suites, "weights": weights, "judged": list(judged.values()), "left": left}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Legs are as short as the time between checkpoints."""
    return made(tmp_path_factory.mktemp("trained") / "run", {"compute": {"checkpoint_seconds": 0.2}}, last="train")


@pytest.fixture(scope="module")
def alone(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One thing after the other."""
    run = copied(trained, tmp_path_factory.mktemp("alone") / "run")
    pipeline.resume(run, last="evaluate", changes=[ASKED, workers(1)])
    assert len(found(run)["suites"]) == 4
    assert set(found(run)["weights"]) == {"resnet-cell"}
    return run


@pytest.mark.filterwarnings("ignore:.*alone, after the first one ran short")
@pytest.mark.parametrize(("count", "loss"), [(2, 0.0), (3, 0.2)])
def test_what_is_found_is_that_of_one_process_on_workers_that_are_lost_too(
    trained: Path, alone: Path, tmp_path: Path, count: int, loss: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts: list[dict[str, Any]] = []
    begin, close = Simulated.__init__, Simulated.close

    def stormy(self: Simulated, *what: Any, **named: Any) -> None:
        begin(self, *what, **named)
        self.weather = Weather(loss=loss, restart=1.0)

    def counted(self: Simulated) -> None:
        facts.append(self.facts())
        close(self)

    monkeypatch.setattr(Simulated, "__init__", stormy)
    monkeypatch.setattr(Simulated, "close", counted)
    run = copied(trained, tmp_path / "run")
    pipeline.resume(run, last="evaluate", changes=[ASKED, workers(count, "simulated")])
    assert found(run) == found(alone)
    (told,) = facts  # one pool for the whole stage
    assert (told["lost"] > 0) == (loss > 0)


@pytest.mark.parametrize("where", ["corruptions", "resnet-cell", "loss curves"])
def test_a_stop_costs_a_leg_or_a_part(
    trained: Path, alone: Path, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Monitor):
        def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
            self.stage = stage

        def advance(self, done: int, **facts: Any) -> None:
            self.stopping = self.stopping or self.stage == where

    run = copied(trained, tmp_path / "run")
    with pytest.raises(InterruptedRun):
        pipeline.resume(run, last="evaluate", changes=[ASKED, workers(2, "simulated")], monitor=Stop())
    begun = list(run.glob("references/networks/*/*/checkpoint.safetensors"))
    ended = list(run.glob("references/networks/*/*/trained.json"))
    assert begun or ended  # the training began beside the first suite
    parts = sorted(file.name for file in run.glob("evaluation/corruptions/*.json"))
    if where == "corruptions":
        assert 1 <= len(parts) < 4
    asked: list[str] = []
    judge = pool_module.EvaluationPool.judged

    def noted(self: EvaluationPool, tasks: Any) -> Any:
        asked.extend(f"{task.name}-{task.severity}" for task in tasks.values() if task.networks.keys() == {"1"})
        return judge(self, tasks)

    monkeypatch.setattr(pool_module.EvaluationPool, "judged", noted)
    pipeline.resume(run, last="evaluate", changes=[workers(2, "simulated")])
    assert found(run) == found(alone)
    if where == "corruptions":
        assert len(asked) == 4 - len(parts)  # what was there was not done again


def test_the_delivered_network_is_judged_once_and_references_beside_its_loss_curves(
    trained: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the suite `corruptions` finds of it is taken over."""
    judged: list[tuple[str, int]] = []
    happened: list[str] = []
    real, begin = EvaluationWork.judged, pool_module.EvaluationPool.begin_judging

    class Heard(Monitor):
        def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
            happened.append(stage)

    def counted(self: EvaluationWork, task: Any, *what: Any, **named: Any) -> Any:
        judged.append((task.name, len(task.networks)))
        return real(self, task, *what, **named)

    def noted(self: EvaluationPool, tasks: Any, *what: Any) -> None:
        if tasks and "1" not in next(iter(tasks.values())).networks:
            happened.append("references are judged")
        begin(self, tasks, *what)

    monkeypatch.setattr(EvaluationWork, "judged", counted)
    monkeypatch.setattr(pool_module.EvaluationPool, "begin_judging", noted)
    hear = Simulated._hear  # a virtual second passes with every look
    monkeypatch.setattr(Simulated, "_hear", lambda self, seconds: hear(self, seconds or 1.0))
    run = copied(trained, tmp_path / "run")
    with Run.open(run) as opened:  # the training is one leg
        compute = opened.config.compute.model_copy(update={"checkpoint_seconds": 30.0})
        opened.reconfigure(opened.config.model_copy(update={"compute": compute}), None)
    pipeline.resume(run, last="evaluate", changes=[ASKED, workers(2, "simulated")], monitor=Heard())
    assert len(judged) == 4 + 4  # four kinds: the delivered network, and the reference
    assert {networks for _, networks in judged} == {1}
    assert "resnet-cell" not in happened  # nothing waited for its training
    last = len(happened) - 1 - happened[::-1].index("corruptions")
    assert happened.index("references are judged") < last - 1
    assert found(run) == found(alone)
    judged.clear()
    again = {"evaluate": {"options": {"references": {"names": ["all-conv3x3"]}}}}
    pipeline.resume(run, last="evaluate", changes=[again])
    assert len(judged) == 4  # what was found of the delivered network is kept beside its references
    assert set(found(run)["weights"]) == {"resnet-cell", "all-conv3x3"}


def test_a_reference_that_diverges_is_told_as_in_one_process(trained: Path, tmp_path: Path) -> None:
    said = []
    for place, settings in enumerate((workers(1), workers(2, "simulated"))):
        run = copied(trained, tmp_path / f"run-{place}")
        with Run.open(run) as opened:  # the delivered network stays: only what follows it learns too fast
            recipe = opened.config.retrain.model_copy(update={"learning_rate": 1e18, "clip": 0.0})
            opened.reconfigure(opened.config.model_copy(update={"retrain": recipe}), None)
        with pytest.raises(ArithmeticError, match="the training loss became") as fault:
            pipeline.resume(run, last="evaluate", changes=[ASKED, settings])
        said.append(str(fault.value))
    assert said[0] == said[1]


def test_a_reference_begun_by_another_recipe_begins_anew(trained: Path, tmp_path: Path) -> None:
    class Stop(Monitor):
        def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
            self.stage = stage

        def advance(self, done: int, **facts: Any) -> None:
            self.stopping = self.stage == "corruptions"

    run, other = copied(trained, tmp_path / "run"), copied(trained, tmp_path / "other")
    with pytest.raises(InterruptedRun):
        pipeline.resume(run, last="evaluate", changes=[ASKED, workers(2, "simulated")], monitor=Stop())
    assert list(run.glob("references/networks/*/*/checkpoint.safetensors"))
    recipe = {"retrain": {"learning_rate": 0.03}}
    for each in (run, other):
        pipeline.resume(each, last="evaluate", changes=[ASKED, workers(2, "simulated"), recipe])
    assert found(run)["weights"] == found(other)["weights"]


def test_what_cannot_begin_costs_no_suite_before_it(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        raise BudgetError("too large however narrow")

    monkeypatch.setattr(references_suite, "sized", refused)
    run = copied(trained, tmp_path / "run")
    asked = {"evaluate": ASKED["evaluate"] | {"options": {"references": {"names": ["resnet-cell"]}}}}
    with pytest.raises(BudgetError, match="too large however narrow"):
        pipeline.resume(run, last="evaluate", changes=[asked, workers(2, "simulated")])
    assert {file.stem for file in run.glob("evaluation/*.json")} == {"classification", "corruptions", "landscape"}


def test_a_stop_is_heard_between_the_batches_of_a_judgement(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Monitor):
        stopping = False

    monitor, batches = Stop(), []
    under = tasks_module.hits_under

    def stopped(*what: Any, heard: Callable[[int], None], **named: Any) -> Any:
        def each(count: int) -> None:
            batches.append(count)
            monitor.stopping = True
            heard(count)

        return under(*what, heard=each, **named)

    monkeypatch.setattr(tasks_module, "hits_under", stopped)
    run = copied(trained, tmp_path / "run")
    asked = {"evaluate": {"suites": ["corruptions"], "batch_size": 20}}
    with pytest.raises(InterruptedRun):
        pipeline.resume(run, last="evaluate", changes=[asked, workers(2)], monitor=monitor)
    assert batches == [1]


def test_threads_of_a_reference_are_half_of_the_runs_whatever_the_workers(trained: Path, tmp_path: Path) -> None:
    run = copied(trained, tmp_path / "run")
    with Run.open(run) as opened:
        for threads, asked, wanted in ((1, None, 1), (2, None, 1), (8, None, 4), (8, 3, 3)):
            compute = opened.config.compute.model_copy(update={"threads": threads, "task_threads": asked})
            opened.config = opened.config.model_copy(update={"compute": compute})
            session = Session(opened, Monitor())
            assert rungs.reference_threads(session.config, session.compute) == wanted
        opened.config = opened.config.model_copy(
            update={"search": opened.config.search.model_copy(update={"workers": 1})}
        )
        with evaluation_pool(Session(opened, Monitor())) as pool:
            assert pool is None
    torch.set_num_threads(1)


@pytest.mark.slow
@pytest.mark.usefixtures("eager_workers")
@pytest.mark.filterwarnings("ignore:.*alone, after the first one ran short")  # a task may be hit twice
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_worker_processes_that_are_killed(
    trained: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools: list[Workers] = []
    killed: set[int] = set()
    begin: Callable[..., None] = Workers.__init__
    following = EvaluationPool._following

    def noted(self: Workers, *what: Any, **named: Any) -> None:
        begin(self, *what, **named)
        pools.append(self)

    def killing(self: EvaluationPool, chain: int, gave: Any) -> Any:
        for process in pools[-1].processes:
            if pools[-1].dispatcher.knows(process) and len(killed) < 2 and process not in killed:
                killed.add(process)
                os.kill(process, signal.SIGKILL)
                break
        return following(self, chain, gave)

    monkeypatch.setattr(Workers, "__init__", noted)
    monkeypatch.setattr(EvaluationPool, "_following", killing)
    run = copied(trained, tmp_path / "run")
    pipeline.resume(run, last="evaluate", changes=[ASKED, workers(2)])
    assert len(killed) == 2
    assert found(run) == found(alone)


DRIVER = """
import sys
from pathlib import Path
from lowland.execution import local
from lowland.workflow import pipeline
local.WORTH_SECONDS = 0.0
pipeline.resume(Path(sys.argv[1]), last="evaluate")
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_driver_that_is_killed(trained: Path, alone: Path, tmp_path: Path) -> None:
    run = copied(trained, tmp_path / "run")
    pipeline.resume(run, last="train", changes=[ASKED, workers(2)])
    with subprocess.Popen([sys.executable, "-c", DRIVER, str(run)]) as driver:
        deadline = time.monotonic() + 300
        while driver.poll() is None and time.monotonic() < deadline:
            if list(run.glob("references/networks/*/*/checkpoint.safetensors")):
                break
            time.sleep(0.01)
        assert driver.poll() is None
        driver.kill()
    pipeline.resume(run, last="evaluate", changes=[workers(1)])
    assert found(run) == found(alone)
