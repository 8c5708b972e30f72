"""`lowland compare --searchers`: named searches, one after another, stopped and gone on with; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lowland.core.config import Config
from lowland.core.errors import BudgetError, ConfigError, InterruptedRun, RunError
from lowland.core.monitor import Monitor
from lowland.core.registry import SEARCHERS, STRATEGIES
from lowland.spaces import get
from lowland.workflow import budget, pipeline, timing
from lowland.workflow import searchers as searching
from lowland.workflow.search_comparison.comparison import compare_searches
from lowland.workflow.search_comparison.configurations import NAMED, configuration
from lowland.workflow.search_comparison.request import SearchesRequest, judge_settings, settings
from whole_runs import TINY, Command, evolution

SMALL: dict[str, Any] = {
    **TINY,
    "search": {**evolution(population=4, generations=1, parents=2, mutations=2, crossovers=2), "workers": 1},
    "measure": {"calibration_images": 64, "images": 40, "draws": 1, "noise_images": 40},
    "supernet": {"channels": 4, "cells": 1, "epochs": 2, "batch_size": 32},
    "retrain": {"epochs": 1, "batch_size": 32, "min_steps": 0},
}


def table(path: Path) -> Path:
    """A truth file of the whole space: accuracy falls with the number of skips."""
    space = get("nasbench201")
    lines = [f"{space.format(each)},{95 - 5 * each.genes.count(1) + 0.001 * sum(each.genes)}" for each in space.all()]
    path.write_text("\n".join(["arch,test_acc", *lines]) + "\n")
    return path


# --- named searches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["nasbench201", "darts"])
def test_every_name_makes_settings_that_its_searcher_takes(space: str) -> None:
    names = [*NAMED, *(set(SEARCHERS.names()) - {"one-shot", "given"}), "random", "regularized-evolution", "local"]
    for name in names:
        if (name, space) == ("fairdarts", "darts"):
            continue
        config = settings(configuration(name), [{"space": space}])
        searching.chosen(config.search).require(config)
        assert config.space == space
        assert configuration(name).source
        if name not in ("default", "flatnas"):
            assert config.search.finalists == 0
            assert config.network.channels == "fit"


def test_named_searches_are_what_their_papers_say() -> None:
    found = {name: settings(configuration(name), []) for name in NAMED}
    assert {name: each.measure.name for name, each in found.items() if name in ("spos", "rlnas", "genas")} == {
        "spos": "accuracy",
        "rlnas": "angle",
        "genas": "flatness",
    }
    assert [name for name, each in found.items() if each.supernet.random_labels] == ["rlnas"]
    assert found["flatnas"].search.strategy == "pareto"
    assert found["flatnas"].finetune.optimizer == "sgd+asam"
    assert found["darts-2nd"].search.options["darts"]["order"] == "second"
    assert settings(configuration("random"), []).measure.name == "accuracy"
    assert settings(configuration("spos"), [{"measure": {"name": "loss"}}]).measure.name == "loss"
    assert judge_settings([{"seed": 4}]).seed == 1004
    assert settings(configuration("flatnas"), [{"space": "mobilenetv3", "preset": "paper"}]).preset == "paper"


def test_a_strategy_of_many_objectives_is_no_search_of_its_own() -> None:
    assert "pareto" in STRATEGIES.names()
    with pytest.raises(ConfigError, match="is no search to compare"):
        configuration("pareto")


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--searchers", "drats,spos"], ["'drats'", "did you mean darts?"]),
        (["--searchers", "spos,spos"], ["names spos twice"]),
        (["--searchers", ","], ["names no search"]),
        (["--searchers", "spos", "--seeds", "0"], ["--seeds 0 must be at least 1"]),
        (["--searchers", "spos", "--with", "resnet-cell"], ["--with belongs to one run"]),
        (["--searchers", "spos", "--truth", "none.csv", "--suites", "corruptions"], ["leave one out"]),
        (["--searchers", "spos", "--suites", "corruption"], ["did you mean corruptions"]),
        (["--searchers", "spos", "--truth", "nowhere.csv"], ["truth file nowhere.csv does not exist"]),
        (["--searchers", "fairdarts", "--space", "darts"], ["every node of this space needs 2", "search fairdarts"]),
        (["--searchers", "spos,darts", "--space", "mobilenetv3-small"], ["search darts"]),
        (["--searchers", "spos", "--budget", "soon"], ["--budget 'soon' is not a time"]),
        (["--searchers", "flatnas", "--preset", "standard"], ["preset flatnas", "--preset standard"]),
        (["--searchers", "darts", "--epochs", "2", "--set", "search.options.darts.warmup_epochs=2"], ["warmup_epochs"]),
        (["--searchers", "pc-darts", "--set", "search.options.pc-darts.partial=3"], ["search pc-darts", "channels"]),
        ([], ["needs a run directory, or searches"]),
        (["run", "--space", "darts"], ["--space belongs to --searchers"]),
        (["run", "--searchers", "spos"], ["--searchers makes runs of its own"]),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    arguments: list[str], words: list[str], tmp_path: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fault = lowland("compare", *arguments, "--out", tmp_path / "out").fault
    assert all(word in fault for word in words), fault
    assert list(tmp_path.iterdir()) == []


def test_a_search_that_cannot_be_done_in_time_is_told_of_before_any_begins(
    tmp_path: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = pipeline.prepared

    def timed(config: Config, *others: Any) -> Any:
        if config.search.strategy == "random":
            raise BudgetError("budget=1 min 00 s is too short for this machine and these settings")
        return prepared(config.model_copy(update={"budget": None}), *others)

    monkeypatch.setattr(pipeline, "prepared", timed)
    asked = ("--searchers", "spos,random", "--data", "digits", "--budget", "1m", "--set", "compute.threads=1")
    fault = lowland("compare", *asked, "--out", tmp_path / "out").fault
    assert "search random: budget=1 min 00 s is too short" in fault
    assert list(tmp_path.iterdir()) == []


def test_what_was_timed_for_the_check_is_handed_to_the_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[tuple[str, int, bool]] = []
    costs = pipeline.costs

    def counted(config: Config, *others: Any) -> Any:
        timed.append((config.search.strategy, config.seed, (tmp_path / "out").exists()))
        return costs(config, *others)

    monkeypatch.setattr(pipeline, "costs", counted)
    monkeypatch.setattr(timing, "PIECE_SECONDS", 0.0)
    monkeypatch.setattr(budget, "LONGEST", 1.0)
    layers = [SMALL, {"budget": 3600.0}]
    request = SearchesRequest(searchers=("spos", "regularized-evolution"), seeds=2, truth=table(tmp_path / "truth.csv"))
    compare_searches(request, tmp_path / "out", layers)
    # Both before anything is written; then the runs of the second seed and the judge's, and not those of the first.
    seed = settings(configuration("spos"), layers).seed
    asked = ["evolution", "regularized-evolution"]
    assert timed[:2] == [(name, seed, False) for name in asked]
    assert timed[2:4] == [(name, seed + 1, True) for name in asked]
    assert all(known != seed for _, known, _ in timed[4:])


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(RunError, match="not a comparison of searches"):
        compare_searches(SearchesRequest(searchers=("spos",), seeds=1), tmp_path, [SMALL])


# --- whole comparisons ----------------------------------------------------------------------------------------------


class StopIn(Monitor):
    """Asks for a stop at the first step of a stage of this name."""

    def __init__(self, stage: str) -> None:
        self.wanted, self.now = stage, ""

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        self.now = stage

    def advance(self, done: int, **facts: Any) -> None:
        self.stopping = self.stopping or self.now == self.wanted


@pytest.mark.slow
def test_a_stopped_comparison_goes_on_and_further_searches_are_added(tmp_path: Path) -> None:
    truth, out = table(tmp_path / "truth.csv"), tmp_path / "out"
    request = SearchesRequest(searchers=("spos", "darts"), seeds=1, truth=truth)
    with pytest.raises(InterruptedRun, match="run the same command again"):
        compare_searches(request, out, [SMALL], monitor=StopIn("relaxed supernet"))
    assert (out / "spos" / "3" / "search.json").exists()
    document = compare_searches(request, out, [SMALL])
    spos, darts = document["rows"]
    assert [len(each["found"]) for each in (spos, darts)] == [1, 1]
    assert len(darts["found"][0]["epochs"]) == 2
    assert darts["found"][0]["epochs"][0]["judged"]["loss"] > 0
    genes = json.loads((out / "darts" / "3" / "search.json").read_text())["ranking"][0]["genes"]
    assert darts["found"][0]["accuracy"] == pytest.approx(95 - 5 * genes.count(1) + 0.001 * sum(genes))
    assert sum(darts["found"][0]["skips"].values()) == genes.count(1)
    assert (out / "searches.html").exists()
    assert str(tmp_path) not in json.dumps(document)

    seen: list[str] = []

    class Heard(Monitor):
        def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
            seen.append(stage)

    known = json.loads((out / "settings.json").read_text())
    del known["searches"]["spos"]["network"]["resolution"]  # as of a version that did not have this setting
    (out / "settings.json").write_text(json.dumps(known))
    more = SearchesRequest(searchers=("spos", "darts", "random-designs"), seeds=1, truth=truth)
    found = compare_searches(more, out, [SMALL], monitor=Heard())
    assert found["rows"][:2] == document["rows"]
    assert "relaxed supernet" not in seen
    with pytest.raises(RunError, match="searches of spos with another supernet"):
        compare_searches(request, out, [SMALL, {"supernet": {"epochs": 3}}])


@pytest.mark.slow
def test_without_a_table_every_network_is_trained_by_one_recipe(tmp_path: Path) -> None:
    request = SearchesRequest(searchers=("random-designs", "spos"), seeds=2)
    document = compare_searches(request, tmp_path / "out", [SMALL])
    assert document["accuracy"] == "retrained"
    for row in document["rows"]:
        assert [each["seed"] for each in row["found"]] == [3, 4]
        assert all(0 < each["accuracy"] < 100 and each["parameters"] > 0 for each in row["found"])
    folders = sorted((tmp_path / "out" / "networks").glob("*/seed-*/trained.json"))
    assert 2 <= len(folders) <= 4
    assert document["accuracies"]["recipe"]["epochs"] == 1
