"""Results of runs of format 1: they are shown, and done again, as those of today."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from golden.relocate import relocated
from lowland.report.gather import gather
from lowland.store.artifacts import Searched, Trained, evaluated
from lowland.store.run import Run
from lowland.workflow import pipeline, reporting
from whole_runs import Command

GOLDEN = Path(__file__).parents[1] / "golden" / "format-1"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())["runs"]
_REST = (
    "MACs: multiply-accumulates for one image. Top-1, top-5, negative log-likelihood and expected calibration error "
    "(15 bins) on 60 clean test images. Top-5 says nothing for five classes or fewer. Corrupted: mean over 2 types and "
    "2 severities, 30 test images each."
)
_CURVE = (
    "with the network’s own weights; not comparable with weights of another scale. 2 noise draws per σ on 40 images; "
    "band: ± one standard error over the draws."
)
_INHERITED_CURVE = _CURVE.replace("with the network’s own weights; ", "")
_SEEN = (
    "It was trained on these search images, too, so that the curve shows the shape of its minimum and not how it does "
    "on images that are new to it."
)
_BEHIND = (
    "Class by class, picture by picture",
    "What lies behind the accuracy has not been kept. To do so, run",
    "lowland resume RUN --restart evaluate",
)
_SCORED = "accuracy+flatness on 72 search images"
_LOG_RANK = "flatness+angle+macs+naswot (by log-rank) on 72 search images"
_ERROR = "greater is better; its error is over those images or noise draws, where the measure has one."
_SHORTLIST = "Shortlist: perturbed_accuracy(draws=4), greater is better."
_SCORES = ("−8", "−6", "−4", "−2", "0", "score (greater is better)")
_PLACES = ("1", "3", "6", "9", "12", "place by the measure (1 is best)")
_AFTER = "A line that still climbs at the end asks for a longer search."

Lines = tuple[str, ...]
SAID_ANEW: dict[str, list[tuple[Lines, Lines]]] = {
    # Sums of ranks have no unit: places are told instead of scores.
    "evolution": [
        (("Score",), ("Place", "by the measure")),
        *(
            ((score,), (str(place), "of 12"))
            for place, score in enumerate(("-0.3206", "-0.5878", "-1.196", "-1.771", "-1.894"), start=1)
        ),
        (
            (f"± is one standard error. Score: {_LOG_RANK}, {_ERROR} {_REST}",),
            (
                f"± is one standard error. Place: in the order of {_LOG_RANK} among 12 candidates; it compares them "
                f"with each other, and its numbers have no unit. {_REST}",
            ),
        ),
        (
            (f"After retraining from scratch, {_CURVE}",),
            (f"After retraining from scratch, {_CURVE} {_SEEN}", *_BEHIND),
        ),
        (_SCORES, _PLACES),
        (
            (f"Score by order of evaluation. {_AFTER}",),
            (f"Place in the final order of the measure, by order of evaluation. {_AFTER}",),
        ),
        (_SCORES, _PLACES),
        (
            ("Score against size. The ring marks the winner, score -0.3206.",),
            ("Place against size. The ring marks the winner, 1 of 12.",),
        ),
        (
            ("The found network: 1 epochs from scratch.",),
            ("The found network: 1 epochs from scratch, on training and search images.",),
        ),
    ],
    "pareto": [
        (
            (f"After training on from the inherited weights; {_INHERITED_CURVE}",),
            (f"After training on from the inherited weights; {_INHERITED_CURVE} {_SEEN}", *_BEHIND),
        ),
        (
            ("The found network: 1 epochs from inherited weights.",),
            ("The found network: 1 epochs from inherited weights, on training and search images.",),
        ),
    ],
    # The short training of finalists is now one rung of many.
    "racing": [
        ((), ("rung 1",)),
        ((), ("rung 1",)),
        (
            (
                f"± is one standard error. Score: {_SCORED}, {_ERROR} {_SHORTLIST} Finalist: after 1 epoch of "
                f"training, on 72 search images that it has not learned from. {_REST}",
            ),
            (
                f"± is one standard error. Score: {_SCORED}, {_ERROR} {_SHORTLIST} Finalist: accuracy on search images "
                f"that it has not learned from, at the last rung that it reached. {_REST}",
            ),
        ),
        (
            (f"After retraining from scratch, {_CURVE}",),
            (f"After retraining from scratch, {_CURVE} {_SEEN}", *_BEHIND),
        ),
        (
            ("The found network: 1 epochs from scratch.",),
            ("The found network: 1 epochs from scratch, on training and search images.",),
        ),
    ],
}
"""What a report says otherwise today, in its order: the lines of then, and those of now in their place."""
NEW_FIGURES: dict[str, set[str]] = {
    "classification": {"balanced", "balanced_standard_error"},
    "corruptions": set(),
}
"""Figures that a suite of then did not know."""
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
    after = reporting.report(run).read_text()
    report_time = re.compile(r"^[\d.,]+ (ms|s)$")

    def stable(page: str) -> list[str]:
        return [line for line in told(page) if not report_time.match(line.replace("\u00a0", " "))]

    then, now = stable(before), stable(after.replace(str(run), "RUN"))
    steps = difflib.SequenceMatcher(None, then, now, autojunk=False).get_opcodes()
    other = [(tuple(then[a:b]), tuple(now[c:d])) for kind, a, b, c, d in steps if kind != "equal"]
    assert other == SAID_ANEW[name]


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
                if name in NEW_FIGURES[suite]:
                    continue
                if isinstance(value, float):
                    assert value == pytest.approx(judged[key][name], rel=1e-3), (suite, name)
    assert [curve["kind"] for curve in found["landscape"]["curves"]] == [curve["kind"] for curve in old["curves"]]
