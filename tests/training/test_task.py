"""Training of a dense task: schedules as published, and the same bytes after a stop anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lowland.core.device import Compute
from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.monitor import Monitor
from lowland.core.seeds import torch_generator
from lowland.spaces import FeatureInfo
from lowland.training.backbone import Backbone
from lowland.training.loop import DivergedError
from lowland.training.task import Task, TaskJob, TaskRecipe, fit_task, optimizer

CPU = Compute(device=torch.device("cpu"), channels_last=False)


class Brightness(Task[Tensor]):
    """Tell how bright each pixel of made-up pictures is."""

    name = "brightness"
    images = 11

    def batch(self, indices: Sequence[int], seed: int, step: int) -> Tensor:
        drawn = torch_generator(seed, self.name, "augment", step)
        return torch.stack([torch.full((3, 8, 8), float(index)) for index in indices]) + torch.randn(
            len(indices), 3, 8, 8, generator=drawn
        )

    def losses(self, model: nn.Module, batch: Tensor, compute: Compute) -> Mapping[str, Tensor]:
        found = model(batch)
        return {"level": (found - batch.mean(1, keepdim=True)).square().mean(), "size": 1e-3 * found.abs().mean()}

    def judge(self, model: nn.Module, compute: Compute, monitor: Monitor) -> Mapping[str, float]:
        return {"level": 1.0}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.2), nn.Conv2d(4, 1, 1))


def job(recipe: TaskRecipe, seed: int = 3) -> TaskJob[Tensor]:
    return TaskJob(
        task=Brightness(), model=network(), recipe=recipe, seed=seed, compute=CPU, name="brightness", title="brightness"
    )


class Kept:
    """Checkpoints in memory."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[dict[str, Tensor], dict[str, Any]]] = {}

    def save_checkpoint(self, name: str, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        self.found[name] = ({key: value.clone() for key, value in tensors.items()}, state)

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        return self.found.get(name)


class StopAt(Monitor):
    """Asks for a stop once a step is done."""

    def __init__(self, step: int) -> None:
        self.step = step

    def advance(self, done: int, **facts: Any) -> None:
        self.stopping = done >= self.step


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_stop_anywhere_ends_in_the_same_bytes(name: str) -> None:
    recipe = TaskRecipe(epochs=3, batch_size=4, optimizer=name, learning_rate=1e-2, warmup_steps=2, clip=1.0)
    whole = job(recipe)
    history = fit_task(whole)
    assert recipe.total_steps(11) == 6
    for stop in range(1, 6):
        kept = Kept()
        with pytest.raises(InterruptedRun):
            fit_task(job(recipe), checkpoints=kept, monitor=StopAt(stop))
        torch.manual_seed(99)
        again = job(recipe)
        assert fit_task(again, checkpoints=kept).losses == history.losses
        for key, value in whole.model.state_dict().items():
            assert torch.equal(again.model.state_dict()[key], value), (stop, key)


def test_a_kill_loses_what_came_after_the_last_checkpoint_and_no_more() -> None:
    recipe, kept = TaskRecipe(steps=5, batch_size=4, learning_rate=1e-2), Kept()
    whole = job(recipe)
    fit_task(whole)

    class Killed(Monitor):
        def advance(self, done: int, **facts: Any) -> None:
            if done == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_task(job(recipe), checkpoints=kept, checkpoint_seconds=1e-9, monitor=Killed())
    assert kept.found["brightness"][1]["step"] == 3
    again = job(recipe)
    fit_task(again, checkpoints=kept)
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), whole.model.parameters(), strict=True))


def test_seeds_differ() -> None:
    first, second = (job(TaskRecipe(steps=2, batch_size=4), seed) for seed in (1, 2))
    fit_task(first)
    fit_task(second)
    assert not torch.equal(first.model[0].weight, second.model[0].weight)


def test_a_diverging_loss_says_what_to_change() -> None:
    with pytest.raises(DivergedError, match="lower the learning rate"):
        fit_task(job(TaskRecipe(steps=300, batch_size=4, learning_rate=1e6)))


def test_the_rate_of_detectron2() -> None:
    """configs/Base-RetinaNet.yaml, SOLVER: 90,000 iterations, a tenth at 60k and 80k, warm-up 1,000 from 1/1000."""
    recipe = TaskRecipe(
        steps=90_000, schedule="steps", milestones=(6 / 9, 8 / 9), warmup_steps=1000, warmup_factor=1e-3
    )
    rates = [recipe.rate(step, 90_000) for step in (0, 500, 1000, 59_999, 60_000, 79_999, 80_000)]
    assert rates == pytest.approx([1e-5, 0.01 * 0.5005, 1e-2, 1e-2, 1e-3, 1e-3, 1e-4])


def test_the_rate_of_mmsegmentation() -> None:
    """_base_/schedules/schedule_40k.py: poly, power 0.9, eta_min 1e-4."""
    recipe = TaskRecipe(steps=40_000, schedule="poly", final_learning_rate=1e-4)
    assert recipe.rate(0, 40_000) == pytest.approx(0.01)
    assert recipe.rate(20_000, 40_000) == pytest.approx((0.01 - 1e-4) * 0.5**0.9 + 1e-4)


def test_scales_and_shifts_of_norms_decay_only_where_asked() -> None:
    found = optimizer(network(), TaskRecipe(norm_decay=False, weight_decay=0.1))
    assert [(len(group["params"]), group["weight_decay"]) for group in found.param_groups] == [(4, 0.1), (2, 0.0)]


class Halving(nn.Module):
    """Maps of strides 2, 4, 8 as a list."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 4, 6, 8)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b)) for a, b in pairwise(widths)
        )

    def forward(self, x_NCHW: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            x_NCHW = stage(x_NCHW)
            maps.append(x_NCHW)
        return maps


MAPS = (FeatureInfo(4, 2, "stages.0"), FeatureInfo(6, 4, "stages.1"), FeatureInfo(8, 8, "stages.2"))


def test_a_backbone_gives_the_maps_asked_for_at_any_size() -> None:
    backbone = Backbone(Halving(), MAPS, (4, 8), name="halving", pretrained=False)
    maps = backbone(torch.zeros(2, 3, 40, 24))
    assert {name: tuple(value.shape) for name, value in maps.items()} == {"0": (2, 6, 10, 6), "1": (2, 8, 5, 3)}
    assert [info.channels for info in backbone.maps] == [6, 8]


def test_a_network_for_small_images_is_refused() -> None:
    with pytest.raises(ConfigError, match="maps of strides 2, 4, 8, but maps of 8, 16, 32 are needed"):
        Backbone(Halving(), MAPS, (8, 16, 32), name="halving", pretrained=False)


def test_frozen_norms_stay_as_they_are_in_training() -> None:
    backbone = Backbone(Halving(), MAPS, (8,), name="halving", pretrained=True)
    backbone.freeze_norms()
    backbone.train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    backbone(torch.randn(2, 3, 16, 16))["0"].sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert not any(p.requires_grad for m in backbone.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters())
    assert backbone.body.stages[0][0].weight.grad is not None


def test_stem_and_first_stage_are_frozen_by_stride() -> None:
    backbone = Backbone(Halving(), MAPS, (8,), name="halving", pretrained=True)
    before = backbone.body.stages[0][1].running_mean.clone()
    count = backbone.freeze_up_to(4)
    assert [p.requires_grad for p in backbone.body.stages[1].parameters()] == [False] * 4
    assert all(p.requires_grad for p in backbone.body.stages[2].parameters())
    assert count == sum(p.numel() for stage in backbone.body.stages[:2] for p in stage.parameters())
    assert torch.equal(backbone.body.stages[0][1].running_mean, before)
