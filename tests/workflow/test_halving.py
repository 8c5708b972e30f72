"""Successive halving: the best designs of a search begin their training, and the better ones go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.monitor import Monitor
from lowland.data import load
from lowland.measures.aggregation import AGGREGATIONS
from lowland.report.gather import gather
from lowland.spaces import Shape, get
from lowland.store.run import Run
from lowland.workflow import pipeline, reporting
from lowland.workflow.designs import Design
from lowland.workflow.halving import Halving
from lowland.workflow.network_size import check_limits
from lowland.workflow.presets import assemble
from lowland.workflow.rungs import (
    Continued,
    Rung,
    all_steps,
    begun_steps,
    extra_steps,
    regrouped,
    require,
    rungs,
    total_steps,
)
from lowland.workflow.session import Session
from lowland.workflow.trial import trial
from whole_runs import TINY, copied

FIVE: dict[str, Any] = {
    "search": {
        "finalists": 5,
        "finalist_epochs": 0.5,
        "halving": 2,
        "depths": [1, 2],
        "workers": 1,
        "hand_written": True,
    },
    "network": {"channels": "fit", "growth": 2.0},
    "retrain": {"epochs": 5},
}


def ranking(run: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((run / "search.json").read_text())["ranking"]
    return found


@pytest.fixture(scope="module")
def halved(supernet_only: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = copied(supernet_only, tmp_path_factory.mktemp("halving") / "run")
    pipeline.resume(run, last="train", changes=[{"search": {"max_params": 20_000}}, FIVE])
    return run


def test_the_better_half_goes_on_at_every_rung(halved: Path) -> None:
    rows = ranking(halved)
    reached = [len(row["finalist"]["rungs"]) for row in rows[:5]]
    assert reached == [3, 3, 2, 1, 1]  # 5 designs, 3 of them, 2 of them
    assert all(row["finalist"] is None for row in rows[5:])
    for number in range(3):
        told = [row["finalist"]["rungs"][number] for row in rows[:5] if len(row["finalist"]["rungs"]) > number]
        labels = told[0]["details"]  # loss and accuracy under noise: by their ranks among these
        there = list(
            AGGREGATIONS["rank"]([np.array([row["details"][label]["value"] for row in told]) for label in labels])
        )
        gone = [value for value, count in zip(there, reached, strict=False) if count == number + 1]
        on = [value for value, count in zip(there, reached, strict=False) if count > number + 1]
        assert not on or not gone or min(on) >= max(gone)
    steps = [rung["steps"] for rung in rows[0]["finalist"]["rungs"]]
    assert steps == [steps[0], 2 * steps[0], 4 * steps[0]]


def test_networks_written_by_hand_are_among_them_at_every_depth_and_fill_the_budget(halved: Path) -> None:
    rows = ranking(halved)[:5]
    named = [(row["finalist"]["name"], row["shape"]["cells"]) for row in rows if row["finalist"]["name"]]
    assert sorted(named) == [("resnet-cell", 1), ("resnet-cell", 2)]
    assert all(row["parameters"] <= 20_000 for row in rows)
    space, images = get("nasbench201"), {"in_channels": 1, "image_size": 8, "num_classes": 10}
    for row in rows:
        wider = Shape(**images, channels=row["shape"]["channels"] + space.width_step, cells=row["shape"]["cells"])
        assert space.cost(space.parse(row["genotype"]), wider).parameters > 20_000


def test_designs_of_several_growths(supernet_only: Path, tmp_path: Path) -> None:
    run = copied(supernet_only, tmp_path / "run")
    asked = {
        "search": FIVE["search"] | {"finalists": 4, "depths": [], "growths": [1.5, 2.0], "max_params": 20_000},
        "network": {"channels": "fit", "growth": 1.41},  # neither of the two
    }
    pipeline.resume(run, last="train", changes=[FIVE | asked])
    shapes = [row["shape"] for row in ranking(run)[:4]]
    growths = sorted(shape.get("growth", 2.0) for shape in shapes)  # a little more, to fill the limit
    assert all(0 <= growth - asked < 0.5 for growth, asked in zip(growths, [1.5, 1.5, 2.0, 2.0], strict=True))
    delivered = json.loads((run / "network/network.json").read_text())["shape"]
    assert delivered.get("growth", 2.0) == shapes[0].get("growth", 2.0)
    with Run.open(run, read_only=True) as opened:
        shown = gather(opened).halving
    assert shown is not None
    assert {design.growth for design in shown.designs} == set(growths)
    met = trial(Session(Run.open(run, read_only=True), Monitor()), tmp_path / "contest", corruptions=False)
    assert met.usual.growth == 2.0  # a network written by hand is not what was searched for


def test_designs_of_several_norms(supernet_only: Path, tmp_path: Path) -> None:
    run = copied(supernet_only, tmp_path / "run")
    asked = {"search": FIVE["search"] | {"finalists": 4, "depths": [], "norms": ["ibn", "batch"], "max_params": 20_000}}
    pipeline.resume(run, last="train", changes=[FIVE | asked])
    shapes = [row["shape"] for row in ranking(run)[:4]]
    assert sorted(shape.get("norm", "batch") for shape in shapes) == ["batch", "batch", "ibn", "ibn"]
    delivered = json.loads((run / "network/network.json").read_text())["shape"]
    assert delivered.get("norm", "batch") == shapes[0].get("norm", "batch")
    with Run.open(run, read_only=True) as opened:
        shown = gather(opened).halving
    assert shown is not None
    assert {design.norm for design in shown.designs} == {"ibn", "batch"}
    met = trial(Session(Run.open(run, read_only=True), Monitor()), tmp_path / "contest", corruptions=False)
    assert met.usual.norm == "batch"  # a network written by hand is as published


def test_designs_of_several_resolutions(supernet_only: Path, tmp_path: Path) -> None:
    run = copied(supernet_only, tmp_path / "run")
    asked = {"finalists": 4, "depths": [], "resolutions": [1.0, 1.5], "max_params": 20_000}
    pipeline.resume(run, last="train", changes=[FIVE | {"search": FIVE["search"] | asked}])
    rows = ranking(run)[:4]
    assert sorted(row["shape"].get("resolution", 1.0) for row in rows) == [1.0, 1.0, 1.5, 1.5]
    delivered = json.loads((run / "network/network.json").read_text())["shape"]
    assert delivered.get("resolution", 1.0) == rows[0]["shape"].get("resolution", 1.0)
    with Run.open(run, read_only=True) as opened:
        shown = gather(opened).halving
    assert shown is not None
    assert {design.resolution for design in shown.designs} == {1.0, 1.5}
    met = trial(Session(Run.open(run, read_only=True), Monitor()), tmp_path / "contest", corruptions=False)
    assert met.usual.resolution == 1.0


@pytest.mark.parametrize("sizes", [{"depths": [1]}, {"growths": [1.5]}, {"norms": ["ibn"]}, {"resolutions": [1.5]}])
def test_sizes_for_finalists_that_there_are_not_are_refused(sizes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="finalists"):
        require(assemble({"search": {"finalists": 0} | sizes}))


def test_a_space_with_widths_of_its_own_has_no_growth(tmp_path: Path) -> None:
    config = assemble({"space": "mobilenetv3-small", "network": {"growth": 1.5}})
    with pytest.raises(ConfigError, match=r"network\.growth"):
        check_limits(config, load(config.data, seed=0))


def test_the_delivered_network_has_the_size_of_the_last_that_went_on(halved: Path) -> None:
    shape = json.loads((halved / "network/network.json").read_text())["shape"]
    chosen = ranking(halved)[0]["shape"]
    assert {"channels", "cells", "norm"} <= set(chosen)
    assert {key: shape[key] for key in chosen} == chosen


def test_nothing_is_trained_twice(halved: Path) -> None:
    with Run.open(halved, read_only=True) as run:
        first = ranking(halved)[0]["finalist"]["rungs"][-1]["steps"]
        _, state = Continued(run, 1).load_checkpoint("train")  # type: ignore[misc]
        assert state["step"] == first
        assert not run.manifest["checkpoints"]
        losses = json.loads((halved / "training.json").read_text())["networks"]["1"]["loss"]
    assert len(losses) == run.config.retrain.epochs


@pytest.mark.parametrize("after", [1, 3, 7])
def test_a_stop_changes_nothing(
    supernet_only: Path, halved: Path, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(supernet_only, tmp_path / "run")
    trained: list[tuple[str, int]] = []
    train = Halving._trained

    def noted(self: Halving, design: Design, steps: int) -> Any:
        trained.append((design.key, steps))
        return train(self, design, steps)

    class Stop(Monitor):
        @property
        def stopping(self) -> bool:  # type: ignore[override]
            return len(trained) == after

    monkeypatch.setattr(Halving, "_trained", noted)
    with pytest.raises(InterruptedRun):
        pipeline.resume(run, last="train", changes=[{"search": {"max_params": 20_000}}, FIVE], monitor=Stop())
    pipeline.resume(run, last="train")
    assert len(trained) <= 11  # ten, and the one that was stopped within
    assert [row["finalist"]["rungs"][-1]["value"] for row in ranking(run)[:5]] == [
        row["finalist"]["rungs"][-1]["value"] for row in ranking(halved)[:5]
    ]
    file = "network/network.safetensors"
    assert (run / file).read_bytes() == (halved / file).read_bytes()


def test_more_finalists_train_none_again_that_are_known(
    halved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(halved, tmp_path / "run")
    trained: list[str] = []
    train = Halving._trained

    def noted(self: Halving, design: Design, steps: int) -> Any:
        trained.append(f"{design.key} {steps}")
        return train(self, design, steps)

    monkeypatch.setattr(Halving, "_trained", noted)
    pipeline.resume(run, last="search", changes=[{"search": {"finalists": 6}}])
    known = json.loads((halved / "rungs.json").read_text())["designs"]
    first = ranking(run)[0]["finalist"]["rungs"][0]["steps"]
    assert not [key for key in trained if key.split()[0] in known and int(key.split()[1]) == first]


def test_another_recipe_begins_the_rungs_anew(halved: Path, tmp_path: Path) -> None:
    run = copied(halved, tmp_path / "run")
    pipeline.resume(run, last="search", changes=[{"retrain": {"learning_rate": 0.01}}])
    before, after = ranking(halved), ranking(run)
    assert [row["finalist"]["rungs"] for row in after[:5]] != [row["finalist"]["rungs"] for row in before[:5]]


def test_promotion_by_the_ranks_of_two_measures(supernet_only: Path, tmp_path: Path) -> None:
    run = copied(supernet_only, tmp_path / "run")
    two = {"search": {"promote": "loss+perturbed_accuracy(draws=2)"}}
    pipeline.resume(run, last="search", changes=[FIVE, two])
    assert ranking(run)[0]["finalist"]["measure"] == "loss+perturbed_accuracy(draws=2)"
    assert set(ranking(run)[0]["finalist"]["rungs"][0]["details"]) == {"loss", "perturbed_accuracy(draws=2)"}


def test_the_report_tells_of_finalists(halved: Path, tmp_path: Path) -> None:
    run = copied(halved, tmp_path / "run")
    page = reporting.report(run).read_text()
    assert "5 designs begin their training, and the better ones go on (successive halving)" in page
    with Run.open(run, read_only=True) as opened:
        facts = gather(opened)
    assert facts.networks[0].finalist is not None
    assert facts.networks[0].finalist.rungs == 3


def test_the_rungs_take_about_as_long_as_they_say() -> None:
    config = assemble({"search": {"finalists": 9, "finalist_epochs": 1.25, "halving": 3}, "retrain": {"epochs": 15}})
    data = load(config.data, seed=0)
    assert rungs(config, data, 9) == [Rung(steps=98, designs=9), Rung(steps=294, designs=3)]
    every = 9 * 98 + 3 * (294 - 98)
    assert extra_steps(config, data, 9) == every - 294
    assert all_steps(config, data, 9) == extra_steps(config, data, 9, 0) == every
    assert begun_steps(config, data, 9, 1) == 294
    assert begun_steps(config, data, 9, 5) == 3 * 294 + 2 * 98, "those beaten at the first rung go on from there"
    assert total_steps(config, data) == 15 * 78


def test_a_training_of_one_step_has_no_rungs() -> None:
    config = assemble(TINY, {"retrain": {"epochs": 1, "batch_size": 400}})
    data = load(config.data, seed=3)
    assert rungs(config, data, 8) == []
    assert extra_steps(config, data, 8) == 0


def test_losses_are_regrouped_by_the_epochs_of_more_images() -> None:
    assert regrouped([1.0, 2.0, 5.0], step=5, before=2, after=3) == [pytest.approx(4 / 3), 2.0, 5.0]
    assert regrouped([], step=0, before=2, after=3) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"finalists": 1}, "2 or more"),
        ({"finalists": 3, "strategy": "pareto"}, "another strategy than pareto"),
        ({"finalists": 3, "promote": "angle"}, "search.promote=angle"),
        ({"finalists": 3, "promote": "accurac"}, "accuracy"),
    ],
)
def test_senseless_finalists_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        pipeline.check(assemble(TINY, {"search": change}))
