"""Flatness along the Hessian's top eigenvectors (GeNAS Table 7), against a dense Hessian and plain moves of weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.core.genotype import Genotype
from lowland.measures import Score, calibrated_subnet
from lowland.measures.noise.flatness import flatness_value
from lowland.testing.tiny import Case, case, measure_config

from .test_hessian import SMALL, dense

SIGMAS = (2e-3, 1e-2, 2e-2)


@pytest.fixture(scope="module")
def trained() -> Case:
    return case()


def score(case: Case, genotype: Genotype | None = None, **options: object) -> Score:
    config = measure_config("flatness", direction="hessian", **options)
    return measures.get(config).score(case.supernet, genotype or SMALL, case.context)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hessian_scale": "noise"},
        {"antithetic": True},
        {"position": "cells"},
        {"levels": "incremental", "hessian_scale": "noise"},
    ],
)
def test_losses_equal_the_brute_force_oracle(trained: Case, options: dict[str, object]):
    found = score(trained, **options)
    config = measure_config("flatness", **options)
    absolute = options.get("levels", "absolute") == "absolute"
    stds = SIGMAS if absolute else (2e-3, math.hypot(2e-3, 8e-3), math.hypot(2e-3, 8e-3, 1e-2))
    x = torch.cat([x for x, _ in trained.context.scored])
    labels = torch.cat([labels for _, labels in trained.context.scored])
    with calibrated_subnet(trained.supernet, SMALL, trained.context, config) as path:
        parameters = path.perturbable(config.position)
        values, vectors = np.linalg.eigh(dense(path, parameters, 60).numpy())
        loss = cross_entropy(path.supernet(x, path.genotype), labels)
        slopes = torch.autograd.grad(loss, list(parameters.values()))
        top = torch.from_numpy(vectors[:, -1])
        top *= (torch.cat([slope.flatten() for slope in slopes]) @ top).sign()
        clean = nn.utils.parameters_to_vector(parameters.values()).detach()
        losses = []
        for std in stds:
            both = []
            for sign in (1, -1) if config.antithetic else (1,):
                length = math.sqrt(len(clean)) if options.get("hessian_scale") == "noise" else 1.0
                moved = clean + sign * std * length * top
                state = {name: p.detach().clone() for name, p in parameters.items()}
                with torch.no_grad():
                    nn.utils.vector_to_parameters(moved, parameters.values())
                    both.append(float(cross_entropy(path.supernet(x, path.genotype), labels)))
                for name, p in parameters.items():
                    p.data = state[name]
            losses.append(np.mean(both))
    assert found.details["eigenvalues"] == pytest.approx([values[-1]], rel=1e-6)
    assert found.details["losses"] == pytest.approx(losses, rel=1e-3)
    assert found.value == pytest.approx(flatness_value(losses, SIGMAS, 1.0), rel=1e-3)
    assert found.details["perturbed_parameters"] == len(clean)


def test_it_is_a_sharper_direction_than_noise_of_the_same_length(trained: Case):
    noise = measures.get(MeasureConfig(name="flatness", draws=4)).score(trained.supernet, SMALL, trained.context)
    assert score(trained, hessian_scale="noise").details["losses"][-1] > noise.details["losses"][-1]


def test_a_unit_vector_is_followed_as_far_as_sigma_says(trained: Case):
    """PyHessian's scale is the default: as far at σ as the scale of noise goes at σ/√P."""
    unit, noise = score(trained), score(trained, hessian_scale="noise")
    shorter = tuple(sigma / math.sqrt(unit.details["perturbed_parameters"]) for sigma in SIGMAS)
    short = score(trained, hessian_scale="noise", sigmas=shorter)
    assert unit.details["losses"] == pytest.approx(short.details["losses"], rel=1e-6)
    assert noise.details["losses"][-1] > unit.details["losses"][-1]
    assert (unit.details["hessian_scale"], noise.details["hessian_scale"]) == ("unit", "noise")


def test_one_eigenvector_leaves_nothing_to_chance(trained: Case):
    one, five = score(trained), score(trained, draws=5)
    assert one == five
    assert five.details["draws"] == 1
    assert one.details["standard_error_noise"] is None
    other = replace(trained, context=replace(trained.context, seed=99))
    assert score(other).value == pytest.approx(one.value, rel=1e-3)


def test_several_eigenvectors_are_mixed_anew_in_every_draw(trained: Case):
    found = score(trained, draws=3, hessian_vectors=3)
    assert found.details["draws"] == 3
    assert found.details["standard_error_noise"] > 0
    assert len(found.details["eigenvalues"]) == 3
    assert found.details["eigenvalues"] == sorted(found.details["eigenvalues"], reverse=True)
    assert found.value != score(trained, draws=3, hessian_vectors=3, noise="independent").value


def test_without_parameters_the_weights_stay(trained: Case):
    found = score(trained, Genotype("tiny", (0, 0)), position="cells")
    clean = measures.get(MeasureConfig(name="loss")).score(trained.supernet, Genotype("tiny", (0, 0)), trained.context)
    assert found.details["losses"] == pytest.approx([-clean.value] * 3)
    assert found.details["perturbed_parameters"] == 0


def test_a_failure_while_weights_are_moved_puts_them_back(trained: Case):
    before = {name: value.clone() for name, value in trained.supernet.state_dict().items()}
    places = [p.data_ptr() for p in trained.supernet.parameters()]

    def fail(module: nn.Module, args: object) -> None:
        if not torch.equal(trained.supernet.head.weight, before["head.weight"]):
            raise RuntimeError("out of memory, say")

    handle = trained.supernet.head.register_forward_pre_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            score(trained)
    finally:
        handle.remove()
    assert all(torch.equal(value, before[name]) for name, value in trained.supernet.state_dict().items())
    assert places == [p.data_ptr() for p in trained.supernet.parameters()]
