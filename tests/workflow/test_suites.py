"""Suites in whole runs: somebody else's beside lowland's own, kept when they end and done again only when needed."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import toy_suite
from lowland.core.config import Config
from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.monitor import Monitor
from lowland.core.registry import SUITES
from lowland.evaluation.dense.suite import DenseSuite
from lowland.evaluation.section import SuiteSection
from lowland.store import manifest
from lowland.store.artifacts import SuiteRecord, evaluated
from lowland.store.run import Run
from lowland.workflow import pipeline
from lowland.workflow.stages.table import STAGES
from whole_runs import Command, content, copied, options, results

ALL = "classification,corruptions,landscape,darkness"


class Watched(Monitor):
    """Notes what begins, and stops at one unit of one stage."""

    def __init__(self, stage: str = "", unit: int = 0) -> None:
        self.at, self.stage, self.begun, self.notes = (stage, unit), "", [], []  # type: ignore[var-annotated]

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        self.stage = stage
        self.begun.append((stage, done))

    def advance(self, done: int, **facts: Any) -> None:
        self.stopping = (self.stage, done) == self.at

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture(autouse=True)
def asked() -> list[str]:
    """The parts that the toy suite computed."""
    toy_suite.ASKED.clear()
    return toy_suite.ASKED


def written(run: Path) -> dict[str, int]:
    """When the results of each suite were written."""
    return {path.stem: path.stat().st_mtime_ns for path in (run / "evaluation").glob("*.json")}


def test_somebody_elses_suite_goes_through_a_run(tmp_path: Path, lowland: Command, pristine: Path) -> None:
    run = tmp_path / "run"
    levels = ("--set", "evaluate.options.darkness.levels=[1.0, 0.25]")
    said = lowland(
        "run", *options("--suite", "classification,darkness", "--suite", "landscape", *levels, "--out", str(run))
    )
    assert said.code == 0, said.err
    found = results(run, "darkness")
    assert found["kept"]["1"][0] == 100.0
    assert "dark <b>" in said.out
    assert f"{found['kept']['1'][1]:.2f} ± 1.5 %" in said.out
    assert "corrupted" not in said.out
    assert set(written(run)) == {"classification", "darkness", "landscape"}
    page = (run / "report.html").read_text()
    for text in ("In the &lt;dark&gt;", "a &amp; b", "survive darkening &amp; worse", "20 images.", "dark &lt;b&gt;"):
        assert text in page, text
    assert "<dark>" not in page
    assert "n = 20" in page
    assert "Accuracy on corrupted images has not been measured" in page
    with Run.open(run, read_only=True) as opened:
        assert opened.config.evaluate.options["darkness"] == {"levels": [1.0, 0.25], "images": 20}
        assert opened.verify() == []
        record = SuiteRecord.read(opened, "darkness")
    assert record is not None
    assert record.section is not None
    told = SuiteSection.from_json(record.section)
    assert told.to_json() == SuiteSection.from_json(json.loads(json.dumps(told.to_json()))).to_json()
    assert results(run, "classification") == results(pristine, "classification")
    assert results(run, "landscape") == results(pristine, "landscape")


def test_only_what_is_missing_or_changed_is_done(finished: Path, lowland: Command, asked: list[str]) -> None:
    before, first = content(finished / "evaluation"), written(finished)
    assert lowland("evaluate", finished, "--suite", "darkness").code == 0
    assert asked == ["1", "0.5"]
    # What was found before and still holds stays.
    assert written(finished) | first == written(finished)
    assert {name: value for name, value in content(finished / "evaluation").items() if name in before} == before

    assert lowland("evaluate", finished, "--suite", ALL).code == 0
    assert lowland("resume", finished).code == 0
    assert written(finished) | first == written(finished)
    assert asked == ["1", "0.5"]

    assert lowland("evaluate", finished, "--set", "evaluate.options.corruptions.severities=[1]").code == 0
    then = written(finished)
    assert [name for name in first if then[name] != first[name]] == ["corruptions"]
    assert asked == ["1", "0.5"]

    assert lowland("evaluate", finished, "--set", "evaluate.batch_size=100").code == 0
    # Toy and corruptions declare it, the landscape does not.
    assert {name for name in first if written(finished)[name] != then[name]} == {"classification", "corruptions"}
    assert asked == ["1", "0.5"] * 2
    assert lowland("resume", finished, "--restart", "evaluate").code == 0
    assert asked == ["1", "0.5"] * 3
    with Run.open(finished, read_only=True) as opened:
        assert opened.verify() == []
    assert "In the &lt;dark&gt;" in (finished / "report.html").read_text()


def test_results_that_no_longer_hold_are_dropped(finished: Path) -> None:
    change = {"evaluate": {"suites": ["classification"], "options": {"corruptions": {"severities": [5]}}}}
    outcome = pipeline.resume(finished, changes=[change])
    assert set(written(finished)) == {"classification", "landscape"}
    assert [figure.label for figure in outcome.networks[0]["figures"]] == ["test top-1"]
    with Run.open(finished, read_only=True) as opened:
        assert opened.verify() == []


@pytest.mark.parametrize(
    ("suite", "stage", "unit", "kept", "workers"),
    [
        ("corruptions", "corruptions", 3, 2, 1),
        ("corruptions", "corruptions", 3, 3, 2),  # what comes from a worker is kept before it is told
        ("landscape", "loss curves", 1, 1, 2),
        ("darkness", "darkness", 1, 1, 2),
    ],
)
def test_a_stop_loses_one_part_at_most(
    suite: str, stage: str, unit: int, kept: int, workers: int, finished: Path, tmp_path: Path, asked: list[str]
) -> None:
    change = {
        "evaluate": {"suites": ALL.split(","), "batch_size": 60, "options": {"landscape": {"draws": 3}}},
        "search": {"workers": workers},
    }
    whole = copied(finished, tmp_path / "whole")
    pipeline.resume(whole, last="evaluate", changes=[change])
    asked.clear()
    with pytest.raises(InterruptedRun, match="lowland resume"):
        pipeline.resume(finished, last="evaluate", changes=[change], monitor=Watched(stage, unit))
    assert len(list((finished / "evaluation" / suite).glob("*.json"))) == kept
    done = written(finished)["classification"]
    watched = Watched()
    pipeline.resume(finished, last="evaluate", monitor=watched)
    assert content(finished / "evaluation") == content(whole / "evaluation")
    assert not list((finished / "evaluation").glob("*/"))
    assert written(finished)["classification"] == done
    assert asked == ["1", "0.5"]  # nothing twice
    if suite == "corruptions":
        assert (stage, kept) in watched.begun


def test_a_suite_without_its_needs_is_left_out_and_that_is_said(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy_suite.Darkness, "requires", ("oracle",))
    watched = Watched()
    change = {"evaluate": {"suites": ["darkness", "classification"]}}
    pipeline.resume(finished, last="evaluate", changes=[change], monitor=watched)
    assert watched.notes == ["suite darkness is left out: it needs a oracle, and this run has none"]
    assert "darkness" not in written(finished)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--suite", "darknes"), ["unknown suite 'darknes'", "did you mean darkness"]),
        (("--set", "evaluate.options.darkness.levels=[2.0]", "--suite", "darkness"), ["darkness.levels", "less than"]),
        (("--set", "evaluate.options.darkness.images=5000", "--suite", "darkness"), ["images=5000", "only"]),
        (("--set", "evaluate.options.nothing.images=5"), ["evaluate.options.nothing", "unknown suite"]),
        (("--set", "evaluate.options.corruptions.severities=[]"), ["severities", "at least one"]),
        (("--set", "evaluate.options.corruptions.severities=[6]"), ["options.corruptions.severities", "less than"]),
        (("--set", "evaluate.options.corruptions.names=5"), ["options.corruptions.names=5", "'all' or 'none'"]),
        (("--set", "evaluate.options.landscape.sigmas=[]"), ["options.landscape.sigmas", "one or more"]),
        (("--set", "evaluate.curve_draws=1"), ["evaluate.curve_draws is now evaluate.options.landscape.draws"]),
    ],
)
def test_bad_input_is_found_before_anything_changes(
    arguments: tuple[str, ...], words: list[str], finished: Path, tmp_path: Path, lowland: Command
) -> None:
    before = content(finished)
    for command in (("evaluate", finished, *arguments), ("run", *options(*arguments, "--out", str(tmp_path / "new")))):
        fault = lowland(*command).fault
        assert all(word in fault for word in words), fault
    assert content(finished) == before
    assert not (tmp_path / "new").exists()


def test_no_corruptions_can_be_asked_for(finished: Path, lowland: Command) -> None:
    said = lowland("evaluate", finished, "--set", "evaluate.options.corruptions.names=none")
    assert said.code == 0, said.err
    assert results(finished, "corruptions") == {"networks": {}}
    assert "corrupted" not in said.out
    assert lowland("report", finished).code == 0
    assert "Accuracy on corrupted images has not been measured" in (finished / "report.html").read_text()


def test_a_run_is_told_without_the_plugin_of_its_suite(
    finished: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lowland("evaluate", finished, "--suite", ALL).code == 0
    monkeypatch.delitem(SUITES._classes, "darkness")
    assert "dark <b>" in lowland("resume", finished).out
    assert lowland("report", finished).code == 0
    assert "In the &lt;dark&gt;" in (finished / "report.html").read_text()
    assert "unknown suite 'darkness'" in lowland("resume", finished, "--restart", "evaluate").fault


def test_every_suite_says_what_it_found_in_plain_values(finished: Path) -> None:
    published = {entry.name for entry in SUITES.built_in() if ".shift." in entry.module} - {"corruptions"}
    dense = {entry.name for entry in SUITES.built_in() if issubclass(SUITES.load(entry.name), DenseSuite)}
    asked = [name for name in SUITES.names() if name not in published | dense]  # these have tests of their own
    pipeline.resume(finished, last="evaluate", changes=[{"evaluate": {"suites": asked}}])
    with Run.open(finished, read_only=True) as opened:
        found_by = {record.suite: record for record in evaluated(opened)}
        assert set(ALL.split(",")) <= set(found_by) <= set(SUITES.names())
        for name, record in found_by.items():
            kind = SUITES.load(name)
            found = kind.Results.from_json(record.results)
            assert json.loads(json.dumps(found.to_json())) == record.results
            assert fields(found)
            assert (
                kind(kind.Config()).section(found).to_json() == SuiteSection.from_json(record.section or {}).to_json()
            )


def test_the_table_of_stages_holds_every_section_once() -> None:
    assert tuple(STAGES) == manifest.STAGES
    decided = [section for stage in STAGES.values() for section in stage.decided_by]
    assert sorted([*decided, "budget", "checkpoints_to", "history", "plugins"]) == sorted(Config.model_fields)
    neutral = [key for stage in STAGES.values() for key in stage.undecided]
    for key in neutral:
        section, _, name = key.partition(".")
        assert name in type(getattr(Config(), section)).model_fields, key


def test_each_stage_leaves_what_the_table_says(pristine: Path) -> None:
    with Run.open(pristine, read_only=True) as opened:
        for name, stage in STAGES.items():
            made = opened.manifest["stages"][name]["files"]
            assert all(any(file == left or file.startswith(f"{left}/") for left in stage.leaves) for file in made)


def test_a_reset_finds_what_an_earlier_one_kept(finished: Path, asked: list[str]) -> None:
    """Changed settings keep results that may still hold; a restart right after clears them all the same."""
    with pytest.raises(InterruptedRun):
        pipeline.resume(
            finished,
            last="evaluate",
            changes=[{"evaluate": {"suites": ["darkness"]}}],
            monitor=Watched("darkness", 1),
        )
    before = written(finished)
    asked.clear()
    with pytest.raises(ConfigError, match="unknown stage"):
        pipeline.resume(finished, restart="evaluation")
    pipeline.resume(finished, last="evaluate", restart="evaluate")
    assert set(written(finished)) == {"darkness"}
    assert before
    assert asked == ["1", "0.5"]
