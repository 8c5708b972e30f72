"""The Hessian's trace: Hutchinson's identity, a dense oracle, and the honesty of its standard errors."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.measures import Score, calibrated_subnet
from lowland.measures.curvature.hessian import LossHessian
from lowland.measures.curvature.hessian_trace import estimate_trace
from lowland.testing.tiny import Case, case, measure_config

from .test_hessian import SMALL, dense, logistic


@pytest.fixture(scope="module")
def trained() -> Case:
    return case()


def score(case: Case, **options: object) -> Score:
    config = measure_config("hessian_trace", **options)
    return measures.get(config).score(case.supernet, SMALL, case.context)


def test_all_sign_vectors_give_the_trace_exactly(trained: Case):
    supernet, _ = logistic(trained)
    with calibrated_subnet(supernet, supernet.genotype, trained.context, MeasureConfig(name="hessian_trace")) as found:
        bias = {"network.2.bias": found.parameters["network.2.bias"]}
        hessian = LossHessian(found, bias, 60)
        signs = torch.tensor(list(product((-1.0, 1.0), repeat=3)), dtype=torch.float64)
        exact = float(dense(found, bias, 60).trace())
        assert estimate_trace(*hessian.quadratic_forms(signs, 5)).value == pytest.approx(exact, rel=1e-12)


def test_score_is_minus_the_trace_within_its_error(trained: Case):
    found = score(trained, draws=20)
    with calibrated_subnet(trained.supernet, SMALL, trained.context, MeasureConfig(name="hessian_trace")) as path:
        size = sum(p.numel() for p in path.parameters.values())
        exact = float(dense(path, path.parameters, 60).trace())
    assert found.details["trace"] == -found.value
    assert abs(found.details["trace"] - exact) < 3 * found.details["standard_error_noise"]
    assert found.details["standard_error_noise"] < 0.4 * exact
    parts = found.details["standard_error_images"], found.details["standard_error_noise"]
    assert found.standard_error == pytest.approx(np.hypot(*parts))
    assert (found.details["images"], found.details["parameters"]) == (60, size)


def test_influence_on_some_of_the_images_keeps_the_standard_error(trained: Case):
    found = score(trained, hessian_images=30, draws=1)
    assert found.details["standard_error_noise"] is None
    assert found.details["images"] == 30
    assert found.standard_error == pytest.approx(found.details["standard_error_images"])


def test_one_image_has_no_error_over_images(trained: Case):
    found = score(trained, hessian_images=1)
    assert found.details["standard_error_images"] is None
    assert found.standard_error == pytest.approx(found.details["standard_error_noise"])


def test_vectors_are_shared_or_independent_and_at_the_position(trained: Case):
    assert score(trained).value != score(trained, noise="independent").value
    cells = score(trained, position="cells")
    assert cells.details["parameters"] < score(trained).details["parameters"]
    assert cells.details["trace"] != score(trained).details["trace"]


def test_standard_errors_cover():
    """Groups of unequal size with an effect of each image, and an effect of each vector."""
    rng = np.random.default_rng(1)
    sizes_G = np.array([10.0] * 7 + [4.0])
    values, errors = [], []
    for _ in range(2000):
        images_G = 20 + 3 * rng.standard_normal(8) / np.sqrt(sizes_G)
        forms_GK = images_G[:, None] + 2 * rng.standard_normal(8)[None]
        found = estimate_trace(forms_GK, sizes_G)
        values.append(found.value)
        errors.append(np.hypot(found.images_se, found.noise_se))
    assert float(np.sqrt(np.mean(np.square(errors)))) == pytest.approx(float(np.std(values)), rel=0.05)
