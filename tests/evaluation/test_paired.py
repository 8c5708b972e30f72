"""Paired differences: closed forms, coverage by simulation, and agreement with scipy."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lowland.evaluation.comparison import Hits, differences, packed, unpacked
from lowland.evaluation.paired import Difference, accuracy_difference, mean_difference, over_seeds

bits = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def both(pairs: list[tuple[bool, bool]]) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = zip(*pairs, strict=True)
    return torch.tensor(first), torch.tensor(second)


@given(bits)
def test_the_difference_is_that_of_the_accuracies_and_changes_sign_with_the_order(
    pairs: list[tuple[bool, bool]],
) -> None:
    first_N, second_N = both(pairs)
    found, other = accuracy_difference(first_N, second_N), accuracy_difference(second_N, first_N)
    assert found.value == pytest.approx(100 * float(first_N.double().mean() - second_N.double().mean()))
    assert (found.value, found.low, found.high) == pytest.approx((-other.value, -other.high, -other.low))  # type: ignore[operator]
    assert -100 <= found.low < found.high <= 100  # type: ignore[operator]
    assert found.sign == -other.sign


def test_equal_networks_have_an_interval_about_zero() -> None:
    hit_N = torch.arange(100) < 60
    found = accuracy_difference(hit_N, hit_N)
    # p̃ = 1/102 on both sides.
    half = 100 * 1.959964 * math.sqrt(2 / 102 / 102)
    assert (found.value, found.low, found.high) == pytest.approx((0.0, -half, half))
    assert found.sign == 0


def test_intervals_over_images_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    share = np.array([0.70, 0.10, 0.06, 0.14])  # both, only the first, only the second, neither: 4 points apart
    held = 0
    for _ in range(2000):
        kinds = torch.from_numpy(rng.choice(4, size=300, p=share))
        found = accuracy_difference(kinds <= 1, (kinds == 0) | (kinds == 2))
        held += found.low <= 4.0 <= found.high  # type: ignore[operator]
    assert held / 2000 == pytest.approx(0.95, abs=0.015)


def test_student_intervals_are_scipys() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.uniform(0, 100, (2, 50))
    found = mean_difference(torch.from_numpy(first), torch.from_numpy(second))
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.over, found.n) == ("images", 50)

    each = [Difference(value=value, low=None, high=None, over="images", n=9) for value in (1.0, 3.0)]
    both_seeds = over_seeds(each)
    # Mean 2, s/√2 = 1, and t of one degree of freedom 12.706.
    assert (both_seeds.value, both_seeds.low, both_seeds.high) == pytest.approx((2.0, -10.706, 14.706), abs=1e-3)
    assert (both_seeds.over, both_seeds.n) == ("seeds", 2)
    assert over_seeds(each[:1]) == each[0]


def test_seeds_are_paired_with_seeds() -> None:
    def hits(*correct: bool) -> Hits:
        return Hits(correct_N=torch.tensor(correct), corrupted_M=torch.tensor([3, 1]), of=4)

    one, other = [hits(True, True), hits(True, False)], [hits(True, False), hits(True, False)]
    clean, shifted = differences(one, other)
    assert clean.value == pytest.approx(25.0)
    assert shifted is not None
    assert (shifted.value, shifted.low, shifted.high) == (0.0, 0.0, 0.0)
    clean, _ = differences(one[:1], other[:1])
    assert (clean.value, clean.over, clean.n) == (pytest.approx(50.0), "images", 2)
    assert differences([Hits(correct_N=torch.tensor([True]), corrupted_M=None, of=0)] * 2, other)[1] is None


@given(st.lists(st.booleans(), max_size=30))
def test_hits_come_back_from_text(hits: list[bool]) -> None:
    assert unpacked(packed(torch.tensor(hits, dtype=torch.bool))).tolist() == hits


def test_a_difference_survives_json() -> None:
    found = accuracy_difference(torch.tensor([True, False]), torch.tensor([True, True]))
    assert Difference.from_json(json.loads(json.dumps(found.to_json()))) == found
