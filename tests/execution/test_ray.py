"""What the executor `ray` refuses, in one sentence each; what it does is in test_conformance.py."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.execution import ray as ray_module
from lowland.execution.outcome import LocalScorer, Scored
from lowland.execution.ray import Ray, join, versions
from lowland.execution.room import Room
from lowland.testing.processes import Case, Prepare, PrepareSeen
from whole_runs import Command


@pytest.fixture(autouse=True)
def no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_without_ray_a_run_says_how_to_install_it(lowland: Command, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = lowland("run", "--data", "digits", "--set", "compute.executor=ray", "--out", tmp_path / "run")
    assert said.code == 2
    assert "compute.executor=ray needs Ray, which is not installed: pip install 'lowland[ray]'" in said.err
    assert not (tmp_path / "run").exists()


def test_no_workers_are_refused(lowland: Command, tmp_path) -> None:
    said = lowland("run", "--data", "digits", "--workers", "0", "--out", tmp_path / "run")
    assert said.code == 2
    assert "search.workers" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at RAY_ADDRESS=127.0.0.1:1"),
        ("ray://head:10001", "is not HOST:PORT.*ray job submit"),
        ("somewhere", "is not HOST:PORT"),
    ],
)
def test_an_address_where_nobody_answers(address: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigError, match=message):
        Ray.require()


def test_a_cluster_of_another_python_is_refused() -> None:
    def init(**_: Any) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with Python 3.9.1")

    with pytest.raises(ConfigError, match=r"cannot be joined \(Version mismatch: .* 3\.9\.1\); it must have the Ray"):
        join(SimpleNamespace(init=init, __version__="2.60.0"), 1)


def test_a_worker_of_another_lowland_is_refused() -> None:
    pytest.importorskip("ray")
    worker = ray_module._Scorer()
    found = worker.begin(lambda: None, {**versions(), "lowland": "0.0.1"})  # type: ignore[arg-type, return-value]
    assert isinstance(found, ConfigError)
    assert "but this run lowland 0.0.1; install the same version on every machine" in str(found)


def test_an_actor_notes_what_it_begins_and_python_how_it_crashes(tmp_path: Path) -> None:
    note = tmp_path / "note"
    assert ray_module._note(str(note)) == (None, "")
    scorer = ray_module._Scorer()
    scorer._measure = Prepare()()
    with note.open("wb", buffering=0) as file:
        scorer._note = file.fileno()
        for ticket in (7, 123):
            scorer.score(ticket, Case(tmp_path), Genotype("toy", (1, 1, 1)))
        file.write(b"Fatal Python error: Segmentation fault\n\nCurrent thread")
    assert ray_module._note(str(note)) == (123, "Fatal Python error: Segmentation fault")
    assert not note.exists()


@pytest.mark.slow
def test_more_workers_than_gpus_are_refused_where_the_cluster_cannot_grow() -> None:
    ray = pytest.importorskip("ray")
    if torch.cuda.is_available():
        pytest.skip("there are GPUs")
    with pytest.raises(ConfigError, match=r"no room for 2 workers .* Ray found 0 GPUs .* each needs 0.5"):
        Ray(Room(2, gpus=0.5), PrepareSeen())
    assert not ray.is_initialized()


@pytest.mark.slow
def test_each_worker_has_its_share_of_a_gpu() -> None:
    """Ray is told of GPUs that are not there; workers only say what they see."""
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=4, num_gpus=2, include_dashboard=False, logging_level="ERROR")
    try:
        with Ray(Room(gpus=0.5), PrepareSeen()) as executor:
            assert executor.size == 4
            genotypes = [Genotype("toy", (place,)) for place in range(40)]
            found: dict[int, str] = {}
            while len(found) < 4:
                for outcome in executor.scores("what do you see?", genotypes, LocalScorer(lambda _: None)):  # type: ignore[arg-type, return-value]
                    assert isinstance(outcome, Scored)
                    found[outcome.details["process"]] = outcome.details["visible"]
            assert sorted(found.values()) == ["0", "0", "1", "1"]
            assert executor.facts()["gpus"] == 2
    finally:
        ray.shutdown()
