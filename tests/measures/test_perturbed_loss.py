"""The loss under noise of one strength: the same noise as flatness's first level, with its standard error."""

from __future__ import annotations

import numpy as np
import pytest

from lowland import measures
from lowland.measures import Score
from lowland.measures.noise.perturbed_loss import negative_mean
from lowland.testing.tiny import Case, case, measure_config


@pytest.fixture(scope="module")
def trained() -> Case:
    return case()


def score(case: Case, name: str, **options: object) -> Score:
    return measures.get(measure_config(name, **options)).score(case.supernet, case.genotypes[0], case.context)


@pytest.mark.parametrize(
    "options", [{}, {"draws": 3, "antithetic": True}, {"position": "cells"}, {"noise": "independent", "draws": 2}]
)
def test_is_minus_the_first_loss_of_flatness(trained: Case, options: dict[str, object]):
    found = score(trained, name="perturbed_loss(sigma=0.1)", **options)
    flatness = score(trained, name="flatness", sigmas=(0.1, 0.2), **options)
    assert found.value == pytest.approx(-flatness.details["losses"][0])
    assert found.standard_error == pytest.approx(flatness.details["losses_standard_error"][0])
    assert found.details["sigma"] == 0.1
    assert found.details["draws"] == options.get("draws", 1)


def test_more_noise_is_more_loss(trained: Case):
    losses = [-score(trained, name="perturbed_loss", sigma=s, draws=4).value for s in (1e-4, 0.2, 0.5)]
    clean = -score(trained, name="loss").value
    assert losses[0] == pytest.approx(clean, rel=1e-2)
    assert losses[0] < losses[1] < losses[2]


def test_standard_error_covers():
    rng = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(1000):
        losses_KN = 1 + rng.gamma(2.0, 0.5, size=(1, 200)) + 0.1 * rng.standard_normal((6, 1))
        found = negative_mean(losses_KN, {})
        values.append(found.value)
        errors.append(found.standard_error)
    assert np.mean(values) == pytest.approx(-2.0, abs=0.01)
    assert float(np.sqrt(np.mean(np.square(errors)))) == pytest.approx(float(np.std(values)), rel=0.06)
