"""The measure top_eigenvalue against a dense Hessian."""

from __future__ import annotations

import numpy as np
import pytest

from lowland import measures
from lowland.core.genotype import Genotype
from lowland.measures import calibrated_subnet
from lowland.testing.tiny import case, measure_config

from .test_hessian import CONFIG, SMALL, dense


def test_it_is_the_largest_eigenvalue_of_the_dense_hessian():
    trained = case()
    config = measure_config("top_eigenvalue", hessian_images=40, eigenvalues=2)
    score = measures.get(config).score(trained.supernet, SMALL, trained.context)
    with calibrated_subnet(trained.supernet, SMALL, trained.context, CONFIG) as path:
        values = np.linalg.eigvalsh(dense(path, path.parameters, 40).numpy())
    assert score.value == pytest.approx(-values[-1], rel=1e-6)
    assert score.details["eigenvalues"] == pytest.approx(values[::-1][:2], rel=1e-4)
    assert score.standard_error == pytest.approx(score.details["standard_error_images"])
    assert score.standard_error > 0


def test_without_parameters_there_is_no_curvature():
    trained = case()
    config = measure_config("top_eigenvalue", position="cells")
    score = measures.get(config).score(trained.supernet, Genotype("tiny", (0, 0)), trained.context)
    assert (score.value, score.standard_error, score.details["eigenvalues"]) == (0.0, 0.0, [])
