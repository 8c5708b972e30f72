"""The robustness plot says what the facts say."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from made_up_facts import make_facts

from lowland.report import Estimate, Shift, ShiftGroup
from lowland.report.figures.robustness import robustness


def made(groups: dict[str, list[str]]) -> Shift:
    names = [name for held in groups.values() for name in held]
    error = Estimate(value=50.0, standard_error=1.0, n=9)
    return Shift(
        mean=50.0,
        by={name: {level: 70.0 - 10 * level for level in (1, 2, 3)} for name in names},
        n=9,
        severities=(1, 2, 3),
        errors=dict.fromkeys(names, error),
        groups=tuple(ShiftGroup(name=name, corruptions=tuple(held), error=error) for name, held in groups.items()),
    )


def bars(drawn: str) -> int:
    """Rectangles of the plot: patches that are clipped to the axes and filled."""
    return len(re.findall(r'<g id="robustness-patch_\d+"><path[^>]*clip-path', drawn))


@pytest.mark.parametrize("groups", [{"noise": ["shot_noise"], "weather": ["fog", "snow"]}, {"extra": ["saturate"]}])
def test_a_bar_for_every_corruption_and_severity(groups: dict[str, list[str]]) -> None:
    shift = made(groups)
    drawn = robustness(shift, 8.0)
    assert bars(drawn) == 3 * len(shift.by)
    for text in (*groups, *(name.replace("_", " ") for name in shift.by), "clean images", "mean corruption error"):
        assert f">{text}<" in drawn, text
    assert "mean 50" in drawn


def test_results_without_errors_by_group_and_without_clean_ones() -> None:
    shift = replace(made({"noise": ["shot_noise"]}), errors={}, groups=())
    drawn = robustness(shift, None)
    assert bars(drawn) == 3
    assert ">clean images<" not in drawn
    assert ">mean ± standard error<" not in drawn


def test_a_single_severity_and_perfect_accuracy() -> None:
    shift = replace(made({"noise": ["shot_noise"]}), severities=(1,), by={"shot_noise": {1: 100.0}}, mean=100.0)
    assert robustness(shift, 0.0).startswith("<svg")


def test_figures_are_themed_and_own_their_ids() -> None:
    shift = make_facts().networks[0].shift
    assert shift is not None
    drawn = robustness(shift, 9.6)
    assert not re.search(r"#[0-9a-f]{6}", drawn)
    ids = re.findall(r' id="([^"]+)"', drawn)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("robustness-") for name in ids)
