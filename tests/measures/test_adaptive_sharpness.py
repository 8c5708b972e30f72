"""Average-case adaptive sharpness: its definition with |w| ⊙ z, and that rescaling a network does not change it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.measures import Score, calibrated_subnet
from lowland.measures.curvature.hessian import LossHessian
from lowland.testing.tiny import Case, case, measure_config


@pytest.fixture(scope="module")
def trained() -> Case:
    return case()


def score(case: Case, name: str = "adaptive_sharpness", **options: object) -> Score:
    return measures.get(measure_config(name, **options)).score(case.supernet, case.genotypes[0], case.context)


def test_is_the_mean_rise_of_the_loss_under_noise_of_the_size_of_weights(trained: Case):
    """Another sample of w + σ|w| ⊙ z, drawn here: the same mean within both standard errors."""
    found = score(trained, sigma=0.5, draws=60)
    x = torch.cat([x for x, _ in trained.context.scored])
    labels = torch.cat([labels for _, labels in trained.context.scored])
    generator, rises = torch.Generator().manual_seed(0), []
    with calibrated_subnet(trained.supernet, trained.genotypes[0], trained.context, MeasureConfig()) as path:
        clean = {name: p.detach().clone() for name, p in path.parameters.items()}
        for _ in range(60):
            moved = {n: w + 0.5 * w.abs() * torch.randn(w.shape, generator=generator) for n, w in clean.items()}
            with torch.no_grad():
                logits = torch.func.functional_call(path.supernet, moved, (x, path.genotype))
            rises.append(float(cross_entropy(logits, labels)) - path.clean.loss)
    rises_K = torch.tensor(rises)
    error = float(rises_K.std() / 60**0.5)
    assert error < 0.3 * float(rises_K.mean())
    assert -found.value == pytest.approx(float(rises_K.mean()), abs=3 * 2**0.5 * error)


def test_small_noise_sees_the_curvature_in_proportion_to_weights(trained: Case):
    """Mirrored, S = σ²/2 · (w ⊙ z)ᵀ H (w ⊙ z) for a σ at which no unit changes sides."""
    sigma = 1e-7
    found = score(trained, sigma=sigma, antithetic=True)
    with calibrated_subnet(trained.supernet, trained.genotypes[0], trained.context, MeasureConfig()) as path:
        hessian = LossHessian(path, path.parameters, 60)
        w_P = torch.cat([p.detach().flatten() for p in path.parameters.values()])
        forms_GK, _ = hessian.quadratic_forms((w_P * hessian.vector(0, 0))[None], 1)
    assert -found.value == pytest.approx(sigma**2 / 2 * forms_GK[0, 0], rel=1e-2)


def rescaled(case: Case) -> Case:
    """The same function with every convolution, which batch norm follows, larger by a factor."""
    other = copy.deepcopy(case)
    with torch.no_grad():
        for parameter in other.supernet.parameters():
            if parameter.ndim == 4:
                parameter *= 3.0
    return other


@pytest.mark.parametrize("name", ["adaptive_sharpness", "filter_noise"])
def test_rescaling_what_batch_norm_undoes_changes_nothing(trained: Case, name: str):
    before, after = score(trained, name, draws=3), score(rescaled(trained), name, draws=3)
    assert after.value == pytest.approx(before.value, rel=1e-2)
    plain = [score(each, "perturbed_loss", sigma=0.3, draws=3).value for each in (trained, rescaled(trained))]
    assert plain[1] != pytest.approx(plain[0], rel=1e-2)
