"""A run stopped anywhere and resumed ends in the same weights, statistics and history, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest
import torch

from lowland.core.config import Config
from lowland.core.errors import InterruptedRun
from lowland.store.run import Run
from lowland.training.loop import Job, fit

from .toy import (
    STEPS_PER_EPOCH,
    InMemory,
    StopAt,
    fit_with_stops,
    network_job,
    retrain_recipe,
    same,
    supernet_config,
    supernet_job,
)

EPOCHS = 3
MAKE: dict[str, Callable[[], Job]] = {
    "supernet, none": lambda: supernet_job(supernet_config(zero_grad="none", epochs=EPOCHS)),
    "supernet, zeros": lambda: supernet_job(supernet_config(zero_grad="zeros", epochs=EPOCHS, weight_decay=0.01)),
    "supernet, zeros, no momentum": lambda: supernet_job(
        supernet_config(zero_grad="zeros", epochs=EPOCHS, weight_decay=0.01, momentum=0.0, path="per-cell")
    ),
    "supernet, adamw, zeros": lambda: supernet_job(
        supernet_config(zero_grad="zeros", epochs=EPOCHS, optimizer="adamw", learning_rate=1e-3, random_labels=True)
    ),
    "supernet, muon": lambda: supernet_job(supernet_config(epochs=EPOCHS, optimizer="muon+sam")),
    "network, muon": lambda: network_job(retrain_recipe(epochs=EPOCHS, optimizer="muon", nesterov=True)),
    "network": lambda: network_job(retrain_recipe(epochs=EPOCHS, drop_path=0.4, ema=0.8, cutout=4)),
    "network, augmented": lambda: network_job(
        retrain_recipe(
            epochs=EPOCHS,
            augment="trivial",
            resized_crop=0.6,
            erasing=0.3,
            mixup=0.2,
            cutmix=1.0,
            class_balance="sampling",
            schedule="wsd",
        )
    ),
    "network, consistent": lambda: network_job(
        retrain_recipe(epochs=EPOCHS, augment="augmix", consistency=12.0, class_balance="loss", ema=0.8)
    ),
    "supernet, mixed": lambda: supernet_job(supernet_config(epochs=EPOCHS, augment="rand", mixup=0.2)),
}
LAST = EPOCHS * STEPS_PER_EPOCH


@lru_cache
def uninterrupted(name: str) -> tuple[dict[str, torch.Tensor], list[float]]:
    job = MAKE[name]()
    history = fit(job)
    return job.model.state_dict(), history.loss


@pytest.mark.parametrize("name", MAKE)
def test_a_stop_after_any_step_changes_nothing(name: str) -> None:
    weights, losses = uninterrupted(name)
    assert len(losses) == EPOCHS
    for stop in range(1, LAST):
        resumed, history = fit_with_stops(MAKE[name], InMemory(), (stop,))
        assert same(resumed, weights), f"weights differ after a stop at step {stop}"
        assert history.loss == losses
        assert history.images == LAST * 16
        assert history.seconds > 0


@pytest.mark.parametrize("name", MAKE)
def test_stops_after_every_step_change_nothing(name: str) -> None:
    weights, losses = uninterrupted(name)
    resumed, history = fit_with_stops(MAKE[name], InMemory(), tuple(range(1, LAST)))
    assert same(resumed, weights)
    assert history.loss == losses


@pytest.mark.parametrize("name", ["supernet, zeros", "supernet, adamw, zeros", "network"])
def test_the_run_directory_keeps_everything(tmp_path: Path, name: str) -> None:
    weights, losses = uninterrupted(name)
    with Run.create(tmp_path / "run", Config()) as run:
        run.start_stage("supernet")
        with pytest.raises(InterruptedRun):
            fit(MAKE[name](), checkpoints=run, checkpoint_seconds=1e-9, monitor=StopAt(4))
    for stops in ((STEPS_PER_EPOCH * 2,), (LAST - 1,), ()):
        with Run.open(tmp_path / "run") as run:
            run.start_stage("supernet")
            if stops:
                with pytest.raises(InterruptedRun):
                    fit(MAKE[name](), checkpoints=run, monitor=StopAt(stops[0]))
            else:
                resumed, history = fit_with_stops(MAKE[name], run, ())
    assert same(resumed, weights)
    assert history.loss == losses


def test_a_killed_run_goes_on_from_its_last_timed_checkpoint() -> None:
    class Killed(Exception):
        pass

    class KillAt(StopAt):
        def advance(self, done: int, **facts: object) -> None:
            if done == self.step:
                raise Killed

    weights, losses = uninterrupted("supernet, zeros")
    kept = InMemory()
    with pytest.raises(Killed):
        fit(MAKE["supernet, zeros"](), checkpoints=kept, checkpoint_seconds=0.0, monitor=KillAt(6))
    assert kept.steps == [1, 2, 3, 4, 5]
    resumed, history = fit_with_stops(MAKE["supernet, zeros"], kept, ())
    assert same(resumed, weights)
    assert history.loss == losses


def test_a_resumed_run_does_only_the_steps_that_are_left() -> None:
    kept = InMemory()
    with pytest.raises(InterruptedRun):
        fit(MAKE["supernet, none"](), checkpoints=kept, monitor=StopAt(5))
    assert kept.steps == [5]
    watch = StopAt(LAST)
    fit(MAKE["supernet, none"](), checkpoints=kept, monitor=watch)
    assert watch.seen == list(range(6, LAST + 1))


def test_a_stop_in_the_last_step_comes_too_late() -> None:
    weights, losses = uninterrupted("supernet, none")
    job, kept = MAKE["supernet, none"](), InMemory()
    assert fit(job, checkpoints=kept, monitor=StopAt(LAST)).loss == losses
    assert same(job.model.state_dict(), weights)
    assert kept.steps == []


def test_a_stop_without_checkpoints_is_still_a_stop() -> None:
    with pytest.raises(InterruptedRun):
        fit(MAKE["supernet, none"](), monitor=StopAt(2))
