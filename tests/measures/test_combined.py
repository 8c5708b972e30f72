"""Sums of measures (Eq. 5)."""

from __future__ import annotations

import math
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch

from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.core.errors import ConfigError
from lowland.measures import Score, calibrated_subnet
from lowland.testing.tiny import Case, case, measure_config


@pytest.fixture(scope="module")
def trained() -> Case:
    return case()


def score(case: Case, name: str, **options: object) -> Score:
    config = measure_config(name, **options)
    return measures.get(config).score(case.supernet, case.genotypes[0], case.context)


def test_angle_plus_flatness_is_equation_5(trained: Case):
    total = score(trained, "angle+flatness")
    angle, flat = score(trained, "angle"), score(trained, "flatness")
    assert total.value == pytest.approx(angle.value / math.pi + 16 * flat.value / 2e-3)
    assert total.standard_error == pytest.approx(16 / 2e-3 * flat.standard_error)
    assert total.details["flatness"]["losses"] == flat.details["losses"]
    assert total.details["angle"]["value"] == angle.value


def test_gamma_and_beta(trained: Case):
    assert score(trained, "accuracy+flatness", gamma=0).value == score(trained, "accuracy").value
    flat = score(trained, "flatness").value
    total = score(trained, "accuracy+flatness", gamma=2, beta=5)
    assert total.value == pytest.approx(score(trained, "accuracy").value + 2 * 5 * flat)
    assert measures.get(measure_config("flatness", sigmas=(1e-3, 3e-3, 6e-3), gamma=1.5)).weight == pytest.approx(1500)


def test_sums_without_flatness(trained: Case):
    accuracy, angle, loss = (score(trained, name) for name in ("accuracy", "angle", "loss"))
    total = score(trained, "accuracy + angle")
    assert total.value == pytest.approx(accuracy.value + angle.value / math.pi)
    assert total.standard_error == pytest.approx(accuracy.standard_error)
    assert score(trained, "loss+angle").value == pytest.approx(loss.value + angle.value / math.pi)


def test_parts_that_share_images_share_their_covariance(trained: Case):
    """accuracy + loss has the standard error of the per-image sum, not the root sum of squares."""
    with calibrated_subnet(trained.supernet, trained.genotypes[0], trained.context, MeasureConfig()) as path:
        both = path.clean.correct_N - path.clean.losses_N
    total = score(trained, "accuracy+loss")
    assert total.value == pytest.approx(both.mean())
    assert total.standard_error == pytest.approx(both.std() / math.sqrt(len(both)))
    apart = np.hypot(score(trained, "accuracy").standard_error, score(trained, "loss").standard_error)
    assert total.standard_error > 1.05 * apart


def test_flatness_on_few_images_adds_up_with_accuracy_on_all(trained: Case):
    few = [(x_NCHW[:7], labels_N[:7]) for x_NCHW, labels_N in trained.context.scored[:1]]
    measure = measures.get(MeasureConfig(name="flatness"))
    wanted = measure.score(trained.supernet, trained.genotypes[0], replace(trained.context, scored=few))
    flat = score(trained, "flatness", noise_images=7)
    assert (flat.value, flat.details["images"]) == (wanted.value, 7)
    assert flat.standard_error == pytest.approx(wanted.standard_error)
    accuracy, total = score(trained, "accuracy"), score(trained, "accuracy+flatness", gamma=2, beta=5, noise_images=7)
    assert total.value == pytest.approx(accuracy.value + 10 * flat.value)
    assert len(total.influence_N) == len(flat.influence_N) == len(accuracy.influence_N) > 7
    together_N = accuracy.influence_N + 10 * flat.influence_N
    assert total.standard_error == pytest.approx(np.linalg.norm(together_N) / len(together_N))


def test_calibrates_once_and_runs_no_pass_twice(trained: Case):
    images = 0
    forward = type(trained.supernet).forward

    def counted(self: torch.nn.Module, x: torch.Tensor, path: object) -> torch.Tensor:
        nonlocal images
        images += len(x)
        return forward(self, x, path)

    with mock.patch.object(type(trained.supernet), "forward", counted):
        score(trained, "angle+accuracy+loss+flatness")
    assert images == 48 + (1 + 3) * 60


def test_names(trained: Case):
    assert measures.get(MeasureConfig(name=" accuracy +flatness")).name == "accuracy+flatness"
    with pytest.raises(ConfigError, match="names a measure twice"):
        measures.get(MeasureConfig(name="flatness+flatness"))
    with pytest.raises(ConfigError, match=r"unknown measure 'sharpness'.*known measures: accuracy, .*flatness"):
        measures.get(MeasureConfig(name="angle+sharpness"))
