"""Muon: orthogonal steps for kernels, SGD for the rest."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lowland.core.errors import ConfigError
from lowland.core.recipe import OptimizationConfig
from lowland.core.settings import section
from lowland.training.muon import Muon, sgd
from lowland.training.optimization import optimizer


def recipe(**settings: object) -> OptimizationConfig:
    return section(OptimizationConfig, {"optimizer": "muon", "learning_rate": 0.4} | settings)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),  # of grey images: one input channel
        nn.Conv2d(4, 6, 3, bias=False),
        nn.BatchNorm2d(6),
        nn.Conv2d(6, 6, 3, groups=6),  # depthwise
        nn.Conv2d(6, 3, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3, 2),
    )


def learn(model: nn.Module, engine: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        x_NCHW = torch.randn(5, 1, 9, 9, generator=torch.Generator().manual_seed(step))
        model(x_NCHW).square().mean().backward()
        engine.step()
        engine.zero_grad(set_to_none=True)


def gradients(model: nn.Module) -> None:
    for place, parameter in enumerate(model.parameters()):
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(place))


def test_kernels_move_by_a_nearly_orthogonal_step_of_one_size() -> None:
    model = network()
    engine = optimizer(model, recipe(muon_learning_rate=0.1, muon_weight_decay=0.0))
    assert isinstance(engine, Muon)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    gradients(model)
    model[1].weight.grad *= 1e-4  # how large a gradient is says nothing
    engine.step()
    moved = {name: (before[name] - value.detach()) for name, value in model.named_parameters()}
    for name in ("1.weight", "4.weight"):
        rows, columns = len(moved[name]), moved[name][0].numel()
        values = torch.linalg.svdvals(moved[name].reshape(rows, -1)) / max(1, rows / columns) ** 0.5
        assert ((values > 0.05) & (values < 0.13)).all(), (name, values)


def test_all_else_moves_as_by_sgd() -> None:
    """Also depthwise kernels and those on one channel, which are no matrices of channels."""
    ours, theirs = network(), network()
    settings = recipe(nesterov=True, weight_decay=0.01)
    engine, plain = optimizer(ours, settings), sgd(list(theirs.parameters()), settings)
    for _ in range(2):
        for model in (ours, theirs):
            gradients(model)
        engine.step()
        plain.step()
    same = {
        name: torch.equal(value, other)
        for (name, value), other in zip(ours.named_parameters(), theirs.parameters(), strict=True)
    }
    assert [name for name, equal in same.items() if not equal] == ["1.weight", "4.weight"]


def test_both_follow_the_schedule() -> None:
    """At a rate of nothing, set from outside as the loop does, nothing moves; at half of it kernels move by half."""
    distances = []
    for rate in (0.0, 0.2, 0.4):
        model = network()
        engine = optimizer(model, recipe(muon_weight_decay=0.0, weight_decay=0.0))
        before = [value.detach().clone() for value in model.parameters()]
        gradients(model)
        for group in engine.param_groups:
            group["lr"] = rate
        engine.step()
        distances.append([float((a - b.detach()).norm()) for a, b in zip(before, model.parameters(), strict=True)])
    assert distances[0] == [0.0] * len(distances[0])
    assert distances[1] == pytest.approx([each / 2 for each in distances[2]], rel=1e-3)


def test_decay_of_kernels_is_decoupled() -> None:
    model = network()
    engine = optimizer(model, recipe(muon_learning_rate=0.1, muon_weight_decay=0.5))
    before = model[4].weight.detach().clone()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    engine.step()
    assert torch.allclose(model[4].weight, before * 0.95)


def test_weights_without_a_gradient_stay() -> None:
    model = network()
    engine = optimizer(model, recipe())
    before = model[1].weight.detach().clone()
    gradients(model)
    model[1].weight.grad = None
    engine.step()
    assert torch.equal(model[1].weight, before)
    assert model[1].weight not in engine.state


@pytest.mark.parametrize("layer", [nn.Linear(3, 2), nn.Conv2d(2, 2, 3, bias=False)])
def test_a_network_of_one_kind_alone(layer: nn.Module) -> None:
    gradients(layer)
    before = [value.detach().clone() for value in layer.parameters()]
    optimizer(layer, recipe()).step()
    assert not any(torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))


def test_it_learns() -> None:
    model = network()
    x_NCHW = torch.randn(5, 1, 9, 9)
    first = float(model(x_NCHW).detach().square().mean())
    learn(model, optimizer(model, recipe(learning_rate=0.05)), 20)
    assert float(model(x_NCHW).detach().square().mean()) < first


@pytest.mark.parametrize("name", ["muon_learning_rate", "muon_weight_decay"])
def test_its_settings_with_another_optimiser_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} needs optimizer=muon, and it is sgd"):
        recipe(optimizer="sgd", **{name: 0.01})
    recipe(optimizer="muon+asam", **{name: 0.01})
