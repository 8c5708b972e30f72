"""MLflow's own client finds the curves, settings and figures of a run in its local database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from told import ended, search, start, train, whole

from lowland.app.callbacks import Calling
from lowland.core.errors import InterruptedRun
from lowland.core.monitor import Monitor

tracking = pytest.importorskip("mlflow.tracking", reason="the extra mlflow is not installed")
pytest.importorskip("alembic", reason="the extra mlflow is not installed")
from lowland.app.callbacks.mlflow import MLflow  # noqa: E402  # needs the extra

pytestmark = pytest.mark.slow  # making the database takes ten seconds


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def uri(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return database


def runs(uri: str, path: Path) -> list[Any]:
    client = tracking.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("lowland")
    found = client.search_runs([experiment.experiment_id])
    return [run for run in found if run.data.tags["lowland.run"] == str(path)]


def curve(uri: str, run: Any, name: str) -> list[tuple[int, float]]:
    client = tracking.MlflowClient(tracking_uri=uri)
    return sorted({(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)})


def test_curves_settings_and_figures_are_read_back(tmp_path: Path, uri: str) -> None:
    whole(MLflow(), tmp_path)
    (run,) = runs(uri, tmp_path)
    assert (run.info.run_name, run.info.status) == (tmp_path.name, "FINISHED")
    assert curve(uri, run, "supernet/loss") == [(10, 10.0), (20, 5.0), (30, pytest.approx(10 / 3)), (40, 2.5)]
    assert curve(uri, run, "supernet/learning_rate")[-1] == (40, pytest.approx(0.0025))
    assert curve(uri, run, "search/score") == [(1, 1.0), (2, 3.0), (3, 2.0)]
    assert curve(uri, run, "networks/test top-1") == [(1, 89.0), (2, 88.0)]
    assert curve(uri, run, "networks/10 _ worst") == [(1, 12.0), (2, 12.0)]
    assert curve(uri, run, "seconds/search") == [(0, 7.0)]
    assert run.data.params["space"] == "nasbench201"
    assert run.data.params["supernet.learning_rate"] == "0.025"
    assert len(run.data.params) > 100
    assert run.data.tags["environment.torch"] == "2.14"
    assert run.data.tags["lowland.plan"] == "steps: 40 supernet"


def test_a_resumed_run_goes_on_in_its_own(tmp_path: Path, uri: str) -> None:
    first = Calling(Monitor(), [MLflow()])
    first.begin(start(tmp_path))
    train(first, last=35)
    first.fail(InterruptedRun("stopped"))
    (run,) = runs(uri, tmp_path)
    assert run.info.status == "KILLED"
    again = Calling(Monitor(), [MLflow()])
    again.begin(start(tmp_path, resumed=True, seed=5))
    train(again, first=21)
    search(again)
    again.end(ended())
    (run,) = runs(uri, tmp_path)
    assert run.info.status == "FINISHED"
    assert [step for step, _ in curve(uri, run, "supernet/loss")] == [10, 20, 21, 30, 40]
    assert (run.data.params["seed"], run.data.tags["changed.seed"]) == ("0", "5")
    third = Calling(Monitor(), [MLflow()])
    third.begin(start(tmp_path))  # another run in a folder of the same name
    third.fail(ValueError("x"))
    assert sorted(each.info.status for each in runs(uri, tmp_path)) == ["FAILED", "FINISHED"]
