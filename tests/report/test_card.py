"""The card of a delivered network: what the Hub reads, names that mean themselves, code that runs, edits that stay."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lowland.report import ReportFacts, card
from whole_runs import Command

RESULTS = {"test top-1": {"value": 89.1, "unit": "%", "standard_error": 0.99, "n": 1000}}
NASTY = (
    "a|b",
    "<script>alert(1)</script>",
    "line\nbreak",
    "`code`",
    "---",
    "[x](http://y)",
    "# h",
    "{{ 7*7 }}",
    "'\": -",
)


def front(text: str) -> dict[str, object]:
    """The YAML before a card."""
    found = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def test_hostile_names_stay_names(facts: ReportFacts) -> None:
    data = replace(facts.asked.data, name="<b>|\n--- : evil", classes=NASTY)
    hostile = replace(facts, run="'\": {", asked=replace(facts.asked, data=data, space="sp|ace", measure="m<i>"))
    text = card.card(hostile, 1, RESULTS | {"a|b\n": {"value": 1.0, "unit": "<u>", "standard_error": None, "n": None}})
    told = front(text)
    (model,) = told["model-index"]  # type: ignore[misc, attr-defined]
    assert model["name"] == "'\": {"
    assert model["results"][0]["dataset"]["name"] == "<b>|\n--- : evil"
    assert "datasets" not in told  # no name of a data set that the Hub could know
    body = text.split("---\n", 2)[2]
    assert "\n---" not in body.replace("| --- |", "")
    assert not re.search(r"(?<!\\)<(?!!-- written)", body)
    assert r"\<script\>" in body
    assert "line break" in body
    rows = [line for line in body.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}


def test_what_was_not_tested_is_said(facts: ReportFacts) -> None:
    text = card.card(facts, 1, {})
    assert "Not tested; `lowland evaluate` does so." in text
    assert not {"model-index", "metrics"} & set(front(text))


def test_licence_is_left_to_the_owner(facts: ReportFacts) -> None:
    text = card.card(facts, 1, RESULTS)
    assert "license" not in front(text)
    assert text.startswith("---\n# license: yours to choose")


def test_the_hub_reads_it(facts: ReportFacts) -> None:
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(card.card(facts, 1, RESULTS)).data
    assert (data.library_name, data.pipeline_tag) == ("timm", "image-classification")
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("accuracy", 89.1, facts.asked.data.name)
    assert not hasattr(data, "license") or data.license is None


def test_an_edited_card_is_known(facts: ReportFacts) -> None:
    text = card.card(facts, 1, RESULTS)
    assert card.untouched(text)
    assert not card.untouched(text.replace("# license: yours to choose, such as apache-2.0", "license: mit"))
    assert not card.untouched("my own words")
    assert not card.untouched(text + "\nmore")


def test_exported_forms_stand_under_cost(facts: ReportFacts) -> None:
    latency = [{"batch": 1, "threads": 1, "milliseconds": 0.5, "ratio": 0.25}, {"threads": 2}]
    found = {"largest_difference": 1e-6, "top1_change": -0.1, "top1_error": 0.2}
    text = card.card(facts, 1, RESULTS, {"onnx": {"bytes": 2e6, "agreement": found, "latency": latency}})
    assert "| onnx | 2.00 MB | 1.0e-06 | -0.10 ± 0.20 | 0.50 ms for 1 (× 0.25) |" in text


@pytest.mark.slow
def test_a_run_has_a_card_and_its_code_runs(
    finished: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = finished / "network" / "README.md"
    text = file.read_text()
    found = json.loads((finished / "network" / "network.json").read_text())["facts"]["results"]
    (model,) = front(text)["model-index"]  # type: ignore[misc, attr-defined]
    metrics = {metric["name"]: metric["value"] for metric in model["results"][0]["metrics"]}
    assert metrics == {label: round(figure["value"], 4) for label, figure in found.items()}
    assert str(finished.parent) not in text
    monkeypatch.chdir(finished)
    Image.fromarray(np.full((8, 8), 120, np.uint8)).save("picture.png")
    own, with_timm, _ = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(own, {})
    assert capsys.readouterr().out.startswith("[[('")
    try:
        import timm  # noqa: F401
    except ImportError:
        pytest.skip("timm is not installed")
    spaces: dict[str, object] = {}
    exec(with_timm, spaces)
    assert {"model", "features"} <= spaces.keys()


@pytest.mark.slow
def test_an_edited_card_stays(finished: Path, lowland: Command) -> None:
    file = finished / "network" / "README.md"
    first = file.read_text()
    assert lowland("report", finished).code == 0
    assert file.read_text() == first
    mine = first.replace("# license: yours to choose, such as apache-2.0", "license: mit")
    file.write_text(mine)
    assert lowland("report", finished).code == 0
    assert file.read_text() == mine
    file.unlink()
    assert lowland("report", finished).code == 0
    assert file.read_text() == first
    assert lowland("status", finished).code == 0
