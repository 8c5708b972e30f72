"""Candidates fine-tuned from inherited weights, and networks retrained from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lowland import load, measures, spaces
from lowland.core.config import Config
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.measures import Context
from lowland.spaces import Shape, Single, Supernet
from lowland.store.run import Run
from lowland.training import finetune
from lowland.training.finetune import finetuned
from lowland.training.loop import DivergedError, fit
from lowland.training.network import build, extracted, inherit_from
from lowland.training.supernet import initial
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble
from lowland.workflow.session import Session
from whole_runs import TINY, made

from .toy import CPU, GENOTYPE, digits, retrain_recipe, same, supernet_config


def config(space: str = "nasbench201", seed: int = 5, **recipe: Any) -> Config:
    base = supernet_config(space=space, seed=seed)
    values = {"epochs": 2, "batch_size": 16, "learning_rate": 0.05} | recipe
    return Config.model_validate(base.model_dump() | {"finetune": values})


def supernet(settings: Config) -> Supernet:
    """A supernet whose batch norms have seen something."""
    model = initial(settings, digits()).train()
    genotype = spaces.get(settings.space).sample(np.random.default_rng(0))
    with torch.no_grad():
        model(torch.randn(16, 1, 8, 8), genotype)
    return model.eval()


def state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_no_epochs_means_inherited_weights() -> None:
    settings = config(epochs=0)
    model = supernet(settings)
    assert finetuned(model, GENOTYPE, settings, digits(), CPU) is model


@pytest.mark.parametrize("optimizer", ["sgd", "sgd+asam", "adamw+sam", "muon"])
def test_a_candidate_is_its_own_network_trained_on(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(optimizer=optimizer, learning_rate=0.01)
    model = supernet(settings)
    before = state(model)
    started: list[dict[str, torch.Tensor]] = []
    losses: list[float] = []

    def watched(job: Any, **arguments: Any) -> Any:
        started.append(state(job.model))
        assert job.split is digits().train, "only the training split takes part"
        history = fit(job, **arguments)
        losses.extend(history.loss)
        return history

    monkeypatch.setattr(finetune, "fit", watched)
    found = finetuned(model, GENOTYPE, settings, digits(), CPU)
    assert isinstance(found, Single)
    assert not found.training
    assert same(before, model.state_dict()), "the supernet changed"
    inherited = {own: before[name] for own, name in model.inherited(GENOTYPE).items()}
    assert same(inherited, started[0])
    assert not same(inherited, found.network.state_dict())
    assert len(losses) == 2
    assert all(p.grad is None for p in found.parameters())


def test_fine_tuning_is_a_function_of_supernet_seed_and_genotype() -> None:
    settings = config()
    model = supernet(settings)
    first = finetuned(model, GENOTYPE, settings, digits(), CPU)
    torch.manual_seed(99)
    finetuned(model, Genotype("nasbench201", (1, 2, 3, 4, 3, 2)), settings, digits(), CPU)
    assert same(state(first), finetuned(model, GENOTYPE, settings, digits(), CPU).state_dict())
    other = config(seed=6)
    assert not same(state(first), finetuned(model, GENOTYPE, other, digits(), CPU).state_dict())


@pytest.mark.parametrize("space", [name for name in spaces.registered() if name != "mobilenetv3"])
def test_every_space_can_be_fine_tuned_and_judged(space: str) -> None:
    settings = config(space, epochs=1)
    model = supernet(settings)
    genotype = spaces.get(space).sample(np.random.default_rng(1))
    found = finetuned(model, genotype, settings, digits(), CPU)
    x_NCHW, labels_N = torch.randn(20, 1, 8, 8), torch.arange(20) % 10
    context = Context(
        space=spaces.get(space),
        scored=[(x_NCHW, labels_N)],
        calibration=[(x_NCHW, labels_N)],
        initial={},
        compute=CPU,
        seed=1,
    )
    before = state(found)
    score = measures.get(settings.measure.model_copy(update={"name": "accuracy+flatness"})).score(
        found, genotype, context
    )
    assert score.value == score.value
    assert same(before, found.state_dict())


def test_fine_tuning_learns() -> None:
    settings = config(epochs=15, label_smoothing=0.0)
    model = supernet(settings)
    data = digits()
    x_NCHW, labels_N = data.normalise(data.train.images(torch.arange(48))), data.train.labels_N
    losses = []
    for found in (model, finetuned(model, GENOTYPE, settings, data, CPU)):
        with torch.no_grad():
            losses.append(float(torch.nn.functional.cross_entropy(found.train()(x_NCHW, GENOTYPE), labels_N)))
    assert losses[1] < 0.7 * losses[0]


def test_a_candidate_that_diverges_is_a_failed_candidate() -> None:
    """An arithmetic error, which the scorer notes, and not the end of the search."""
    settings = config(learning_rate=1e30, clip=0.0, epochs=3)
    with pytest.raises(DivergedError) as raised:
        finetuned(supernet(settings), GENOTYPE, settings, digits(), CPU)
    assert isinstance(raised.value, ArithmeticError)


# --- retraining from the supernet's weights --------------------------------------------------------------------------

SHAPE = Shape(in_channels=1, image_size=8, num_classes=10, channels=4, cells=1, stem="auto")


def test_a_network_inherits_what_the_supernet_has_and_keeps_the_rest() -> None:
    settings = config()
    model = supernet(settings)
    with torch.no_grad():
        for value in model.buffers():
            if value.is_floating_point():
                value.add_(0.25)
    fresh = build(GENOTYPE, SHAPE, retrain_recipe(), 5)
    network = build(GENOTYPE, SHAPE, retrain_recipe(inherit=True), 5)
    inherit_from(model, network, GENOTYPE)
    source = model.inherited(GENOTYPE)
    own = 0
    for name, value in network.state_dict().items():
        if name in source:
            assert torch.equal(value, model.state_dict()[source[name]])
        else:
            own += 1
            assert torch.equal(value, fresh.state_dict()[name])
            assert name.endswith((".2.weight", ".2.bias")), "affine batch norm of cells"
    assert own > 0
    x_NCHW = torch.randn(4, 1, 8, 8)
    assert torch.allclose(network.eval()(x_NCHW), model.eval()(x_NCHW, GENOTYPE), atol=1e-5)


def test_an_extracted_network_computes_what_the_path_does() -> None:
    settings = config()
    model = supernet(settings)
    network = extracted(model, GENOTYPE).eval()
    x_NCHW = torch.randn(4, 1, 8, 8)
    assert torch.equal(network(x_NCHW), model(x_NCHW, GENOTYPE))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"network": {"channels": 8}}, "network.channels=8 and supernet.channels=4; set them alike"),
        ({"network": {"cells": 2}}, "network.cells=2 and supernet.cells=1"),
        ({"network": {"stem": "cifar"}}, "network.stem=cifar and supernet.stem=auto"),
        ({"network": {"channels": "fit"}, "search": {"max_params": 100000}}, "set network.channels=4, not fit"),
    ],
)
def test_another_size_cannot_inherit(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=sentence):
        pipeline.run(assemble(TINY, {"retrain": {"inherit": True}}, changes), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_run_delivers_a_network_trained_on_from_the_supernet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a learning rate of almost nothing it ends where it began: at the supernet's weights."""
    calm = {"learning_rate": 1e-12, "weight_decay": 0.0, "epochs": 1, "warmup_epochs": 0.0}
    inherits = {"network": {"norm": "batch"}, "retrain": calm | {"inherit": True, "optimizer": "sgd+sam"}}
    path = made(tmp_path / "run", inherits, last="train")
    network = load(path)
    with Run.open(path, read_only=True) as run:
        session = Session(run, Monitor())
        supernet = session.supernet
        genotype = Genotype("nasbench201", session.ranking()[0].genes)
        state = network.body.state_dict()
        compared = 0
        for own, name in supernet.inherited(genotype).items():
            if "running" not in own and "num_batches" not in own:
                assert torch.allclose(state[own], supernet.state_dict()[name], atol=1e-6), own
                compared += 1
        assert compared > 5
