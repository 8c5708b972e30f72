"""The norm of the Jacobian, held against the exact one of a small network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lowland.search.gradient.jacobian import squared_jacobian


def test_the_mean_over_directions_is_the_exact_norm() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(12, 7), torch.randn(7, 4)
    x_NCHW = torch.randn(3, 1, 3, 4)

    def logits(x: Tensor) -> Tensor:
        return torch.tanh(x.flatten(1) @ first) @ second

    exact = [torch.autograd.functional.jacobian(logits, x[None]).pow(2).sum() for x in x_NCHW]
    estimates = torch.stack([squared_jacobian(logits, x_NCHW, seed) for seed in range(2000)]).detach()
    error = float(estimates.std() / len(estimates) ** 0.5)
    assert float(estimates.mean()) == pytest.approx(float(torch.stack(exact).mean()), abs=4 * error)
    assert torch.equal(squared_jacobian(logits, x_NCHW, 5), squared_jacobian(logits, x_NCHW, 5))


def test_gradients_reach_what_the_outputs_depend_on() -> None:
    """‖∂(a·x)/∂x‖² = a²·K for K outputs of one number each: its derivative in a is 2aK."""
    a = torch.tensor(3.0, requires_grad=True)
    found = squared_jacobian(lambda x: a * x.flatten(1), torch.ones(2, 1, 1, 1), 0)
    found.backward()
    assert float(found.detach()) == pytest.approx(9.0)
    assert a.grad is not None
    assert float(a.grad) == pytest.approx(6.0)
