from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lowland import spaces
from lowland.core.genotype import Genotype
from lowland.spaces import Shape
from lowland.training.loop import fit
from lowland.training.network import build

from .toy import GENOTYPE, digits, network_job, retrain_recipe

DARTS = spaces.get("darts").parse("4,4,0,3,4,0,1,0,4,5,0,0,2,0,1,1,0,3,1,0,3,1,0,0,3,0,1,0")
SHAPE = Shape(in_channels=1, image_size=8, num_classes=10, channels=4, cells=3)


def heads(*logits: Tensor) -> nn.Module:
    class Fixed(nn.Module):
        def forward(self, x_NCHW: Tensor) -> Tensor | tuple[Tensor, ...]:
            return logits if len(logits) > 1 else logits[0]

    return Fixed()


def test_the_auxiliary_loss_enters_with_its_weight() -> None:
    main, second = torch.randn(6, 10), torch.randn(6, 10)
    labels_N = torch.arange(6)
    x_NCHW = torch.zeros(6, 1, 8, 8)
    recipe = retrain_recipe(auxiliary_weight=0.4, label_smoothing=0.1)
    task = network_job(recipe, DARTS, cells=3)
    losses = [float(nn.functional.cross_entropy(x, labels_N, label_smoothing=0.1)) for x in (main, second)]
    both = float(task.loss(heads(main, second), x_NCHW, labels_N, 0))
    assert both == pytest.approx(losses[0] + 0.4 * losses[1])
    assert float(task.loss(heads(main), x_NCHW, labels_N, 0)) == pytest.approx(losses[0])


def test_a_darts_network_has_an_auxiliary_head_where_it_has_weight() -> None:
    with_head = build(DARTS, SHAPE, retrain_recipe(auxiliary_weight=0.4), 5).train()
    without = build(DARTS, SHAPE, retrain_recipe(auxiliary_weight=0.0), 5).train()
    x_NCHW = torch.randn(4, 1, 8, 8)
    assert isinstance(with_head(x_NCHW), tuple)
    assert isinstance(without(x_NCHW), Tensor)
    assert isinstance(with_head.eval()(x_NCHW), Tensor)


def test_the_auxiliary_head_is_trained_with_the_network() -> None:
    task = network_job(retrain_recipe(auxiliary_weight=0.4, epochs=1, drop_path=0.1), DARTS, cells=3)
    before = {name: value.clone() for name, value in task.model.named_parameters()}
    fit(task)
    assert all(not torch.equal(value, before[name]) for name, value in task.model.named_parameters())


def test_initial_weights_are_a_function_of_seed_and_genotype() -> None:
    recipe = retrain_recipe()
    other = Genotype("nasbench201", (3, 2, 1, 4, 3, 2))
    stems = [build(g, SHAPE, recipe, seed).stem[0].weight for g, seed in ((GENOTYPE, 5), (GENOTYPE, 5), (GENOTYPE, 6))]
    assert torch.equal(stems[0], stems[1])
    assert not torch.equal(stems[0], stems[2])
    assert not torch.equal(stems[0], build(other, SHAPE, recipe, 5).stem[0].weight)


@pytest.mark.parametrize(("rate", "epochs"), [(0.4, 4), (0.4, 1), (0.0, 2)])
def test_drop_path_grows_linearly_to_its_final_rate(rate: float, epochs: int) -> None:
    task = network_job(retrain_recipe(drop_path=rate, epochs=epochs))
    rates: list[float] = []
    inner = task.loss

    def loss(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Tensor:
        value = inner(model, x_NCHW, labels_N, step)
        rates.append(model.drop_path)
        return value

    fit(replace(task, loss=loss))
    total = task.total_steps()
    assert rates == pytest.approx([rate * step / (total - 1) for step in range(total)])
    assert rates[-1] == rate


def test_training_on_the_search_split_is_a_choice() -> None:
    both = network_job(retrain_recipe(include_search_split=True))
    assert len(both.split) == len(digits().train) + len(digits().search)
    assert len(network_job(retrain_recipe()).split) == len(digits().train)


def test_retraining_learns() -> None:
    history = fit(network_job(retrain_recipe(epochs=20, learning_rate=0.1, label_smoothing=0.0)))
    assert history.loss[-1] < 0.7 * history.loss[0]


def test_the_checkpoint_is_named_after_the_genotype() -> None:
    assert network_job(retrain_recipe()).name == "train-3-2-1-4-3-1"
