"""Sharpness-aware steps against formulas, and everything that must not change between the two passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lowland import spaces
from lowland.core.device import Compute
from lowland.core.errors import ConfigError
from lowland.core.recipe import OptimizationConfig
from lowland.spaces import Shape, Space
from lowland.training.loop import fit
from lowland.training.optimization import pack
from lowland.training.parallel import World
from lowland.training.paths import sampled_path
from lowland.training.sam import RHO, Ascent, ascent, frozen_statistics
from lowland.training.step import Stepper
from lowland.workflow.presets import assemble

from .toy import CPU, InMemory, fit_with_stops, network_job, retrain_recipe, same, supernet_config, supernet_job

H = torch.tensor([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]], dtype=torch.float64)
W = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


class Quadratic(nn.Module):
    """½ wᵀHw, with w held in two parameters; a third one takes no part."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(W[:2].clone())
        self.b = nn.Parameter(W[2:].clone())
        self.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))

    def forward(self) -> Tensor:
        w = torch.cat((self.a, self.b))
        return 0.5 * w @ H @ w

    @property
    def w(self) -> Tensor:
        return torch.cat((self.a, self.b)).detach()


def recipe(**values: Any) -> OptimizationConfig:
    plain = {"learning_rate": 0.1, "momentum": 0.0, "weight_decay": 0.0, "clip": 0.0}
    return OptimizationConfig(**(plain | values))


def climb(w: Tensor, rho: float, adaptive: bool) -> Tensor:
    """w + ε of ½ wᵀHw."""
    gradient = H @ w
    if adaptive:
        return w + rho * w**2 * gradient / ((w.abs() * gradient).norm() + 1e-12)
    return w + rho * gradient / (gradient.norm() + 1e-12)


@pytest.mark.parametrize("rho", [0.05, 0.7])
@pytest.mark.parametrize("adaptive", [False, True])
def test_a_step_on_a_quadratic_is_the_formula(adaptive: bool, rho: float) -> None:
    """w ← w − lr·H(w + ε), over several steps with momentum, weight decay of w (not of w + ε) and clipping."""
    model = Quadratic()
    settings = recipe(
        optimizer="sgd+asam" if adaptive else "sgd+sam", sam_rho=rho, momentum=0.9, weight_decay=0.01, clip=2.0
    )
    stepper = Stepper(model, settings, CPU, World())
    w, velocity = W.clone(), torch.zeros(3, dtype=torch.float64)
    for _ in range(4):
        before = float(0.5 * w @ H @ w)
        gradient = H @ climb(w, rho, adaptive)
        gradient = gradient * min(1.0, 2.0 / float(gradient.norm() + 1e-6)) + 0.01 * w
        velocity = 0.9 * velocity + gradient
        w = w - 0.1 * velocity
        loss = stepper.step(model, 0.1, 0)
        assert float(loss) == pytest.approx(before, rel=1e-6), "the loss told is that at w, not at w + ε"
        # The norms behind ε are taken in fp32.
        assert torch.allclose(model.w, w, rtol=0, atol=1e-6)
    assert model.unused.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_way_back_is_exact(adaptive: bool) -> None:
    model = Quadratic()
    climber = Ascent(model, rho=0.3, adaptive=adaptive)
    model().backward()
    climber.step()
    assert climber.climbed
    assert torch.allclose(model.w, climb(W, 0.3, adaptive), atol=1e-7)
    climber.back()
    assert not climber.climbed
    assert torch.equal(model.w, W)
    assert not any(climber._sam.state.values()), "a copy of the weights stays in memory"


def test_adamw_takes_the_gradient_at_the_top() -> None:
    model, other = Quadratic(), Quadratic()
    stepper = Stepper(model, recipe(optimizer="adamw+sam", sam_rho=0.3, weight_decay=0.02), CPU, World())
    engine = torch.optim.AdamW([other.a, other.b], lr=0.1, weight_decay=0.02)
    for _ in range(3):
        gradient = H @ climb(other.w, 0.3, False)
        other.a.grad, other.b.grad = gradient[:2], gradient[2:]
        engine.step()
        stepper.step(model, 0.1, 0)
    assert torch.allclose(model.w, other.w, atol=1e-6)


def test_defaults_of_the_radius() -> None:
    model = Quadratic()
    for name, rho, adaptive in (("sgd+sam", 0.05, False), ("adamw+asam", 2.0, True)):
        found = ascent(model, recipe(optimizer=name))
        assert found is not None
        group = found._sam.param_groups[0]
        assert (group["rho"], group["adaptive"], found._sam.perturb_eps) == (rho, adaptive, 1e-12)
    assert RHO == {"sam": 0.05, "asam": 2.0}
    assert ascent(model, recipe(optimizer="sgd")) is None


def test_a_radius_without_sam_is_refused() -> None:
    with pytest.raises(ConfigError, match="sam_rho needs a sharpness-aware optimizer such as muon\\+sam"):
        assemble({"retrain": {"sam_rho": 0.1}})


def test_the_state_is_that_of_the_base_optimiser() -> None:
    """So checkpoints hold nothing new."""
    states = []
    for name in ("sgd", "sgd+sam"):
        model = Quadratic()
        stepper = Stepper(model, recipe(optimizer=name, momentum=0.9), CPU, World())
        stepper.step(model, 0.1, 0)
        states.append({label: value.shape for label, value in pack(model, stepper.engine)[0].items()})
    assert states[0] == states[1] != {}


def test_two_passes_a_step_and_no_more() -> None:
    """The cost: forward and backward passes of a step are twice those of the base optimiser."""
    counts = {}
    for name in ("sgd", "sgd+sam"):
        job = network_job(retrain_recipe(optimizer=name))
        seen = {"forward": 0, "backward": 0}

        def forward(*_: Any, seen: dict[str, int] = seen) -> None:
            seen["forward"] += 1

        def backward(*_: Any, seen: dict[str, int] = seen) -> None:
            seen["backward"] += 1

        job.model.register_forward_hook(forward)
        job.model.head.register_full_backward_hook(backward)
        fit(job)
        counts[name] = seen
    assert counts["sgd+sam"] == {key: 2 * value for key, value in counts["sgd"].items()}
    assert counts["sgd"] == {"forward": 6, "backward": 6}


def test_both_passes_see_the_same_dropout() -> None:
    drops: list[Tensor] = []

    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(64, 10)

        def forward(self, x_NCHW: Tensor) -> Tensor:
            mask = nn.functional.dropout(torch.ones(len(x_NCHW), 64), 0.5)
            drops.append(mask)
            return self.linear(x_NCHW.flatten(1) * mask)

    job = network_job(retrain_recipe(optimizer="sgd+sam"))
    model = Dropping()
    fit(replace(job, model=model, loss=lambda m, x, y, step: nn.functional.cross_entropy(m(x), y)))
    assert len(drops) == 12
    for first, second in zip(drops[::2], drops[1::2], strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(drops[0], drops[2])


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_tell_of_the_first_pass_only(momentum: float | None) -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3, momentum=momentum), nn.Flatten(), nn.LazyLinear(2))
    x_NCHW = torch.randn(8, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    model(x_NCHW)
    model[1].reset_running_stats()
    seen: list[dict[str, Tensor]] = []

    def loss() -> Tensor:
        value = model(x_NCHW).square().mean()
        seen.append({name: b.clone() for name, b in model.named_buffers()})
        return value

    Stepper(model, recipe(optimizer="sgd+asam"), CPU, World()).step(loss, 0.1, 0)
    assert len(seen) == 2
    assert same(seen[0], dict(model.named_buffers()))
    assert int(model[1].num_batches_tracked) == 1
    assert model[1].track_running_stats
    assert model[1].momentum == momentum


def small(space: Space) -> Shape:
    return Shape(in_channels=1, image_size=28, num_classes=3, channels=4, cells=1)


@pytest.mark.parametrize("name", spaces.registered())
def test_supernets_of_every_space_keep_their_statistics_in_the_second_pass(name: str) -> None:
    """Also where a space has batch norms of its own kind."""
    space = spaces.get(name)
    torch.manual_seed(0)
    supernet = space.supernet(small(space)).train()
    path = sampled_path(space, supernet_config(space=name), supernet.num_cells, 0)
    x_NCHW = torch.randn(2, 1, 28, 28)
    before = {key: value.clone() for key, value in supernet.named_buffers()}
    with frozen_statistics(supernet):
        supernet(x_NCHW, path)
    assert same(before, dict(supernet.named_buffers()))
    supernet(x_NCHW, path)
    assert not same(before, dict(supernet.named_buffers()))


def test_operations_not_sampled_stay_untouched() -> None:
    config = supernet_config(epochs=1, batch_size=48, optimizer="sgd+asam", weight_decay=0.01)
    before = {name: value.clone() for name, value in supernet_job(config).model.named_parameters()}
    task = supernet_job(config)
    fit(task)
    model = task.model
    path = set(model.inherited(sampled_path(spaces.get(config.space), config, model.num_cells, 0)).values())
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed
    assert changed <= path


@pytest.mark.parametrize(
    ("name", "zero_grad"),
    [("sgd+sam", "none"), ("sgd+asam", "zeros"), ("muon+sam", "zeros"), ("adamw+sam", "none"), ("adamw+asam", "zeros")],
)
def test_a_stop_after_any_step_changes_nothing(name: str, zero_grad: str) -> None:
    def make() -> Any:
        return supernet_job(
            supernet_config(optimizer=name, zero_grad=zero_grad, weight_decay=0.01, learning_rate=0.01, ema=0.5)
        )

    whole = make()
    losses = fit(whole).loss
    resumed, history = fit_with_stops(make, InMemory(), (1, 2, 4))
    assert same(resumed, whole.model.state_dict())
    assert history.loss == losses


FP16 = Compute(device=torch.device("cpu"), autocast_dtype=torch.float16)


@pytest.mark.parametrize("bad", ["neither", "first", "second"])
def test_an_overflow_in_either_pass_leaves_the_step_out(bad: str) -> None:
    """With loss scaling: the weights stay, the scale is halved once, and the optimiser has learned nothing."""
    model = Quadratic()
    stepper = Stepper(model, recipe(optimizer="sgd+sam", sam_rho=0.3, momentum=0.9, clip=1.0), FP16, World())
    passes = 0

    def loss() -> Tensor:
        nonlocal passes
        passes += 1
        overflows = {"first": passes == 1, "second": passes == 2, "neither": False}[bad]
        return model() * (float("inf") if overflows else 1.0)

    scale = stepper.scaler.get_scale()
    stepper.step(loss, 0.1, 0)
    assert passes == (1 if bad == "first" else 2)
    assert all(p.grad is None for p in model.parameters())
    if bad == "neither":
        expected = Quadratic()
        Stepper(expected, recipe(optimizer="sgd+sam", sam_rho=0.3, momentum=0.9, clip=1.0), CPU, World()).step(
            expected, 0.1, 0
        )
        assert torch.allclose(model.w, expected.w, atol=1e-7), "the first gradient was not unscaled, or the second"
        assert stepper.scaler.get_scale() == scale
    else:
        assert torch.equal(model.w, W)
        assert pack(model, stepper.engine) == ({}, {})
        assert stepper.scaler.get_scale() == scale / 2
    stepper.step(model, 0.1, 0)
    assert not torch.equal(model.w, W)


def test_losses_of_a_step_add_up() -> None:
    """Also in both passes of SAM: ½wᵀHw in two halves is ½wᵀHw."""
    whole, parts = Quadratic(), Quadratic()

    def halves() -> Iterator[Tensor]:
        yield 0.25 * parts()
        yield 0.75 * parts()

    first = Stepper(whole, recipe(optimizer="sgd+asam"), CPU, World()).step(whole, 0.1, 0)
    second = Stepper(parts, recipe(optimizer="sgd+asam"), CPU, World()).step(halves, 0.1, 0)
    assert float(first) == pytest.approx(float(second))
    assert torch.allclose(whole.w, parts.w, rtol=0, atol=1e-12)


def test_the_option_decides_retraining() -> None:
    from lowland.app.options import layers

    config = assemble(*layers({"optimizer": "adamw+asam"}))
    assert config.retrain.optimizer == "adamw+asam"
    assert config.supernet.optimizer == "sgd"
