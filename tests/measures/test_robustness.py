"""FlatNAS's robustness: the formula, a brute-force oracle, its standard error and the bias of the absolute value."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.core.genotype import Genotype
from lowland.core.seeds import torch_generator
from lowland.measures import Score
from lowland.measures.noise.robustness import Robustness, estimate_robustness
from lowland.spaces import is_searched
from lowland.testing.tiny import Case, case, measure_config


@pytest.fixture(scope="module")
def trained() -> Case:
    return case()


def score(case: Case, genotype: Genotype | None = None, **options: object) -> Score:
    config = measure_config("robustness", **{"sigma": 0.4, "draws": 6, **options})
    return measures.get(config).score(case.supernet, genotype or case.genotypes[0], case.context)


def test_the_formula_by_hand():
    """Four images, of which 3 are right; draws give 2, 4 and 3 right: changes of 25, −25 and 0 points."""
    clean = np.array([1.0, 1, 1, 0])
    under_noise = np.array([[[1.0, 1, 0, 0]], [[1, 1, 1, 1]], [[1, 1, 0, 1]]])
    found = estimate_robustness(clean, under_noise)
    assert found.value == pytest.approx(50 / 3)
    assert found.error == 25.0
    assert found.accuracies_KS.tolist() == [[50.0], [100.0], [75.0]]
    assert found.noise_se == pytest.approx(np.std([25, 25, 0], ddof=1) / np.sqrt(3))
    # Draw 1: image 3 lost; draw 2: image 4 won, counted with its sign; draw 3 changes nothing in sum.
    assert found.influence_N == pytest.approx(np.array([-50, -50, 50, 50]) / 3)
    mirrored = estimate_robustness(clean, np.concatenate([under_noise[:1], under_noise[1:2]], axis=1))
    assert mirrored.value == pytest.approx(25.0)
    assert mirrored.noise_se is None


def oracle(case: Case, genotype: Genotype, config: MeasureConfig) -> list[float]:
    """Accuracies in percent by copying the supernet for every draw."""
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
    keys = () if config.noise == "shared" else (case.space.key(genotype),)
    x = torch.cat([x for x, _ in case.context.scored])
    labels = torch.cat([labels for _, labels in case.context.scored])
    on_path = set(case.supernet.inherited(genotype).values())
    own = Robustness(config).options
    found = []
    for draw in range(-1, own.draws):
        for sign in (1, -1) if config.antithetic and draw >= 0 else (1,):
            moved = copy.deepcopy(base)
            with torch.no_grad():
                for name, p in moved.named_parameters():
                    if draw >= 0 and name in on_path and (config.position == "all" or is_searched(name)):
                        generator = torch_generator(case.context.seed, "noise", draw, 0, *keys, name)
                        z = torch.randn(p.shape, generator=generator).double()
                        p *= 1 + sign * own.sigma * z
                found.append(100 * float((moved(x, genotype).argmax(1) == labels).double().mean()))
    return found


@pytest.mark.parametrize("options", [{}, {"position": "cells"}, {"noise": "independent"}, {"antithetic": True}])
def test_score_equals_the_brute_force_oracle(trained: Case, options: dict[str, object]):
    config = measure_config("robustness", sigma=0.4, draws=6, **options)
    for genotype in trained.genotypes[:2]:
        found = score(trained, genotype, **options)
        clean, *noisy = oracle(trained, genotype, config)
        assert found.value == pytest.approx(-np.mean([abs(clean - each) for each in noisy]))
        assert found.details["robustness"] == -found.value
        assert found.details["accuracies_percent"] == pytest.approx(noisy)
        assert found.details["accuracy_percent"] == pytest.approx(clean)
        assert found.details["error_percent"] == pytest.approx(100 - clean)
        assert found.details["robustness_standard_error"] == pytest.approx(found.standard_error)
        assert {key: found.details[key] for key in ("sigma", "draws", "images")} == {
            "sigma": 0.4,
            "draws": 6,
            "images": 60,
        }


def test_noise_grows_with_sigma_and_vanishes_with_it(trained: Case):
    found = [-score(trained, sigma=sigma).value for sigma in (1e-6, 0.1, 1.0)]
    assert found[0] == 0.0
    assert found[0] < found[1] < found[2]


def simulate(rng: np.random.Generator, draws: int, images: int, change: float, spread: float) -> tuple:
    """Clean and noisy correctness where draw k loses a share c_k of the images right, and flips some at random."""
    clean = (rng.random(images) < 0.8).astype(float)
    lost = np.clip(change + spread * rng.standard_normal(draws), 0.0, 1.0)
    noisy = clean * (rng.random((draws, images)) >= lost[:, None])
    return clean, noisy[:, None, :]


def test_standard_error_covers():
    rng = np.random.default_rng(0)
    found = [estimate_robustness(*simulate(rng, 10, 300, 0.25, 0.05)) for _ in range(500)]
    values = np.array([each.value for each in found])
    errors = np.array([np.hypot(np.linalg.norm(each.influence_N) / 300, each.noise_se) for each in found])
    covered = np.mean(np.abs(values - 20.0) < 1.96 * errors)
    assert 0.93 <= covered <= 0.99
    # The sum counts the draws' binomial part twice, which errs on the side of caution.
    assert 1.0 < np.sqrt(np.mean(errors**2)) / values.std() < 1.3


def test_absolute_value_is_biased_by_the_sampling_error_of_images():
    """As many images are lost as won: R is 0, its estimate the mean of a folded normal, whatever the draws."""
    rng = np.random.default_rng(0)
    images, flips = 400, 0.1
    found = []
    for _ in range(200):
        clean = (rng.random(images) < 0.5).astype(float)
        noisy = np.where(rng.random((20, images)) < flips, 1 - clean, clean)
        found.append(estimate_robustness(clean, noisy[:, None, :]).value)
    assert np.mean(found) == pytest.approx(np.sqrt(2 / np.pi) * 100 * np.sqrt(flips / images), rel=0.05)
