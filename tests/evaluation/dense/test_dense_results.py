"""What is told of several seeds: mean, standard error and Student's interval, of metrics that there are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lowland.evaluation.dense.results import DenseResults, Metric, Outcome

METRICS = (Metric(key="AP", label="AP", first=True), Metric(key="APl", label="AP of large objects"))


def outcome(seed: int, **metrics: float) -> Outcome:
    return Outcome(
        seed=seed,
        metrics=metrics,
        losses={"class_loss": (1.0, 0.5), "box_loss": (2.0, 1.0)},
        interval=3,
        steps=5,
        parameters=1000,
        seconds=1.5,
        sha256="0" * 64,
    )


def results(*values: float) -> DenseResults:
    return DenseResults(
        task="detection",
        network="tiny",
        weights="from scratch",
        data="made up",
        pictures=4,
        settings={"data": "0"},
        outcomes=tuple(outcome(seed, AP=value) for seed, value in enumerate(values)),
        notes=("left out of training: 1 box of crowds",),
    )


def test_the_interval_is_students() -> None:
    """Of 1, 2, 3: s = 1, standard error 1/√3, t(0.975, 2) = 4.3027."""
    found = results(1.0, 2.0, 3.0).spread("AP")
    assert (found.mean, found.n) == (2.0, 3)
    assert found.standard_error == pytest.approx(3**-0.5)
    assert (found.low, found.high) == pytest.approx((2 - 4.302653 * 3**-0.5, 2 + 4.302653 * 3**-0.5))


def test_one_seed_has_no_interval() -> None:
    found = results(1.5).spread("AP")
    assert (found.mean, found.standard_error, found.low, found.high, found.n) == (1.5, None, None, None, 1)


def test_json_and_back() -> None:
    found = results(1.0, 2.0)
    assert DenseResults.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_results_of_before_test_pictures_are_read() -> None:
    values = results(1.0).to_json()
    del values["test_pictures"], values["outcomes"][0]["test"]
    assert DenseResults.from_json(values) == results(1.0)


def test_figures_and_section_leave_out_what_there_is_not() -> None:
    found = results(1.0, 3.0)
    (figure,) = found.figures(METRICS)
    assert (figure.label, figure.value, figure.unit, figure.standard_error, figure.n) == ("AP", 2.0, "%", 1.0, 4)
    section = found.section("Detection", METRICS)
    ((name, cells),) = section.tables[0].rows
    assert name == "AP (%)"
    assert cells[1] == "−10.71 … 14.71"
    assert section.tables[0].columns == ("metric", "mean", "95 % interval", "seed 0", "seed 1")
    lines: dict[str, Any] = {line.label: line for line in section.series[0].lines}
    assert lines["class loss"].x == (3.0, 5.0), "the last point is of two steps"
    assert lines["class loss"].y == (1.0, 0.5)
    assert lines["box loss"].errors == (0.0, 0.0)
    assert section.paragraphs[1:] == found.notes
