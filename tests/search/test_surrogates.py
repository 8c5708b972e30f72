from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from lowland.search.strategies.pareto import surrogates
from lowland.search.strategies.pareto.surrogates import KINDS, Agreement, fit

ALL = list(KINDS)
LEVELS = 4


def one_hot(genes: np.ndarray) -> np.ndarray:
    return np.eye(LEVELS)[genes].reshape(len(genes), -1)


@pytest.fixture(scope="module")
def problem():
    """Six genes of four options; an additive function with one interaction, and its noiseless values elsewhere."""
    rng = np.random.default_rng(0)
    every = np.array(list(itertools.product(range(LEVELS), repeat=6)))
    effects = rng.normal(size=(6, LEVELS))
    values = effects[np.arange(6), every].sum(axis=1) + 0.5 * (every[:, 0] == every[:, 1])
    order = rng.permutation(len(every))
    return one_hot(every[order]), values[order]


@pytest.mark.parametrize("kind", ALL)
def test_learns_the_order_of_unseen_genotypes(kind, problem) -> None:
    x, y = problem
    model = fit(kind, x[:120], y[:120], 0)
    x, y = x[:700], y[:700]
    tau = kendalltau(model.predict(x[200:]), y[200:]).statistic
    assert tau > (0.45 if kind == "cart" else 0.7)
    # Cross-validation tells what happens on unseen genotypes.
    assert model.tau.mean == pytest.approx(tau, abs=0.15)
    assert model.kind == kind


@pytest.mark.parametrize("kind", ALL)
def test_is_a_function_of_its_arguments(kind, problem) -> None:
    x, y = problem
    one, two = fit(kind, x[:24], y[:24], 3), fit(kind, x[:24], y[:24], 3)
    np.testing.assert_array_equal(one.predict(x[24:60]), two.predict(x[24:60]))
    assert one.agreement == two.agreement
    assert fit(kind, x[:24], y[:24], 4).agreement != one.agreement, "other folds"


@pytest.mark.parametrize("kind", ALL)
def test_outliers_do_not_decide(kind, problem) -> None:
    """A few networks that did not learn at all: the rest must still be told apart."""
    x, y = problem
    spoiled = y.copy()
    spoiled[:6] = 1e4
    model = fit(kind, x[:120], spoiled[:120], 0)
    assert kendalltau(model.predict(x[200:]), y[200:]).statistic > 0.4


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("points", [1, 2, 5, 9])
def test_few_repeated_and_constant_points_are_borne_without_a_warning(kind, points, problem) -> None:
    x, y = problem
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for few_x, few_y in (
            (x[:points], y[:points]),
            (x[[0] * points], y[:points]),
            (x[:points], np.full(points, 2.5)),
            (np.repeat(x[:points], 2, axis=0), np.arange(2.0 * points)),
        ):
            predicted = fit(kind, few_x, few_y, 0).predict(x[:50])
            assert predicted.shape == (50,)
            assert np.isfinite(predicted).all()
    assert fit(kind, x[:points], np.full(points, 2.5), 0).predict(x[:3]) == pytest.approx(2.5)
    assert fit(kind, x[[0] * points], y[:points], 0).predict(x[:1]) == pytest.approx(y[:points].mean())


def test_needs_finite_values_of_at_least_one_genotype(problem) -> None:
    x, y = problem
    with pytest.raises(ValueError, match="finite"):
        fit("rbf", x[:2], np.array([1.0, np.nan]), 0)
    with pytest.raises(ValueError, match="at least one"):
        fit("rbf", x[:0], y[:0], 0)


def test_rbf_interpolates(problem) -> None:
    x, y = problem
    np.testing.assert_allclose(fit("rbf", x[:80], y[:80], 0).predict(x[:80]), y[:80], atol=1e-2)


def test_fewer_than_two_folds_give_no_agreement(problem) -> None:
    x, y = problem
    assert fit("rbf", x[:7], y[:7], 0).tau is None
    assert fit("rbf", x[:8], y[:8], 0).tau is not None
    assert fit("adaptive", x[:7], y[:7], 0).kind == "rbf"


def test_adaptive_takes_the_greatest_mean_minus_deviation(problem, monkeypatch) -> None:
    x, y = problem
    found = {"rbf": Agreement(0.9, 0.5), "cart": Agreement(0.6, 0.1), "mlp": Agreement(0.7, 0.3), "gp": Agreement(0, 0)}
    monkeypatch.setattr(surrogates, "_cross_validated", lambda kind, *_: found[kind])
    model = fit("adaptive", x[:20], y[:20], 0)
    assert model.kind == "cart"
    assert model.tau == found["cart"]
    assert model.agreement == found


def test_adaptive_is_as_good_as_the_best(problem) -> None:
    x, y = problem
    model = fit("adaptive", x[:30], y[:30], 0)
    assert set(model.agreement) == set(ALL)
    assert model.tau.cautious == max(each.cautious for each in model.agreement.values())


def test_every_point_is_predicted_once_by_a_model_that_never_saw_it(monkeypatch) -> None:
    x, y = np.eye(23), np.arange(23.0)
    held: list[int] = []

    def fitted(kind, x_ND, y_N, seed):
        def predict(x_QD):
            asked = x_QD.argmax(axis=1)
            assert not set(asked.tolist()) & set(y_N.astype(int).tolist())
            held.extend(asked.tolist())
            return asked.astype(float)

        return predict

    monkeypatch.setattr(surrogates, "fitted", fitted)
    found = surrogates._cross_validated("rbf", x, y, 0)
    assert (found.mean, found.std) == pytest.approx((1.0, 0.0))
    assert sorted(held) == list(range(23))


@settings(max_examples=60, deadline=None)
@given(
    y=st.lists(st.floats(-1e6, 1e6).map(lambda v: round(v, 3)), min_size=2, max_size=40),
    z=st.lists(st.floats(-20, 20), min_size=2, max_size=20),
)
def test_normal_scores_lead_back_to_the_values(y, z) -> None:
    values = np.array(y)
    if np.ptp(values) == 0:
        return
    scores, back = surrogates._normal_scores(values)
    np.testing.assert_allclose(back(scores), values, rtol=1e-9, atol=1e-6)
    assert kendalltau(scores, values).statistic == pytest.approx(1.0)
    mapped = back(np.sort(np.array(z)))
    assert (np.diff(mapped) >= -1e-6).all(), "increasing, also beyond the ends"
    assert back(np.array([scores.min() - 1.0]))[0] < values.min()
    assert back(np.array([scores.max() + 1.0]))[0] > values.max()
