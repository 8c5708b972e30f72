"""Training speed: the loss of the last half of the steps, by a loop written out, and a higher one for a worse start."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.core.errors import DataError
from lowland.core.seeds import torch_generator
from lowland.measures import Score
from lowland.spaces import NetworkOptions, inherit
from lowland.testing.tiny import Case, case, measure_config

STEPS, BATCH, RATE = 7, 16, 0.05


@pytest.fixture(scope="module")
def shared() -> Case:
    return case("nasbench201", torch.float32)


def score(shared: Case, **settings: object) -> Score:
    chosen = {"steps": STEPS, "batch": BATCH, "learning_rate": RATE}
    config = measure_config("training_speed", **{**chosen, **settings})
    return measures.get(config).score(shared.supernet, shared.genotypes[0], shared.context)


def written_out(shared: Case) -> list[float]:
    """The losses of plain SGD with Nesterov momentum, w ← w − η (g + μ v) with v ← μ v + g."""
    genotype, supernet = shared.genotypes[0], shared.supernet
    network = shared.context.space.network(genotype, supernet.shape, NetworkOptions(like_supernet=True))
    inherit(supernet, network, genotype)
    network.train()
    images = torch.cat([x for x, _ in shared.context.calibration])
    labels = torch.cat([y for _, y in shared.context.calibration])
    velocity = [torch.zeros_like(p) for p in network.parameters()]
    orders = [
        torch.randperm(len(labels), generator=torch_generator(shared.context.seed, "training speed", passed))
        for passed in range(STEPS)
    ]
    batches = [chosen for order in orders for chosen in order.split(BATCH) if len(chosen) == BATCH]
    losses = []
    for chosen in batches[:STEPS]:
        loss = nn.functional.cross_entropy(network(images[chosen]), labels[chosen])
        gradients: tuple[Tensor, ...] = torch.autograd.grad(loss, list(network.parameters()))
        norm = torch.stack([g.norm() for g in gradients]).norm()
        scale = min(1.0, 5.0 / float(norm + 1e-6))
        for p, v, g in zip(network.parameters(), velocity, gradients, strict=True):
            v.mul_(0.9).add_(scale * g)
            p.data -= RATE * (scale * g + 0.9 * v)
        losses.append(float(loss.detach()))
    return losses


def test_is_minus_the_mean_loss_of_the_last_half_of_the_steps(shared: Case) -> None:
    late = torch.tensor(written_out(shared)[STEPS // 2 :], dtype=torch.float64)
    found = score(shared)
    assert found.value == pytest.approx(-float(late.mean()), rel=1e-4)
    assert found.standard_error == pytest.approx(float(late.std()) / math.sqrt(len(late)), rel=1e-3)
    assert found.details["steps"] == STEPS


def test_the_supernet_and_the_random_state_stay_as_they_are(shared: Case) -> None:
    before = {name: value.clone() for name, value in shared.supernet.state_dict().items()}
    state = torch.get_rng_state()
    first = score(shared)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in shared.supernet.state_dict().items())
    assert score(shared) == first


def test_a_trained_start_beats_a_ruined_one(shared: Case) -> None:
    ruined = case("nasbench201", torch.float32, steps=0)
    assert score(shared).value > score(ruined).value


def test_one_step_has_no_standard_error_and_more_images_than_there_are_are_no_fault(shared: Case) -> None:
    assert score(shared, steps=1).standard_error is None
    assert math.isfinite(score(shared, batch=100_000).value)


def test_training_images_are_needed_and_losses_must_be_finite(shared: Case) -> None:
    with pytest.raises(DataError, match="no training images"):
        measures.get(MeasureConfig(name="training_speed")).score(
            shared.supernet, shared.genotypes[0], replace(shared.context, calibration=[])
        )
    x_NCHW, labels_N = shared.context.calibration[0]
    spoilt = replace(shared.context, calibration=[(x_NCHW * float("inf"), labels_N)])
    with pytest.raises(ValueError, match="not finite after 0 steps"):
        measures.get(MeasureConfig(name="training_speed")).score(shared.supernet, shared.genotypes[0], spoilt)
