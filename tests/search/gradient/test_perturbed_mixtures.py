"""Perturbed mixtures, and the curvature that ends a search."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lowland.search.gradient import perturbation, spectrum

SIZE = (2, 5, 4)


def weights() -> Tensor:
    return torch.rand(SIZE, generator=torch.Generator().manual_seed(0)).softmax(-1)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def loss(given: Tensor) -> Tensor:
    """A bumpy one, so that its gradient changes sign."""
    return (torch.sin(9 * given) * torch.arange(4.0)).sum()


LIVE = torch.ones(SIZE, dtype=torch.bool)


@pytest.mark.parametrize("epsilon", [0.01, 0.1, 0.3])
def test_both_perturbations_stay_within_their_box(epsilon: float) -> None:
    for found in (
        perturbation.uniform(weights(), LIVE, epsilon, generator()),
        perturbation.adversarial(weights(), LIVE, epsilon, generator(), loss),
    ):
        assert 0 < (found - weights()).abs().max() <= epsilon + 1e-6


@pytest.mark.parametrize("epsilon", [0.01, 0.1, 0.3])
def test_the_adversary_never_lowers_the_loss_and_beats_chance(epsilon: float) -> None:
    found = perturbation.adversarial(weights(), LIVE, epsilon, generator(), loss)
    assert loss(found) >= loss(weights())
    assert loss(found) > loss(perturbation.uniform(weights(), LIVE, epsilon, generator()))


def test_an_ascent_that_lowers_the_loss_is_undone() -> None:
    start = weights()
    spike = lambda given: -1e3 * (given - start).abs().sum()  # noqa: E731  # every move hurts
    assert torch.equal(perturbation.adversarial(start, LIVE, 0.1, generator(), spike), start)


def test_what_is_no_choice_stays_out() -> None:
    live = LIVE.clone()
    live[..., 0] = False
    start = weights() * live
    for found in (
        perturbation.uniform(start, live, 0.2, generator()),
        perturbation.adversarial(start, live, 0.2, generator(), loss),
    ):
        assert not found[..., 0].any()


def test_projected_weights_are_shares_and_may_leave_the_box() -> None:
    found = perturbation.projected(torch.tensor([[[0.9, 0.3, -0.2]], [[-0.1, -0.2, -0.3]]]))
    assert torch.allclose(found[0], torch.tensor([[0.75, 0.25, 0.0]]))
    assert not found[1].any()
    edge = torch.tensor([[[0.25, 0.25, 0.25, 0.25]]])
    moved = perturbation.projected(edge + 0.3 * torch.tensor([1.0, -1.0, -1.0, -1.0]))
    assert (moved - edge).abs().max() > 0.3


def test_the_radius_grows_over_the_epochs() -> None:
    assert perturbation.radius(0, 0.03, 0.3) == pytest.approx(0.03)
    assert perturbation.radius(0.5, 0.03, 0.3) == pytest.approx(0.165)


def test_dominant_eigenvalue_of_a_known_spectrum() -> None:
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=generator(), dtype=torch.float64))[0]
    spectrum_of = torch.tensor([-7.0, -1.0, 0.5, 1.0, 2.0, 3.5], dtype=torch.float64)
    hessian = rotation @ torch.diag(spectrum_of) @ rotation.T
    point = torch.randn(2, 3, generator=generator(), dtype=torch.float64, requires_grad=True)
    before = point.detach().clone()
    found = spectrum.dominant_eigenvalue(lambda: [(hessian @ point.flatten()).view(2, 3)], [point])
    assert found == pytest.approx(3.5)
    assert torch.equal(point.detach(), before)


@pytest.mark.parametrize(("jump", "stops"), [(1.31, True), (1.29, False)])
def test_a_jump_of_the_mean_ends_the_search(jump: float, stops: bool) -> None:
    """The genotype returned is twelve epochs old when that is known."""
    readings = [jump ** (place / spectrum.LAG) for place in range(14)]  # each mean is `jump` times that four before
    found = {count: spectrum.stopped_at(readings[:count]) for count in range(1, len(readings) + 1)}
    ends = [(count, epoch) for count, epoch in found.items() if epoch is not None]
    assert bool(ends) == stops
    for count, epoch in ends:
        assert epoch == spectrum.EVERY * (count - 1) - 12


def test_no_search_returns_a_genotype_of_its_first_ten_epochs() -> None:
    readings = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0]
    assert [spectrum.stopped_at(readings[:count]) for count in range(1, 12)] == [None] * 11
    assert spectrum.stopped_at(readings) == 10
