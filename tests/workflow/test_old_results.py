"""Results of runs of format 1: they are shown, and done again, as those of today."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from golden.relocate import relocated
from lowland.report.gather import gather
from lowland.store.artifacts import Searched, Trained, evaluated
from lowland.store.run import Run
from lowland.workflow import pipeline
from whole_runs import Command

GOLDEN = Path(__file__).parents[1] / "golden" / "format-1"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())["runs"]
FINISHED = [name for name, run in EXPECTED.items() if run["stages"].get("report") == "done"]


def told(page: str) -> list[str]:
    """What a page says above its settings, without times and paths."""
    text = re.sub(r"<[^>]+>", "\n", page[page.index("<main>") : page.index("All settings (YAML)")])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [line for line in lines if "lowland.load(" not in line]


@pytest.mark.parametrize("name", FINISHED)
def test_records_of_format_1(name: str, tmp_path: Path) -> None:
    run = relocated(GOLDEN / name, tmp_path / "run")
    old = json.loads((run / "evaluation.json").read_text())
    with Run.open(run, read_only=True) as opened:
        found = {record.suite: record for record in evaluated(opened)}
        searched, trained = Searched.read(opened), Trained.read(opened)
        outcome = pipeline.run_result(opened)
        facts = gather(opened)
    assert list(found) == ["classification", "corruptions", "landscape"]
    for rank, judged in old["networks"].items():
        assert found["classification"].results["networks"][rank] == judged["test"]
        assert found["corruptions"].results["networks"][rank] == judged["shift"]
    assert found["landscape"].results["curves"] == old["curves"]
    ranking = [{"genes": list(each.genes), "value": each.value} for each in searched.ranking]
    assert ranking == EXPECTED[name]["ranking"]
    assert searched.ranking[0].genotype == EXPECTED[name]["winner"]
    assert set(trained.networks) == set(old["networks"])
    for row in outcome.networks:
        figures = {figure.label: figure.value for figure in row["figures"]}
        judged = old["networks"][str(row["rank"])]
        assert figures == {"test top-1": judged["test"]["top1"], "corrupted": judged["shift"]["mean"]}
    assert facts.networks[0].test is not None
    assert facts.networks[0].test.nll == old["networks"]["1"]["test"]["nll"]
    assert len(facts.curves) == len(old["curves"])


@pytest.mark.parametrize("name", FINISHED)
def test_a_report_of_format_1_says_what_it_said(name: str, tmp_path: Path) -> None:
    run = relocated(GOLDEN / name, tmp_path / "run")
    before = (run / "report.html").read_text()
    after = pipeline.report(run).read_text()
    report_time = re.compile(r"^[\d.,]+ (ms|s)$")

    def stable(page: str) -> list[str]:
        return [line for line in told(page) if not report_time.match(line.replace("\u00a0", " "))]

    assert stable(after) == stable(before)


def test_an_evaluation_of_format_1_is_done_again_to_the_same_figures(tmp_path: Path, lowland: Command) -> None:
    run = relocated(GOLDEN / "evolution", tmp_path / "run")
    old = json.loads((run / "evaluation.json").read_text())
    said = lowland("resume", run, "--restart", "evaluate")
    assert said.code == 0, said.err
    assert not (run / "evaluation.json").exists()
    with Run.open(run, read_only=True) as opened:
        assert opened.verify() == []
        found = {record.suite: record.results for record in evaluated(opened)}
    for rank, judged in old["networks"].items():
        for suite, key in (("classification", "test"), ("corruptions", "shift")):
            for name, value in found[suite]["networks"][rank].items():
                if isinstance(value, float):
                    assert value == pytest.approx(judged[key][name], rel=1e-3), (suite, name)
    assert [curve["kind"] for curve in found["landscape"]["curves"]] == [curve["kind"] for curve in old["curves"]]
