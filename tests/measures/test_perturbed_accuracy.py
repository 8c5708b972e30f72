"""The accuracy under relative noise with batch norm by batch, against the definition computed by hand."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from lowland import measures
from lowland.measures import Context, Score
from lowland.measures.perturbation import noise
from lowland.testing.tiny import Case, case, measure_config

SIGMA = 0.4


@pytest.fixture(scope="module")
def trained() -> Case:
    return case("nasbench201")


def score(case: Case, context: Context | None = None, **options: object) -> Score:
    settings: dict[str, object] = {"name": "perturbed_accuracy", "draws": 3} | options
    measure = measures.get(measure_config(**settings))
    return measure.score(case.supernet, case.genotypes[0], context or case.context)


def by_hand(case: Case, draw: int, sign: float = 1.0) -> float:
    """Weights multiplied by 1 + σ z, the supernet in training mode, whose batch norms use the batch."""
    supernet, genotype = copy.deepcopy(case.supernet), case.genotypes[0]
    with torch.no_grad():
        for name, p in supernet.path_parameters(genotype).items():
            p.mul_(1 + sign * SIGMA * noise(name, p, case.context.seed, draw, 0))
        correct = [supernet.train()(x, genotype).argmax(1) == labels for x, labels in case.context.scored]
    return float(torch.cat(correct).double().mean())


def test_is_the_mean_accuracy_of_networks_perturbed_by_hand(trained: Case):
    wanted = [by_hand(trained, draw) for draw in range(3)]
    found = score(trained)
    assert found.details["accuracies"] == pytest.approx(wanted)
    assert found.value == pytest.approx(np.mean(wanted))
    assert found.details["standard_error_noise"] == pytest.approx(np.std(wanted, ddof=1) / np.sqrt(3))


def test_mirrored_draws_are_averaged(trained: Case):
    wanted = [by_hand(trained, 0), by_hand(trained, 0, -1.0)]
    assert score(trained, draws=1, antithetic=True).value == pytest.approx(np.mean(wanted))


def test_needs_no_calibration_and_does_not_disturb_that_of_others(trained: Case):
    alone = score(trained, replace(trained.context, calibration=[]))
    accuracy = score(trained, name="accuracy")
    for name in ("accuracy+perturbed_accuracy", "perturbed_accuracy+accuracy"):
        found = score(trained, name=name)
        assert found.details["perturbed_accuracy"]["value"] == alone.value
        assert found.details["accuracy"]["value"] == accuracy.value


def test_looks_at_the_first_noise_images_only(trained: Case):
    found = score(trained, noise_images=20)
    x = torch.cat([x for x, _ in trained.context.scored])[:20]
    labels = torch.cat([labels for _, labels in trained.context.scored])[:20]
    assert found.details["images"] == 20
    whole = score(trained)
    assert whole.details["images"] == sum(len(labels) for _, labels in trained.context.scored)
    assert found.value == pytest.approx(score(trained, replace(trained.context, scored=[(x, labels)])).value, abs=0.05)


def test_without_noise_it_is_the_accuracy_with_batch_statistics(trained: Case):
    quiet = score(trained, sigma=1e-9, draws=1)
    clean = score(trained, name="accuracy")
    assert quiet.value == pytest.approx(clean.value, abs=0.1)
