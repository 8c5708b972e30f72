from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowland.core.config import MeasureConfig, SearchConfig
from lowland.core.genotype import Genotype
from lowland.search import Candidate, Reference, hypervolume, parse_objectives
from lowland.search.strategies.pareto.front import feasible, knee, normalised, ranks

FREE = SearchConfig()
OBJECTIVES = parse_objectives(["error", "params"], MeasureConfig())
THREE = parse_objectives(["error", "params", "macs"], MeasureConfig())


def candidate(error, parameters, macs=0) -> Candidate:
    """error: percent, or None where the candidate failed."""
    return Candidate(
        genotype=Genotype("toy", (parameters,)), key="", measure="m", generation=0, origin="random",
        status="failed" if error is None else "scored", value=None if error is None else 1 - error / 100,
        parameters=parameters, macs=macs,
    )  # fmt: skip


points = st.lists(st.tuples(*[st.integers(0, 6)] * 3), max_size=25)


@settings(max_examples=100, deadline=None)
@given(points)
def test_ranks_peel_off_what_nothing_dominates(found) -> None:
    values = np.array(found, dtype=float).reshape(-1, 3)
    rank = ranks(values)
    for level in range(rank.max() + 1 if len(rank) else 0):
        left = [i for i in range(len(found)) if rank[i] >= level]
        for i in left:
            dominated = any((values[j] <= values[i]).all() and (values[j] < values[i]).any() for j in left)
            assert dominated == (rank[i] > level)


def test_knee_is_the_point_of_greatest_trade_off() -> None:
    # An L: the corner gives up a tenth of one objective for nine tenths of the other.
    front = np.array([[0, 100], [1, 10], [5, 9], [10, 0]], dtype=float)
    assert knee(front) == 1
    assert knee(front * [1e6, 1e-3] + [5, -7]) == 1, "units do not matter"
    assert knee(front[::-1]) == 2
    assert knee(np.array([[3.0, 4.0]])) == 0
    # Farthest from the line through the ends: by hand, distance ∝ 1 − x − y.
    x = np.linspace(0, 1, 101)
    assert knee(np.stack([x, (1 - np.sqrt(x)) ** 2], axis=1)) == 25
    # A front that bends the other way has only its ends.
    assert knee(np.stack([x, np.sqrt(1 - x**2)], axis=1)) in (0, 100)
    three = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0], [0.2, 0.3, 0.2], [0.1, 0.6, 0.4]])
    assert knee(three) == 3
    with pytest.raises(ValueError, match="no knee"):
        knee(np.zeros((0, 2)))


def test_an_objective_without_a_span_keeps_its_unit() -> None:
    scaled = normalised(np.array([[1.0, 5.0], [3.0, 6.0]]), np.array([1.0, 5.0]), np.array([3.0, 5.0]))
    assert scaled.tolist() == [[0.0, 0.0], [1.0, 1.0]]


def test_hypervolume_in_closed_form() -> None:
    sample = [candidate(10, 100), candidate(50, 300), candidate(20, 200)]
    reference = Reference.of(sample, OBJECTIVES, FREE, None)
    assert reference.ideal == pytest.approx((10, 100))
    assert reference.nadir == pytest.approx((50, 300))
    assert hypervolume([candidate(10, 100)], OBJECTIVES, FREE, reference) == pytest.approx(1.0)
    assert hypervolume([candidate(50, 300)], OBJECTIVES, FREE, reference) == pytest.approx(0.0)
    # (0.25, 0.5) and (0.5, 0): 0.75·0.5 + 0.5·0.5
    stairs = [candidate(20, 200), candidate(30, 100), candidate(40, 250)]
    assert hypervolume(stairs, OBJECTIVES, FREE, reference) == pytest.approx(0.75 * 0.5 + 0.5 * 0.5)
    assert hypervolume([*stairs, candidate(1, 301)], OBJECTIVES, FREE, reference) == pytest.approx(0.625)
    assert hypervolume([candidate(6, 80)], OBJECTIVES, FREE, reference) == pytest.approx(1.1 * 1.1), "beyond the ideal"
    assert hypervolume([], OBJECTIVES, FREE, reference) == 0.0
    median = Reference.of(sample, OBJECTIVES, FREE, None, quantile=0.5)
    assert median.nadir == pytest.approx((20, 200))


def test_hypervolume_of_three_objectives_is_the_dominated_share_of_the_box() -> None:
    rng = np.random.default_rng(0)
    found = [candidate(*map(int, row)) for row in rng.integers(0, 100, size=(12, 3))]
    reference = Reference((0.0, 0.0, 0.0), (100.0, 100.0, 100.0), None)
    values = THREE.values(found, None) / 100
    drawn = rng.random((40_000, 3))
    share = (values[None] <= drawn[:, None]).all(axis=2).any(axis=1).mean()
    assert hypervolume(found, THREE, FREE, reference) == pytest.approx(share, abs=0.01)


def test_fault_7_hypervolume_is_of_feasible_points_only() -> None:
    """Fault 7 of the public code: hypervolume computed with penalties inside."""
    limited = SearchConfig(max_params=250, max_macs=5)
    inside, outside = [candidate(20, 200), candidate(30, 150)], [candidate(1, 251), candidate(1, 10, macs=6)]
    failed = [candidate(None, 10)]
    assert [feasible(each, limited) for each in [*inside, *outside, *failed]] == [True, True, False, False, False]
    reference = Reference.of([*inside, *outside, *failed], OBJECTIVES, limited, None)
    assert reference == Reference.of(inside, OBJECTIVES, limited, None)
    reference = Reference((0.0, 0.0), (100.0, 300.0), None)
    volume = hypervolume(inside, OBJECTIVES, limited, reference)
    assert volume > 0
    assert hypervolume([*inside, *outside, *failed], OBJECTIVES, limited, reference) == volume
    with pytest.raises(ValueError, match="feasible"):
        Reference.of(outside, OBJECTIVES, limited, None)
