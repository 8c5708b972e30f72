"""Gradients of architecture parameters against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lowland.search.gradient.gradients import WeightStep, first_order, flat, gradient, second_order


def leaf(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64, requires_grad=True)


def step(w: Tensor, rate: float, buffer: Tensor | None = None, momentum: float = 0.9, decay: float = 0.0) -> WeightStep:
    return WeightStep(weights=[w], rate=rate, momentum=momentum, decay=decay, buffers=[buffer])


def test_second_order_of_two_quadratics() -> None:
    """L_tr = ½(w − 2α)², L_val = ½(w − 1)² + ½α², w 0, α ½, ξ .1: g = .32, first order .5."""
    w, alpha = leaf(0.0), leaf(0.5)
    train = lambda: (0.5 * (w - 2 * alpha) ** 2).sum()  # noqa: E731
    validation = lambda: (0.5 * (w - 1) ** 2 + 0.5 * alpha**2).sum()  # noqa: E731
    (found,) = second_order(train, validation, [alpha], step(w, 0.1))
    assert float(found) == pytest.approx(0.32, abs=1e-9)
    assert float(first_order(validation, [alpha])[0]) == pytest.approx(0.5)
    assert (w.item(), alpha.item()) == (0.0, 0.5)


def test_second_order_is_the_gradient_through_the_step_with_momentum_and_decay() -> None:
    """Against autograd through w′(α), on losses that are no quadratics."""
    w, alpha, buffer = leaf(0.3), leaf(0.7), torch.tensor([0.2], dtype=torch.float64)
    rate, momentum, decay = 0.05, 0.9, 3e-2

    def train(w: Tensor = w) -> Tensor:
        return (torch.sin(w * alpha) + w**2 * alpha).sum()

    def validation(w: Tensor = w) -> Tensor:
        return (torch.cos(w + alpha) + w**3).sum()

    (inner,) = torch.autograd.grad(train(), w, create_graph=True)
    (exact,) = torch.autograd.grad(validation(w - rate * (momentum * buffer + inner + decay * w)), alpha)
    (found,) = second_order(train, validation, [alpha], step(w, rate, buffer, momentum, decay))
    assert float(found) == pytest.approx(float(exact), abs=1e-6)


def test_a_validation_loss_without_a_slope_in_the_weights_needs_no_second_pass() -> None:
    w, alpha = leaf(0.0), leaf(0.5)
    (found,) = second_order(lambda: (w * alpha).sum(), lambda: (alpha**2 + 0 * w).sum(), [alpha], step(w, 0.1))
    assert float(found) == pytest.approx(1.0)


def test_flat_gradient_of_a_square() -> None:
    """L = α², α ½, ρ .1: g = 1.44; without the Hessian it would be 1.2, and both places of it agree."""
    alpha = leaf(0.5)
    slope = lambda: gradient((alpha**2).sum(), [alpha])  # noqa: E731
    for at in ("perturbed", "start"):
        (found,) = flat(slope, [alpha], rho=0.1, epsilon=1e-2, at=at)
        assert float(found) == pytest.approx(1.44)
    assert float(flat(slope, [alpha], rho=0.0, epsilon=1e-2)[0]) == 1.0
    assert alpha.item() == 0.5


def test_where_the_flat_gradient_takes_its_hessian() -> None:
    """L = α⁴ is curved unevenly: 12a² at a = α̃ or a = α."""
    alpha, rho = leaf(0.5), 0.1
    ascended = 0.5 + rho * 4 * 0.5**3
    outer = 4 * ascended**3
    for at, place in (("perturbed", ascended), ("start", 0.5)):
        (found,) = flat(lambda: gradient((alpha**4).sum(), [alpha]), [alpha], rho=rho, epsilon=1e-4, at=at)
        assert float(found) == pytest.approx(outer + rho * 12 * place**2 * outer, rel=1e-5)
