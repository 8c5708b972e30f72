"""Flatness: the formula, a float64 brute-force oracle, and the honesty of its standard error."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.core.seeds import torch_generator
from lowland.measures.noise.flatness import (
    Flatness,
    estimate_flatness,
    flatness_gradient,
    flatness_parts,
    flatness_value,
)
from lowland.spaces import is_searched
from lowland.testing.tiny import Case, case, measure_config

NB201, DARTS = (2e-3, 1e-2, 2e-2), (1e-3, 3e-3, 6e-3)


@pytest.fixture(scope="module")
def trained() -> Case:
    return case()


def test_equations_3_and_4_by_hand():
    losses, sigmas = (1.0, 2.0, 1.5), (0.1, 0.3, 0.4)
    assert flatness_parts(losses, sigmas) == pytest.approx((5 + 5, 10))
    assert flatness_value(losses, sigmas, 0.0) == pytest.approx(1 / 10)
    assert flatness_value(losses, sigmas, 1.0) == pytest.approx(1 / 20)
    assert flatness_value(losses, sigmas, 0.5) == pytest.approx(1 / 15)


@pytest.mark.parametrize(("sigmas", "weights"), [(NB201, (0.75, 0.05, 0.20)), (DARTS, (0.5, 1 / 6, 1 / 3))])
@given(st.floats(0.01, 3), st.floats(0, 2), st.floats(0, 2))
def test_weighted_loss_identity(
    sigmas: tuple[float, ...], weights: tuple[float, ...], first: float, second: float, third: float
):
    """With α = 1 and rising losses β·F = 1/(weighted sum of losses)."""
    losses = np.cumsum([first, second, third])
    assert flatness_value(losses, sigmas, 1.0) / sigmas[0] == pytest.approx(1 / float(weights @ losses))


@given(
    st.lists(st.floats(0.1, 5), min_size=3, max_size=3).filter(lambda v: min(abs(np.diff(v))) > 1e-2),
    st.floats(0, 4),
)
def test_gradient_matches_finite_differences(losses: list[float], alpha: float):
    step, gradient = 1e-6, flatness_gradient(losses, NB201, alpha)
    for i in range(3):
        up, down = np.array(losses), np.array(losses)
        up[i] += step
        down[i] -= step
        numeric = (flatness_value(up, NB201, alpha) - flatness_value(down, NB201, alpha)) / (2 * step)
        assert gradient[i] == pytest.approx(numeric, rel=1e-3, abs=1e-9)


def test_infinite_flatness_is_refused():
    with pytest.raises(ValueError, match="flatness is infinite"):
        flatness_value((1.0, 1.0), (0.1, 0.2), 0.0)
    assert flatness_value((1.0, 1.0), (0.1, 0.2), 1.0) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="flatness is infinite"):
        estimate_flatness(np.full((2, 2, 5), 3.0), (0.1, 0.2), 0.0)


def brute_force(case: Case, genotype: measures.measure.Genotype, config: MeasureConfig) -> np.ndarray:
    """Mean losses (draws, levels) by copying the supernet for every perturbation and adding noise step by step."""
    base = copy.deepcopy(case.supernet).eval()
    for module in base.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.train()
            module.momentum = None
    with torch.no_grad():
        for x, _ in case.context.calibration:
            base(x, genotype)
    base.eval()
    own = Flatness(config).options
    keys = () if config.noise == "shared" else (case.space.key(genotype),)
    x = torch.cat([x for x, _ in case.context.scored])
    labels = torch.cat([labels for _, labels in case.context.scored])
    on_path = set(case.supernet.inherited(genotype).values())
    found = np.zeros((config.draws, len(own.sigmas)))
    for draw in range(config.draws):
        for sign in (1, -1) if config.antithetic else (1,):
            moving = copy.deepcopy(base)
            for level, sigma in enumerate(own.sigmas):
                if own.levels == "absolute":
                    moving, std = copy.deepcopy(base), sigma
                else:
                    std = sigma - (own.sigmas[level - 1] if level else 0.0)
                with torch.no_grad():
                    for name, p in moving.named_parameters():
                        if name in on_path and (config.position == "all" or is_searched(name)):
                            generator = torch_generator(case.context.seed, "noise", draw, level, *keys, name)
                            p += sign * std * torch.randn(p.shape, generator=generator).double()
                    loss = nn.functional.cross_entropy(moving(x, genotype), labels)
                found[draw, level] += float(loss) / (2 if config.antithetic else 1)
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"draws": 2, "antithetic": True},
        {"levels": "incremental"},
        {"levels": "incremental", "draws": 2, "antithetic": True, "alpha": 0.5},
        {"position": "cells"},
        {"noise": "independent", "alpha": 0.0},
        {"sigmas": DARTS},
    ],
)
def test_score_equals_the_brute_force_oracle(trained: Case, options: dict[str, object]):
    config = measure_config("flatness", **{"sigmas": (0.02, 0.1, 0.2), **options})
    own = Flatness(config).options
    for genotype in trained.genotypes:
        score = measures.get(config).score(trained.supernet, genotype, trained.context)
        losses = brute_force(trained, genotype, config).mean(axis=0)
        assert score.details["losses"] == pytest.approx(losses, rel=1e-10)
        assert score.value == pytest.approx(flatness_value(losses, own.sigmas, own.alpha), rel=1e-9)


def test_independent_noise_is_other_noise(trained: Case):
    genotype = trained.genotypes[0]
    shared, own = (
        measures.get(MeasureConfig(name="flatness", noise=noise)).score(trained.supernet, genotype, trained.context)
        for noise in ("shared", "independent")
    )
    assert shared.details["losses"] != own.details["losses"]


def test_measure_reports_one_draw_honestly(trained: Case):
    score = measures.get(MeasureConfig(name="flatness")).score(trained.supernet, trained.genotypes[0], trained.context)
    assert score.details["standard_error_noise"] is None
    assert score.standard_error == pytest.approx(score.details["standard_error_images"])
    two = measures.get(MeasureConfig(name="flatness", draws=2)).score(
        trained.supernet, trained.genotypes[0], trained.context
    )
    parts = two.details["standard_error_images"], two.details["standard_error_noise"]
    assert two.standard_error == pytest.approx(np.hypot(*parts))


def test_non_finite_loss_is_a_one_line_value_error(trained: Case):
    broken = copy.deepcopy(trained.supernet)
    with torch.no_grad():
        broken.head.bias[0] = float("nan")
    with pytest.raises(ValueError, match=r"^loss is not finite at σ = 0\.002$"):
        measures.get(MeasureConfig(name="flatness")).score(broken, trained.genotypes[0], trained.context)


def simulate(rng: np.random.Generator, draws: int, images: int) -> np.ndarray:
    """Per-image losses with an image effect shared by levels, a draw effect per level, and their interaction."""
    mean = np.array([0.5, 0.8, 1.6])
    image = rng.gamma(2.0, 0.5, size=(1, 1, images))
    draw = np.array([0.01, 0.05, 0.1])[None, :, None] * rng.standard_normal((draws, 3, 1))
    return mean[None, :, None] * image + draw + 0.05 * rng.standard_normal((draws, 3, images))


@pytest.mark.parametrize(("draws", "images"), [(12, 400), (12, 60)])
def test_standard_error_covers(draws: int, images: int):
    rng = np.random.default_rng(3)
    truth = flatness_value((0.5, 0.8, 1.6), NB201, 1.0)
    values, errors = [], []
    for _ in range(600):
        found = estimate_flatness(simulate(rng, draws, images), NB201, 1.0)
        values.append(found.value)
        errors.append(np.hypot(found.images_se, found.noise_se))
    covered = np.mean(np.abs(np.array(values) - truth) < 1.96 * np.array(errors))
    assert 0.91 <= covered <= 0.98
    assert float(np.sqrt(np.mean(np.square(errors)))) == pytest.approx(float(np.std(values)), rel=0.12)


def test_images_share_their_covariance_between_levels():
    """A purely multiplicative image effect: F scales as 1/L, so its relative error is that of one mean."""
    rng = np.random.default_rng(0)
    image = rng.gamma(2.0, 0.5, size=500)
    losses = np.array([0.5, 0.8, 1.6])[None, :, None] * image
    found = estimate_flatness(losses, NB201, 1.0)
    relative = image.std() / np.sqrt(500) / image.mean()
    assert found.images_se / found.value == pytest.approx(relative, rel=1e-9)
    assert found.losses_se_T / found.losses_T == pytest.approx([relative] * 3)


def test_order_of_candidates_does_not_matter(trained: Case):
    measure = measures.get(MeasureConfig(name="flatness"))
    forth = [measure.score(trained.supernet, g, trained.context).value for g in trained.genotypes]
    back = [measure.score(trained.supernet, g, trained.context).value for g in reversed(trained.genotypes)]
    assert forth == back[::-1]
    other = replace(trained.context, seed=trained.context.seed + 1)
    assert measure.score(trained.supernet, trained.genotypes[0], other).value != forth[0]
