"""Calibration: the Brier score, temperatures, reliability by bin, and what is said of images that were learned from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from sklearn.metrics import brier_score_loss
from torch.nn import functional as F

from lowland.core.config import Config
from lowland.core.errors import DataError
from lowland.data import Subset
from lowland.evaluation.calibration import Calibration, CalibrationSuite, fitted_temperature
from lowland.evaluation.classification import classification
from lowland.evaluation.reliability import Reliability
from published_sets import Reader, context_of, imagenet_data


def made_up(seed: int, n: int = 400, k: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(k, (n,), generator=generator)
    return torch.randn(n, k, generator=generator) + 1.5 * F.one_hot(labels, k), labels


def test_brier_score_equals_sklearns() -> None:
    logits, labels = made_up(0)
    found = Calibration.of(logits, labels)
    theirs = brier_score_loss(labels.numpy(), logits.double().softmax(dim=1).numpy(), scale_by_half=False)
    assert found.brier.value == pytest.approx(theirs)


def test_the_bins_make_up_the_calibration_error() -> None:
    logits, labels = made_up(1)
    found = Reliability.of(logits, labels)
    gaps = zip(found.n, found.accuracy, found.confidence, strict=True)
    ece = sum(n * abs(accuracy - confidence) for n, accuracy, confidence in gaps) / sum(found.n)
    assert ece == pytest.approx(classification(logits, labels)["ece"], abs=1e-3)
    assert sum(found.n) == len(labels)


@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
def test_a_temperature_undoes_a_factor(factor: float) -> None:
    logits, labels = made_up(2)
    plain = fitted_temperature(logits, labels)
    assert fitted_temperature(factor * logits, labels) == pytest.approx(factor * plain, rel=1e-5)
    at = [F.cross_entropy(logits.double() / (plain * near), labels) for near in (0.99, 1.0, 1.01)]
    assert at[1] < min(at[0], at[2])


def test_a_network_that_is_never_wrong_gets_the_lowest_temperature() -> None:
    labels = torch.arange(4)
    assert fitted_temperature(F.one_hot(labels, 4).float(), labels) == pytest.approx(0.05, rel=1e-3)


def test_images_that_were_learned_from_are_said() -> None:
    labels = [1, 2, 3]
    of = CalibrationSuite(CalibrationSuite.Config())
    for learned, words in ((True, "include_search_split=false"), (False, "have not been trained on")):
        context = replace(context_of(imagenet_data(labels)), learned_search=learned)
        found = of.run({"1": Reader(labels)}, context)
        assert words in of.section(found).tables[0].note
        assert found.fitted_on == 9


def test_no_search_images_are_refused() -> None:
    data = imagenet_data([1, 2])
    none = replace(data, search=Subset(data.search, torch.arange(0)))
    with pytest.raises(DataError, match="fits a temperature on search images"):
        CalibrationSuite(CalibrationSuite.Config()).require(Config(), none)
