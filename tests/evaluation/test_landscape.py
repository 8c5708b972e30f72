"""Loss curves on a quadratic loss, whose mean under noise is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from lowland.core.errors import ConfigError, LowlandError, NotFiniteError
from lowland.evaluation.landscape import loss_curve
from lowland.training.loop import DivergedError


def test_mean_and_error_over_draws() -> None:
    losses = {(0.1, 0): 1.0, (0.1, 1): 2.0, (0.1, 2): 6.0, (0.2, 0): 4.0, (0.2, 1): 4.0, (0.2, 2): 4.0}
    curve = loss_curve(lambda sigma, draw: losses[sigma, draw], [0.1, 0.2], 3)
    assert curve["loss"] == [3.0, 4.0]
    assert curve["standard_error"] == [pytest.approx(math.sqrt(7 / 3)), 0.0]
    assert curve["draws"] == 3


def test_a_quadratic_loss_rises_by_the_trace() -> None:
    """E ½·εᵀHε = ½·σ²·tr H."""
    hessian = np.array([3.0, 1.0, 0.5])

    def loss_at(sigma: float, draw: int) -> float:
        return float(0.5 * (hessian * (sigma * np.random.default_rng(draw).normal(size=3)) ** 2).sum())

    curve = loss_curve(loss_at, [0.0, 0.5, 1.0], 2000)
    for sigma, mean, error in zip(curve["sigmas"], curve["loss"], curve["standard_error"], strict=True):
        assert abs(mean - 0.5 * sigma**2 * hessian.sum()) <= 4 * error


def test_no_noise_is_evaluated_once_and_progress_counts_it() -> None:
    calls: list[tuple[float, int]] = []
    seen: list[tuple[int, int]] = []
    curve = loss_curve(
        lambda sigma, draw: float(calls.append((sigma, draw)) or 1.0),
        [0.0, 0.1],
        2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert calls == [(0.0, 0), (0.1, 0), (0.1, 1)]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert curve["standard_error"][0] == 0.0


def test_one_draw_has_no_standard_error() -> None:
    assert loss_curve(lambda sigma, draw: 1.0, [0.1], 1)["standard_error"] == [None]


@pytest.mark.parametrize(("sigmas", "draws"), [([], 1), ([-0.1], 1), ([math.nan], 1), ([0.1], 0)])
def test_bad_settings(sigmas: list[float], draws: int) -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.options\.landscape\."):
        loss_curve(lambda sigma, draw: 1.0, sigmas, draws)


def _not_finite(draw: int) -> float:
    raise NotFiniteError("loss is not finite")


@pytest.mark.parametrize("bad", [lambda _: math.inf, lambda _: math.nan, _not_finite])
def test_a_loss_that_is_not_a_number_names_its_sigma_and_what_to_do(bad: Callable[[int], float]) -> None:
    with pytest.raises(NotFiniteError, match=r"σ = 0\.3 is not finite \(draw 1\); leave large values out"):
        loss_curve(lambda sigma, draw: bad(draw) if draw else 1.0, [0.3], 2)


def test_the_error_is_caught_as_a_sentence_and_by_those_who_measure_networks_of_their_own() -> None:
    assert issubclass(NotFiniteError, LowlandError)
    assert issubclass(NotFiniteError, ValueError)
    assert issubclass(DivergedError, NotFiniteError)
