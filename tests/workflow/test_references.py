"""The suite `references` within a run: one reference, kept over stops and later evaluations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lowland.evaluation.comparison import ComparisonResults
from lowland.spaces import references
from lowland.workflow import pipeline
from whole_runs import Command, copied, options


def asked(**own: Any) -> dict[str, Any]:
    return {"evaluate": {"suites": ["classification", "references"], "options": {"references": own}}}


def test_a_run_says_whether_the_search_was_worth_it(pristine: Path, tmp_path: Path) -> None:
    run = copied(pristine, tmp_path / "run")
    pipeline.resume(run, changes=[asked()])
    record = json.loads((run / "evaluation" / "references.json").read_text())
    found = ComparisonResults.from_json(record["results"])
    assert [row.name for row in found.networks] == ["delivered", "resnet-cell"]
    assert [each.seed for row in found.networks for each in row.seeds] == [3, 3]
    assert found.corrupted_images == 60
    assert found.sentences[0] in (run / "report.html").read_text()

    weights = run / "references" / "networks" / "resnet-cell" / "seed-3" / "network.safetensors"
    trained = weights.stat().st_mtime_ns
    pipeline.resume(run, changes=[asked(names=["resnet-cell"], corruptions=False)])
    assert weights.stat().st_mtime_ns == trained  # judged anew, not trained anew


def test_a_run_for_which_no_usual_reference_is_small_enough_ends_all_the_same(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "DEFAULTS", {"nasbench201": ("mobilenetv3",)})
    run = copied(pristine, tmp_path / "run")
    small = {"network": {"channels": 1}, "retrain": {"epochs": 1}}
    pipeline.resume(run, changes=[small, asked(corruptions=False)])
    record = json.loads((run / "evaluation" / "references.json").read_text())
    assert [row["name"] for row in record["results"]["networks"]] == ["delivered"]
    assert "No reference could be built" in (run / "report.html").read_text()


def test_what_the_suite_refuses(tmp_path: Path, lowland: Command) -> None:
    suite = ("--set", "evaluate.suites=[references]")
    wrong = ("--set", "evaluate.options.references.names=[resnet-cel]")
    fault = lowland("run", *options(*suite, *wrong, "--out", str(tmp_path / "run"))).fault
    assert "did you mean resnet-cell" in fault
    fault = lowland("run", *options(*suite, "--set", "retrain.inherit=true", "--out", str(tmp_path / "run"))).fault
    assert "retrain.inherit=false" in fault
    assert list(tmp_path.iterdir()) == []
