"""Rank statistics against scipy and brute force, on genotypes and on resamples; intervals by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lowland.evaluation.ranking import statistics as ranking
from lowland.evaluation.ranking.statistics import Array, Interval


def brute_precision(values: Array, truth: Array) -> float:
    """Expected over random breaking of the measure's ties, by counting places left for the tied."""
    size = math.ceil(len(values) / 10)
    best = truth >= np.sort(truth)[-size]
    found, left = 0.0, size
    for value in sorted(set(values), reverse=True):
        tied = values == value
        taken = min(left, int(tied.sum()))
        found += taken * best[tied].mean()
        left -= taken
    return found / size


def brute(values: Array, truth: Array) -> dict[str, float]:
    return {
        "tau": stats.kendalltau(values, truth).statistic,
        "rho": stats.pearsonr(stats.rankdata(values), stats.rankdata(truth)).statistic
        if np.ptp(values) and np.ptp(truth)
        else math.nan,
        "precision": brute_precision(values, truth),
        "regret": truth.max() - truth[values == values.max()].mean(),
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(2, 30), st.integers(0, 2**31))
def test_every_statistic_on_resamples_is_that_of_the_repeated_genotypes(number: int, levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(levels, size=number).astype(float)  # with ties
    truth = rng.integers(levels, size=number) / 4
    counts_RN = np.vstack([np.ones(number), ranking.multiplicities(number, 4, rng)])
    assert (counts_RN.sum(axis=1) == number).all()
    found = ranking.statistics(values, truth, counts_RN)
    for index, counts in enumerate(counts_RN):
        repeated = np.repeat(np.arange(number), counts.astype(int))
        x, y = values[repeated], truth[repeated]
        best = y >= np.sort(y)[-math.ceil(number / 10)]
        for scope, there in (("all", np.ones(number, bool)), ("best", best)):
            for name, expected in brute(x[there], y[there]).items():
                assert found[scope, name][index] == pytest.approx(expected, abs=1e-9, nan_ok=True), (scope, name)


def test_large_vectors_agree_with_scipy() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=3000)
    values = np.round(truth + rng.normal(size=3000), 2)
    found = ranking.bootstrap(values, truth, resamples=3, seed=0)
    assert found.point["all", "tau"] == pytest.approx(stats.kendalltau(values, truth).statistic, abs=1e-12)
    assert found.point["all", "rho"] == pytest.approx(stats.spearmanr(values, truth).statistic, abs=1e-12)


def test_a_perfect_and_a_reversed_measure() -> None:
    truth = np.random.default_rng(0).normal(size=200)
    for scope in ranking.SCOPES:
        perfect = ranking.bootstrap(np.exp(truth), truth, resamples=50, seed=0)
        for name, value in {"tau": 1.0, "rho": 1.0, "precision": 1.0, "regret": 0.0}.items():
            interval = perfect.interval(scope, name)
            assert (interval.value, interval.low, interval.high) == pytest.approx((value, value, value)), name
    reverse = ranking.bootstrap(-truth, truth, resamples=50, seed=0)
    assert reverse.interval("all", "tau").value == -1.0
    assert reverse.interval("all", "precision").value == 0.0
    assert reverse.interval("all", "regret").value == pytest.approx(np.ptp(truth))


def test_undefined_is_none_and_never_nan() -> None:
    constant = ranking.bootstrap(np.zeros(30), np.arange(30.0), resamples=20, seed=0)
    assert constant.interval("all", "tau") == Interval(None, None, None)
    assert constant.interval("all", "precision").value == pytest.approx(0.1)
    assert constant.interval("all", "regret").value == pytest.approx(14.5)
    assert "nan" not in repr(ranking.as_facts(constant))
    alone = ranking.bootstrap(np.arange(10.0), np.arange(10.0), resamples=20, seed=0)
    assert alone.interval("best", "tau").value is None  # the best tenth of ten is one genotype
    assert ranking.agreement(np.array([1.0, np.nan, 2.0]), np.array([np.nan, 1.0, 2.0])) is None


def test_resamples_are_seeded_and_do_not_depend_on_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    values, truth = rng.normal(size=(2, 40))
    once = ranking.bootstrap(values, truth, resamples=50, seed=5)
    monkeypatch.setattr(ranking, "_CELLS", 300)
    again = ranking.bootstrap(values, truth, resamples=50, seed=5)
    other = ranking.bootstrap(values, truth, resamples=50, seed=6)
    for key in once.resampled:
        np.testing.assert_array_equal(once.resampled[key], again.resampled[key])
    assert (once.resampled["all", "tau"] != other.resampled["all", "tau"]).any()


def test_paired_differences_are_narrower_where_measures_agree() -> None:
    rng = np.random.default_rng(4)
    truth = rng.normal(size=150)
    values = truth + rng.normal(size=150)
    one = ranking.bootstrap(values, truth, resamples=400, seed=0)
    same = one.minus(one, "all", "tau")
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    near = ranking.bootstrap(values + 0.1 * rng.normal(size=150), truth, resamples=400, seed=0)
    difference, own = one.minus(near, "all", "tau"), one.interval("all", "tau")
    assert difference.low is not None
    assert difference.high is not None
    assert own.low is not None
    assert own.high is not None
    assert difference.high - difference.low < 0.5 * (own.high - own.low)
    with pytest.raises(ValueError, match="same genotypes"):
        one.minus(ranking.bootstrap(values, -truth, resamples=400, seed=0), "all", "tau")


def test_intervals_cover_the_true_correlation() -> None:
    """Of 200 samples of a bivariate normal (τ = 2/π·arcsin r, ρ = 6/π·arcsin(r/2)), about 95 % cover it."""
    rng = np.random.default_rng(7)
    r, trials = 0.6, 200
    true = {"tau": 2 / math.pi * math.asin(r), "rho": 6 / math.pi * math.asin(r / 2)}
    covered = dict.fromkeys(true, 0)
    for trial in range(trials):
        x, noise = rng.normal(size=(2, 100))
        found = ranking.bootstrap(x, r * x + math.sqrt(1 - r**2) * noise, resamples=300, seed=trial)
        for name, value in true.items():
            interval = found.interval("all", name)
            assert interval.low is not None
            assert interval.high is not None
            covered[name] += interval.low <= value <= interval.high
    for name, count in covered.items():
        assert 0.90 <= count / trials <= 0.99, (name, count)


@pytest.mark.parametrize(
    ("values", "truth"), [([1.0], [1.0]), ([1.0, 2.0], [1.0, 2.0, 3.0]), ([1.0, math.nan], [1.0, 2.0])]
)
def test_what_cannot_be_ranked_is_refused(values: list[float], truth: list[float]) -> None:
    with pytest.raises(ValueError, match="a ranking needs"):
        ranking.bootstrap(np.array(values), np.array(truth), resamples=2, seed=0)
