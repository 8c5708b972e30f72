from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lowland.core.config import RetrainConfig, SupernetConfig
from lowland.core.recipe import OptimizationConfig
from lowland.store.tensors import from_safetensors, to_safetensors
from lowland.training.optimization import learning_rate, lengthened, optimizer, pack, steps_per_epoch, unpack

STEPS = 10
"""Steps an epoch."""


def recipe(**values: Any) -> OptimizationConfig:
    return OptimizationConfig(**({"epochs": 10, "learning_rate": 0.4, "final_learning_rate": 0.1} | values))


@pytest.mark.parametrize(
    ("schedule", "quarter", "middle"),
    [
        ("cosine", 0.1 + 0.3 * (1 + math.sqrt(0.5)) / 2, 0.25),
        ("linear", 0.1 + 0.3 * 0.75, 0.25),
        ("constant", 0.4, 0.4),
    ],
)
def test_schedules_without_warm_up(schedule: str, quarter: float, middle: float) -> None:
    rates = [learning_rate(recipe(schedule=schedule), step, STEPS) for step in range(101)]
    assert rates[0] == 0.4
    assert rates[25] == pytest.approx(quarter)
    assert rates[50] == pytest.approx(middle)
    assert rates[100] == pytest.approx(0.4 if schedule == "constant" else 0.1)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_warm_up_climbs_to_the_full_rate_and_the_fall_begins_there(schedule: str) -> None:
    rates = [learning_rate(recipe(schedule=schedule, warmup_epochs=2.0), step, STEPS) for step in range(101)]
    assert rates[0] == pytest.approx(0.4 / 20)
    assert rates[9] == pytest.approx(0.2)
    assert rates[19] == pytest.approx(0.4)
    assert rates[20] == pytest.approx(0.4)
    assert rates[:20] == pytest.approx([0.02 * (step + 1) for step in range(20)])
    assert rates[60] == pytest.approx(0.4 if schedule == "constant" else 0.25)
    assert rates[100] == pytest.approx(0.4 if schedule == "constant" else 0.1)


def test_wsd_is_constant_and_then_falls_in_a_line() -> None:
    """Ten epochs of ten steps, the first warming up, the last two falling from 1 to 0.2."""
    settings = recipe(
        schedule="wsd", epochs=10, warmup_epochs=1.0, decay_share=0.2, learning_rate=1.0, final_learning_rate=0.2
    )
    rates = [learning_rate(settings, step, 10) for step in range(101)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10:81] == [1.0] * 71
    assert rates[80:] == pytest.approx([1 - 0.8 * step / 20 for step in range(21)])


def test_wsd_that_falls_all_the_way_is_linear() -> None:
    same = {"epochs": 4, "learning_rate": 0.5, "warmup_epochs": 0.5, "final_learning_rate": 0.01}
    for step in range(40):
        falling = learning_rate(recipe(schedule="wsd", decay_share=1.0, **same), step, 10)
        assert falling == learning_rate(recipe(schedule="linear", **same), step, 10)


def test_cosine_is_torchs() -> None:
    """torch.optim.lr_scheduler.CosineAnnealingLR, stepped once per step."""
    engine = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(engine, T_max=100, eta_min=0.1)
    for step in range(100):
        assert learning_rate(recipe(), step, STEPS) == pytest.approx(reference.get_last_lr()[0], rel=1e-9)
        engine.step()
        reference.step()


@given(
    schedule=st.sampled_from(["cosine", "linear", "constant"]),
    epochs=st.integers(1, 50),
    steps=st.integers(1, 40),
    share=st.floats(0, 0.99),
)
@settings(max_examples=60, deadline=None)
def test_rates_stay_between_zero_and_full(schedule: Any, epochs: int, steps: int, share: float) -> None:
    settings = recipe(epochs=epochs, schedule=schedule, warmup_epochs=share * epochs)
    rates = [learning_rate(settings, step, steps) for step in range(epochs * steps)]
    assert all(0 < rate <= 0.4 + 1e-12 for rate in rates)


def test_optimizers_carry_the_recipe() -> None:
    model = nn.Linear(2, 2)
    sgd = optimizer(model, recipe(nesterov=True, momentum=0.8, weight_decay=0.03))
    assert isinstance(sgd, torch.optim.SGD)
    group = sgd.param_groups[0]
    assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"]) == (0.4, 0.8, True, 0.03)
    adamw = optimizer(model, recipe(optimizer="adamw", weight_decay=0.03))
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.param_groups[0]["weight_decay"] == 0.03


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_state_survives_a_file(name: Any) -> None:
    """Packed, written, read and unpacked into a new optimiser, the next steps are the same bit for bit."""

    def model() -> nn.Sequential:
        torch.manual_seed(1)
        layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 3, 3), nn.Flatten(), nn.LazyLinear(2))
        layers(torch.zeros(1, 2, 8, 8))
        return layers.to(memory_format=torch.channels_last)

    def steps(model: nn.Sequential, engine: torch.optim.Optimizer, first: int, last: int) -> None:
        for step in range(first, last):
            generator = torch.Generator().manual_seed(step)
            x = torch.randn(4, 2, 8, 8, generator=generator)
            # The second convolution learns only from step 3 on: before that it has no state.
            hidden = model[0](x)
            hidden = model[1](hidden) if step >= 3 else hidden[..., 2:, 2:]
            model[3](model[2](hidden)).square().mean().backward()
            engine.step()
            engine.zero_grad(set_to_none=True)

    settings = recipe(optimizer=name, learning_rate=0.01)
    whole, stopped, resumed = model(), model(), model()
    engine = optimizer(whole, settings)
    steps(whole, engine, 0, 5)
    before = optimizer(stopped, settings)
    steps(stopped, before, 0, 2)
    tensors, rest = pack(stopped, before)
    assert not any(label.startswith("1.") for label in tensors)
    content = to_safetensors(tensors, {})
    resumed.load_state_dict(stopped.state_dict())
    after = optimizer(resumed, settings)
    unpack(resumed, after, from_safetensors(content)[0], rest)
    assert pack(resumed, after)[0].keys() == tensors.keys()
    steps(resumed, after, 2, 5)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
        for key, value in engine.state[a].items():
            assert torch.equal(value, after.state[b][key])
            assert value.stride() == after.state[b][key].stride()


def test_a_fresh_optimizer_has_nothing_to_pack() -> None:
    model = nn.Linear(2, 2)
    assert pack(model, optimizer(model, recipe())) == ({}, {})


@pytest.mark.parametrize("kind", [RetrainConfig, SupernetConfig])
@pytest.mark.parametrize(
    ("least", "images", "epochs"), [(0, 10, 5), (1, 640, 5), (50, 640, 5), (51, 640, 6), (300, 184, 150), (7, 3, 7)]
)
def test_epochs_are_raised_to_the_fewest_steps(kind: type[Any], least: int, images: int, epochs: int) -> None:
    recipe = kind(epochs=5, batch_size=64, min_steps=least)
    longer = lengthened(recipe, images)
    assert longer.epochs == epochs
    assert longer.epochs * steps_per_epoch(longer, images) >= least
    assert (longer is recipe) == (epochs == 5)


def test_the_fewest_steps_are_no_part_of_an_identity_where_they_are_off() -> None:
    assert "min_steps" not in RetrainConfig().identity()
    assert RetrainConfig(min_steps=9).identity()["min_steps"] == 9
    assert "min_steps" not in RetrainConfig().compared()
    assert RetrainConfig(min_steps=9).compared()["min_steps"] == 9
