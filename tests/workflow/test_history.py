"""A new training takes the place of the delivered network when complete; the earlier one is kept with its figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import lowland as package
from lowland.core.errors import InterruptedRun
from lowland.core.monitor import Monitor
from lowland.store.run import Run
from lowland.workflow import pipeline
from whole_runs import Command, copied, judged, lasting


class StopsTraining(Monitor):
    """Asks for a stop in the middle of retraining."""

    def advance(self, done: int, **facts: object) -> None:
        super().advance(done, **facts)
        if self.stage == "train" and done >= 20:
            self.stopping = True

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        super().start(stage, total, unit, done)
        self.stage = stage


def test_the_facts_of_a_delivered_network_hold_its_test_results(finished: Path) -> None:
    facts = package.load(finished).facts
    found = judged(finished)
    top1 = facts["results"]["test top-1"]
    assert top1 == {
        "value": found["test"]["top1"],
        "unit": "%",
        "standard_error": found["test"]["top1_standard_error"],
        "n": found["test"]["n"],
    }
    assert facts["results"]["corrupted"]["value"] == found["shift"]["mean"]
    assert (facts["rank"], facts["parameters"]) == (
        1,
        sum(each.numel() for each in package.load(finished).parameters()),
    )
    with Run.open(finished, read_only=True) as run:
        assert run.verify() == []
        assert "network/network.json" in run.manifest["stages"]["train"]["files"]
        assert "network/network.json" not in run.manifest["stages"]["evaluate"]["files"]


def test_a_copy_made_before_evaluation_loads_and_evaluating_anew_tells_the_new_results(
    finished: Path, tmp_path: Path
) -> None:
    with Run.open(finished) as run:
        run.reset_stage("train")
    pipeline.resume(finished, last="train")
    shutil.copytree(finished / "network", tmp_path / "copy")
    assert "results" not in package.load(tmp_path / "copy").facts
    pipeline.resume(finished, changes=[{"evaluate": {"suites": ["classification"]}}])
    assert list(package.load(finished).facts["results"]) == ["test top-1"]
    pipeline.resume(finished, changes=[{"evaluate": {"suites": ["corruptions"]}}])
    assert "corrupted" in package.load(finished).facts["results"]
    with Run.open(finished, read_only=True) as run:
        assert run.verify() == []


@pytest.mark.slow
def test_a_stop_within_leaves_the_earlier_one_and_the_end_is_that_of_a_run_without(
    finished: Path, tmp_path: Path
) -> None:
    other = copied(finished, tmp_path / "other" / finished.name)  # a card tells its name
    changes = [{"retrain": {"epochs": 7}}]
    before = package.load(finished).facts
    with pytest.raises(InterruptedRun):
        pipeline.resume(finished, changes=changes, monitor=StopsTraining())
    assert package.load(finished).facts == before
    pipeline.resume(finished)
    pipeline.resume(other, changes=changes)
    ours, theirs = lasting(finished), lasting(other)
    same = [name for name in theirs if name.startswith(("network", "evaluation", "history/1/network"))]
    assert [name for name in same if ours[name] != theirs[name]] == []
    assert package.load(finished / "history" / "1").facts == before
    assert len(package.load(finished).facts["loss"]) == 7


def test_history_says_when_with_which_settings_and_how_good(finished: Path, lowland: Command) -> None:
    said = lowland("history", finished).out
    assert "present" in said
    assert "No earlier network" in said
    top1 = package.load(finished).facts["results"]["test top-1"]["value"]
    said = lowland("train", finished, "--retrain-epochs", "1")
    assert said.code == 0, said.err
    told = [" ".join(line.split()) for line in lowland("history", finished).out.splitlines()]
    assert told[0].startswith("network made, UTC params test top-1 corrupted")
    assert any(line.startswith("history/1 20") and f"{top1:.2f} ±" in line for line in told)
    assert "history/1 was made with, instead of the run's settings now:" in told
    assert "retrain.epochs = 6 (now 1)" in told
    assert any("in history/; `history` in the settings says how many are kept" in line for line in told)
    found = json.loads(lowland("history", finished, "--json").out)
    assert [row["number"] for row in found["networks"]] == [None, 1]
    keys = ["number", "folder", "made", "genotype", "parameters", "results", "bytes", "settings"]
    assert all(list(row) == keys for row in found["networks"])
    assert found["networks"][1]["settings"] == [{"key": "retrain.epochs", "then": 6, "now": 1}]
    assert found["networks"][1]["results"]["test top-1"]["value"] == top1


@pytest.mark.slow
def test_restart_trains_anew_and_more_networks_are_no_history(finished: Path) -> None:
    before = lasting(finished / "network")
    pipeline.resume(finished, changes=[{"retrain": {"top": 2}}])
    assert (finished / "networks" / "2").is_dir()
    assert not (finished / "history").exists()
    assert lasting(finished / "network") == before
    pipeline.resume(finished, restart="train", last="train")
    assert lasting(finished / "network") == before
    assert (finished / "history" / "1" / "networks" / "2").is_dir()
