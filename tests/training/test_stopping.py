"""Early stopping ends training when held-out accuracy no longer grows, with the best epoch's weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lowland.training import loop
from lowland.training.loop import Job, fit
from lowland.training.stopping import Patience, accuracy

from .toy import CPU, STEPS_PER_EPOCH, InMemory, digits, fit_with_stops, network_job, retrain_recipe, same

EPOCHS = 6


def make(patience: int = 2, ema: float = 0.0) -> Job:
    return network_job(retrain_recipe(epochs=EPOCHS, patience=patience, ema=ema))


def scripted(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> list[dict[str, Tensor]]:
    """Epochs judged as `values` say, by how often the model has learned; their weights."""
    states: list[dict[str, Tensor]] = []

    def judge(model: nn.Module, *_: object) -> float:
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        return values[len(states) - 1]

    monkeypatch.setattr(loop, "accuracy", judge)
    return states


@pytest.mark.parametrize(
    ("values", "epochs", "best"),
    [
        ([0.5, 0.4, 0.5, 0.9, 0.9, 0.9], 3, 0),  # equal is no better
        ([0.1, 0.2, 0.1, 0.3, 0.2, 0.2], 6, 3),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 6, 5),
    ],
)
@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_the_best_epochs_weights_are_delivered(
    monkeypatch: pytest.MonkeyPatch, values: list[float], epochs: int, best: int, ema: float
) -> None:
    states = scripted(monkeypatch, values)
    job = make(ema=ema)
    history = fit(job)
    assert len(states) == len(history.loss) == epochs
    assert same(job.model.state_dict(), states[best])


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_stop_after_any_step_changes_nothing(ema: float) -> None:
    """Also behind the best epoch, whose weights are in no model any more."""
    job = make(patience=1, ema=ema)
    history = fit(job)
    weights = {name: value.clone() for name, value in job.model.state_dict().items()}
    steps = len(history.loss) * STEPS_PER_EPOCH
    last = steps if len(history.loss) < EPOCHS else steps - 1
    for stop in range(1, last):
        resumed, again = fit_with_stops(lambda: make(patience=1, ema=ema), InMemory(), (stop,))
        assert same(resumed, weights)
        assert again.loss == history.loss


def test_judging_does_not_disturb_training() -> None:
    """Patience that never ends: the weights of the last epoch are those without it."""
    states = []

    def watched(model: nn.Module, *_: object) -> float:
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        return len(states) / 100 + accuracy(model, digits().search, digits(), CPU)

    plain = network_job(retrain_recipe(epochs=EPOCHS))
    fit(plain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "accuracy", watched)
        fit(make(patience=EPOCHS))
    assert same(states[-1], plain.model.state_dict())


def test_accuracy_is_counted_in_evaluation_mode_and_modes_are_kept() -> None:
    class Constant(nn.Module):
        def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
            assert not self.training
            logits_NK = torch.zeros(len(x_NCHW), 10)
            logits_NK[:, 3] = 1
            return logits_NK, logits_NK.flip(1)

    model = Constant().train()
    search = digits().search
    assert accuracy(model, search, digits(), CPU) == float((search.labels_N == 3).double().mean())
    assert model.training


def test_patience_survives_as_state() -> None:
    model = nn.Linear(2, 2)
    first = Patience(2)
    assert not first.hear(0.5, model)
    assert not first.hear(0.4, model)
    second = Patience(2)
    second.restore(first.state(), first.weights, model.state_dict())
    assert (second.best, second.waited) == (0.5, 1)
    assert same(second.weights, first.weights)
    fresh = Patience(2)
    fresh.restore(Patience(2).state(), {}, model.state_dict())
    assert fresh == Patience(2)
