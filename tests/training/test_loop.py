from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lowland.core.device import Compute
from lowland.core.errors import ConfigError
from lowland.core.monitor import Monitor
from lowland.core.recipe import OptimizationConfig
from lowland.core.seeds import derive
from lowland.data import Split, batches, order
from lowland.training.loop import DivergedError, Job, fit
from lowland.training.optimization import learning_rate
from lowland.training.parallel import World

from .toy import BATCH, CPU, STEPS_PER_EPOCH, InMemory, digits, supernet_config, supernet_job

PLAIN = replace(digits(), flip=False, crop_padding=0)
"""The digits without augmentation."""


class Facts(Monitor):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.began: list[tuple[str, int, str, int]] = []
        self.losses: list[float] = []
        self.finished = 0

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        self.began.append((stage, total, unit, done))

    def advance(self, done: int, **facts: Any) -> None:
        self.losses.append(facts["loss"])

    def finish(self) -> None:
        self.finished += 1


def linear_job(
    loss: Callable[[nn.Module, Tensor, Tensor, int], Tensor] | None = None,
    *,
    dtype: torch.dtype = torch.float64,
    split: Split | None = None,
    ema: float = 0.0,
    compute: Compute = CPU,
    **recipe: Any,
) -> Job:
    """Softmax regression on digits in float64."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).to(dtype)

    def cross_entropy(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Tensor:
        return nn.functional.cross_entropy(model(x_NCHW.to(dtype)), labels_N)

    return Job(
        name="linear",
        title="linear",
        model=model,
        loss=loss or cross_entropy,
        recipe=OptimizationConfig(**({"epochs": 2, "batch_size": BATCH} | recipe)),
        data=PLAIN,
        split=split or PLAIN.train,
        seed=3,
        compute=compute,
        ema=ema,
    )


def by_hand(job: Job) -> tuple[Tensor, Tensor, list[float], list[tuple[Tensor, Tensor]]]:
    """Softmax regression trained with formulas: weight, bias, loss per epoch, and the weights after each step."""
    recipe, per_epoch = job.recipe, job.steps_per_epoch()
    weight, bias = (p.detach().clone() for p in job.model.parameters())
    velocity = [torch.zeros_like(weight), torch.zeros_like(bias)]
    losses, seen = [], []
    for epoch in range(recipe.epochs):
        indices = order(len(job.split), seed=job.seed, keys=(job.name, "order", epoch))
        total = 0.0
        for index, (x, labels) in enumerate(batches(job.split, recipe.batch_size, indices[: per_epoch * BATCH])):
            flat = job.data.normalise(x).double().flatten(1)
            probabilities = (flat @ weight.T + bias).softmax(1)
            total -= float(probabilities[torch.arange(len(labels)), labels].log().mean()) / per_epoch
            error = (probabilities - nn.functional.one_hot(labels, 10)) / len(labels)
            gradients = [error.T @ flat, error.sum(0)]
            norm = float(sum(g.square().sum() for g in gradients)) ** 0.5
            if recipe.clip and norm > recipe.clip:
                gradients = [g * recipe.clip / (norm + 1e-6) for g in gradients]  # torch's guard against 0
            rate = learning_rate(recipe, epoch * per_epoch + index, per_epoch)
            for place, value in enumerate((weight, bias)):
                gradient = gradients[place] + recipe.weight_decay * value
                velocity[place] = recipe.momentum * velocity[place] + gradient
                step = gradient + recipe.momentum * velocity[place] if recipe.nesterov else velocity[place]
                value -= rate * step
            seen.append((weight.clone(), bias.clone()))
        losses.append(total)
    return weight, bias, losses, seen


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"nesterov": True, "weight_decay": 0.01, "learning_rate": 0.1},
        {"clip": 0.3, "schedule": "linear", "warmup_epochs": 0.5},
        {"clip": 0.0, "momentum": 0.0, "schedule": "constant"},
    ],
)
def test_training_is_the_textbooks(recipe: dict[str, Any]) -> None:
    job = linear_job(**recipe)
    weight, bias, losses, _ = by_hand(job)
    history = fit(job)
    assert torch.allclose(job.model[1].weight, weight, rtol=0, atol=1e-9)
    assert torch.allclose(job.model[1].bias, bias, rtol=0, atol=1e-9)
    # Losses are reported in fp32.
    assert history.loss == pytest.approx(losses, rel=1e-5)


def test_clipping_bounds_the_gradient() -> None:
    """With momentum 0 and rate 1 a step is as long as the clipped gradient."""
    settings = {"momentum": 0.0, "weight_decay": 0.0, "learning_rate": 1.0, "schedule": "constant", "epochs": 1}
    for clip, bound in ((0.05, 0.05), (0.0, None)):
        job = linear_job(clip=clip, **settings)
        before = nn.utils.parameters_to_vector(job.model.parameters()).detach().clone()
        lengths = []

        class Lengths(Monitor):
            def advance(self, done: int, **facts: Any) -> None:
                nonlocal before
                after = nn.utils.parameters_to_vector(job.model.parameters()).detach().clone()  # noqa: B023
                lengths.append(float((after - before).norm()))  # noqa: B023
                before = after

        fit(job, monitor=Lengths())
        if bound is None:
            assert max(lengths) > 0.3
        else:
            assert lengths == pytest.approx([bound] * STEPS_PER_EPOCH, rel=1e-4)


def test_averaged_weights_are_the_formula() -> None:
    """After step 1 the average is the weights; then average ← decay·average + (1 − decay)·weights."""
    job = linear_job(ema=0.7, epochs=3)
    _, _, _, seen = by_hand(job)
    expected = seen[0][0]
    for weight, _ in seen[1:]:
        expected = 0.7 * expected + 0.3 * weight
    fit(job)
    assert torch.allclose(job.model[1].weight, expected, rtol=0, atol=1e-9)
    assert not torch.allclose(job.model[1].weight, seen[-1][0], rtol=0, atol=1e-4)


def test_averaging_covers_batch_norm_statistics() -> None:
    seen: list[Tensor] = []

    def loss(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Tensor:
        value = nn.functional.cross_entropy(model(x_NCHW), labels_N)
        seen.append(model[0].running_var.clone())
        return value

    job = replace(linear_job(loss), model=nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 10)), ema=0.5)
    fit(job)
    expected = seen[0]
    for value in seen[1:]:
        expected = 0.5 * expected + 0.5 * value
    assert torch.allclose(job.model[0].running_var, expected)


def test_every_image_is_visited_once_an_epoch_and_a_part_batch_is_left_out() -> None:
    visits: list[Tensor] = []

    class Watched(Split):
        def __init__(self) -> None:
            self.labels_N = PLAIN.train.labels_N[:40]

        def images(self, indices: Tensor) -> Tensor:
            visits.append(indices)
            return PLAIN.train.images(indices)

    job = linear_job(split=Watched())
    assert (job.steps_per_epoch(), job.total_steps()) == (2, 4)
    history = fit(job)
    assert [len(part) for part in visits] == [16] * 4
    epochs = [torch.cat(visits[:2]).tolist(), torch.cat(visits[2:]).tolist()]
    assert all(len(set(epoch)) == 32 for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert history.images == 64
    assert history.images_per_second == pytest.approx(64 / history.seconds)


def test_a_split_smaller_than_a_batch_is_one_step() -> None:
    job = linear_job(batch_size=1000)
    assert job.steps_per_epoch() == 1
    assert fit(job).images == 2 * len(PLAIN.train)


def test_same_seed_same_weights_other_seed_others() -> None:
    jobs = [supernet_job(supernet_config(seed=seed)) for seed in (5, 5, 6)]
    losses = [fit(job).loss for job in jobs]
    assert losses[0] == losses[1] != losses[2]
    first, second, _ = (job.model.state_dict() for job in jobs)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_results_do_not_depend_on_random_draws_made_elsewhere() -> None:
    job = supernet_job(supernet_config())
    losses = fit(job).loss
    torch.manual_seed(99)
    torch.rand(7)
    again = supernet_job(supernet_config())
    torch.rand(3)
    assert fit(again).loss == losses


def test_step_randomness_is_seeded_by_run_job_and_step() -> None:
    draws: list[float] = []

    def loss(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Tensor:
        draws.append(float(torch.rand(())))
        return nn.functional.cross_entropy(model(x_NCHW.double()), labels_N)

    fit(linear_job(loss))
    for step, draw in enumerate(draws):
        torch.manual_seed(derive(3, "linear", "step", step, 0))
        assert draw == float(torch.rand(()))
    assert len(set(draws)) == len(draws)


def test_augmentation_is_the_data_sets_and_the_recipes() -> None:
    """Cutout 16 around any pixel of 8×8 images erases them all, to the mean; without it nothing is erased."""

    def brightest(**recipe: Any) -> list[float]:
        seen = []

        def loss(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Tensor:
            seen.append(float(x_NCHW.max()))
            return model(x_NCHW.double()).square().mean()

        fit(linear_job(loss, **recipe))
        return seen

    half_a_grey_level = 0.5 / 255 / PLAIN.std[0]
    assert brightest(cutout=16) == pytest.approx([0.0] * 6, abs=half_a_grey_level)
    assert min(brightest()) > 1.0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("bad", [0, 1, 4, 5])
def test_a_loss_that_is_no_number_is_one_sentence(value: float, bad: int) -> None:
    def loss(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Tensor:
        return model(x_NCHW.double()).square().mean() * (value if step == bad else 1.0)

    with pytest.raises(DivergedError) as raised:
        fit(linear_job(loss))
    assert f"the training loss became {value} at step {bad}; lower the learning rate" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_diverged_weights_are_never_saved() -> None:
    def loss(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Tensor:
        return model(x_NCHW.double()).square().mean() * (float("nan") if step == 2 else 1.0)

    kept = InMemory()
    with pytest.raises(DivergedError, match="at step 2"):
        fit(linear_job(loss, batch_size=4), checkpoints=kept, checkpoint_seconds=0.0)
    assert kept.steps == [1, 2]


def test_the_monitor_hears_everything() -> None:
    facts = Facts()
    history = fit(linear_job(epochs=3, batch_size=4), monitor=facts)
    assert facts.began == [("linear", 36, "step", 0)]
    assert len(facts.losses) == 36
    assert all(loss == loss for loss in facts.losses), "the first steps show no loss"
    assert facts.finished == 1
    assert len(history.loss) == 3


def test_history_is_the_mean_loss_of_each_epoch() -> None:
    """Also where an epoch is longer than the window in which losses wait on the device."""

    def loss(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Tensor:
        return model(x_NCHW.double()).square().mean() * 0 + step

    assert fit(linear_job(loss, batch_size=2, epochs=2)).loss == [11.5, 35.5]


def test_reduced_precision_keeps_weights_and_losses_in_fp32() -> None:
    compute = Compute(device=torch.device("cpu"), autocast_dtype=torch.bfloat16)
    exact, reduced = supernet_job(supernet_config()), supernet_job(supernet_config(), compute)
    seen: list[torch.dtype] = []
    reduced.model.head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    first, second = fit(exact).loss, fit(reduced).loss
    assert set(seen) == {torch.bfloat16}
    assert all(v.dtype == torch.float32 for v in reduced.model.state_dict().values() if v.is_floating_point())
    assert first != second
    assert first == pytest.approx(second, rel=0.02)


def test_memory_order_changes_nothing_but_rounding() -> None:
    nchw = Compute(device=torch.device("cpu"), channels_last=False)
    first, second = supernet_job(supernet_config()), supernet_job(supernet_config(), nchw)
    assert fit(first).loss == pytest.approx(fit(second).loss, rel=1e-5)
    weight = first.model.state_dict()["reductions.0.residual.1.1.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    others = second.model.state_dict()
    for name, value in first.model.state_dict().items():
        assert torch.allclose(value, others[name], rtol=1e-3, atol=1e-4), name


def test_uneven_shares_are_refused() -> None:
    with pytest.raises(ConfigError, match="a batch of 15 images cannot be shared evenly by 2 processes"):
        fit(linear_job(batch_size=15), world=World(0, 2))
