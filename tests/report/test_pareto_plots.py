"""The plots of a multi-objective search say what the facts say."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from made_up_facts import OBJECTIVES, make_pareto, make_pareto_facts

from lowland.report import Fit, Pareto
from lowland.report.figures import pareto as fronts
from lowland.report.figures.marks import reach
from lowland.report.figures.robust_errors import robust_errors
from lowland.report.figures.search_progress import hypervolume, surrogates


def tips(drawn: str, group: str) -> list[str]:
    """What the markers of a group tell."""
    root = ElementTree.fromstring(drawn)
    line = next(element for element in root.iter() if element.get("id") == group)
    return [title.text or "" for title in line.iter("title")]


@pytest.mark.parametrize(
    ("labels", "axes"),
    [
        (("flatnas(alpha=0.5)", "params"), (1, 0)),
        (("params", "error"), (0, 1)),
        (("error", "robustness"), (1, 0)),
        (("robustness", "error", "latency", "macs"), (2, 0)),
        (("params", "latency"), (1, 0)),
    ],
)
def test_the_first_objective_is_drawn_against_the_first_cost(labels: tuple[str, ...], axes: tuple[int, int]) -> None:
    assert fronts.axes_of(make_pareto(*labels)) == axes


def test_every_other_pair_is_drawn_once_but_for_two_counts() -> None:
    pareto = make_pareto("error", "robustness", "params", "macs")
    assert fronts.axes_of(pareto) == (2, 0)
    assert fronts.pairs_of(pareto) == [(1, 0), (3, 0), (2, 1), (3, 1)]
    assert fronts.pairs_of(make_pareto("error", "params")) == []
    drawn = fronts.pairs(pareto)
    for place in (1, 3):
        assert f'id="pairs-points-{place}-0-front"' in drawn


def test_every_point_of_the_front_tells_its_genotype_and_values() -> None:
    pareto = make_pareto("flatnas(alpha=0.5)", "params")
    drawn = fronts.front(pareto, 4_000_000)
    told = tips(drawn, "front-points-1-0-front")
    assert len(told) == len(pareto.front)
    for tip, place in zip(told, pareto.front, strict=True):
        point = pareto.points[place]
        assert point.candidate.genotype in tip
        assert f"F (α = 0.5): {point.objectives[0].value:.2f}" in tip.replace("\u00a0", " ")
        assert ("the knee" in tip) == (place == pareto.pick)
    assert ">limit<" in drawn
    assert ">limit<" not in fronts.front(pareto, 400_000_000)
    assert ">limit<" not in fronts.front(pareto)
    numbers = {int(number) for number in re.findall(r">(\d+)</text>", drawn)}
    assert pareto.front.index(pareto.pick) + 1 in numbers


def test_candidates_beyond_a_limit_and_of_either_origin_are_told_apart() -> None:
    pareto = make_pareto("error", "params")
    place = next(place for place in range(len(pareto.points)) if place not in pareto.front)
    points = tuple(replace(point, feasible=index != place) for index, point in enumerate(pareto.points))
    drawn = fronts.front(replace(pareto, points=points))
    assert len(tips(drawn, "front-points-1-0-infeasible")) == 1
    groups = ("infeasible", "random", "proposed", "front")
    assert sum(len(tips(drawn, f"front-points-1-0-{group}")) for group in groups) == len(points) - 1
    assert "(1 beyond the axes)" in drawn  # the network that did not learn


def test_an_outlier_flattens_no_axis_but_is_counted_and_the_knee_stays() -> None:
    values = np.append(np.linspace(0, 10, 40), 90.0)
    assert reach(values)[1] < 15
    assert reach(values, [40])[1] < 15
    assert reach(values, always=[40])[1] > 90
    values[40] = 25.0
    assert reach(values)[1] < 15
    assert reach(values, [40])[1] > 25
    low, high = reach(np.full(3, 2.0))
    assert low < 2.0 < high


def test_a_single_candidate_is_a_front() -> None:
    pareto = make_pareto("error", "params")
    one = replace(pareto, points=pareto.points[:1], front=(0,), pick=0, iterations=pareto.iterations[:1])
    assert fronts.front(one).startswith("<svg")
    assert hypervolume(one.iterations).startswith("<svg")
    assert surrogates(one) == []


def test_a_thinned_front_is_whole() -> None:
    pareto = make_pareto("error", "params", count=2000)
    kept = fronts.drawn_points(pareto)
    assert len(kept) <= fronts.MOST_POINTS + len(pareto.front)
    assert set(pareto.front) <= set(kept)


def test_hypervolume_that_does_not_change_or_is_zero() -> None:
    iterations = make_pareto("error", "params").iterations
    for volume in (0.0, 0.4):
        drawn = hypervolume([replace(each, hypervolume=volume) for each in iterations])
        assert f"to {volume:.4g} after 120 candidates" in drawn


def test_surrogates_by_objective_with_the_kinds_chosen() -> None:
    pareto = make_pareto("error", "robustness", "params")
    found = surrogates(pareto)
    assert [name for name, _ in found] == ["error", "R"]
    for kind in ("cart", "rbf", "gp", "mlp"):
        assert f">{kind}<" in found[0][1]
    unknown = replace(pareto.iterations[1], fits=(Fit(objective="error", kind="gp"),))
    few: Pareto = replace(pareto, iterations=(pareto.iterations[0], unknown))
    assert surrogates(few) == []


def test_robustness_against_error_where_both_are_known() -> None:
    search = make_pareto_facts().search
    assert search is not None
    drawn = robust_errors(search, "knee")
    assert drawn is not None
    told = [tip for step in range(5) for tip in tips(drawn, f"robust-errors-candidates-{step}")]
    assert len(told) == len(search.candidates) - 1
    assert "(1 beyond the axes)" in drawn
    equal = replace(search, candidates=tuple(replace(each, parameters=5) for each in search.candidates[:9]))
    assert robust_errors(replace(equal, winner=0), "winner")
    without = tuple(replace(each, robustness=None) for each in search.candidates)
    assert robust_errors(replace(search, candidates=without), "winner") is None


def test_titles_and_values() -> None:
    titles = ["F (α = 0.5)", "parameters", "error", "R", "MACs", "latency", "−(accuracy+flatness)"]
    assert [fronts.title(objective) for objective in OBJECTIVES.values()] == titles
    assert fronts.title(replace(OBJECTIVES["robustness"], label="robustness(sigma=0.2)")) == "robustness(sigma=0.2)"
    assert [fronts.unit(OBJECTIVES[label]) for label in ("error", "robustness", "params")] == ["%", "points", ""]


def test_figures_are_themed_and_own_their_ids() -> None:
    facts = make_pareto_facts("error", "robustness", "params")
    assert facts.pareto is not None
    assert facts.search is not None
    pareto = facts.pareto
    drawn = [fronts.front(pareto), fronts.pairs(pareto), hypervolume(pareto.iterations)]
    drawn += [robust_errors(facts.search, "knee") or "", *(svg for _, svg in surrogates(pareto))]
    assert not any(re.search(r"#[0-9a-f]{6}", each) for each in drawn)
    ids = re.findall(r' id="([^"]+)"', "".join(drawn))
    assert len(ids) == len(set(ids))
