from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from lowland import spaces
from lowland.core.config import Config
from lowland.core.device import Compute
from lowland.core.genotype import Genotype
from lowland.core.seeds import torch_generator
from lowland.data import Split, augment, batches, order
from lowland.spaces import is_searched
from lowland.spaces.nasbench201.genotype import EDGES, OPERATIONS
from lowland.training.loop import Job, fit
from lowland.training.optimization import learning_rate
from lowland.training.paths import sampled_path
from lowland.training.supernet import RandomLabels, initial, job, shape

from .toy import BATCH, digits, supernet_config, supernet_job

EXACT = Compute(device=torch.device("cpu"), channels_last=False)


def images_of(job: Job, epoch: int) -> list[tuple[Tensor, Tensor]]:
    """The batches of one epoch, made once more from the seeds."""
    per_epoch = job.steps_per_epoch()
    indices = order(len(job.split), seed=job.seed, keys=(job.name, "order", epoch))[: per_epoch * BATCH]
    made = []
    for index, (x, labels) in enumerate(batches(job.split, BATCH, indices)):
        generator = torch_generator(job.seed, job.name, "augment", epoch * per_epoch + index, 0)
        x = augment(x, generator, flip=job.data.flip, padding=job.data.crop_padding, cutout=job.recipe.cutout)
        made.append((job.data.normalise(x), labels))
    return made


def sgd_by_hand(config: Config) -> tuple[dict[str, Tensor], dict[str, set[int]]]:
    """Path sampling with SGD written out in float64: final weights, and in which steps each parameter was used."""
    task = supernet_job(config, EXACT)
    recipe, space = config.supernet, spaces.get(config.space)
    model = task.model.double().train()
    velocity: dict[str, Tensor] = {}
    used: dict[str, set[int]] = {name: set() for name, _ in model.named_parameters()}
    step = 0
    for epoch in range(recipe.epochs):
        for x_NCHW, labels_N in images_of(task, epoch):
            path = sampled_path(space, config, model.num_cells, step)
            logits_NK = model(x_NCHW.double(), path)
            smooth = recipe.label_smoothing
            target_NK = nn.functional.one_hot(labels_N, 10).double() * (1 - smooth) + smooth / 10
            loss = -(target_NK * logits_NK.log_softmax(1)).sum(1).mean()
            names = dict(model.named_parameters())
            found = torch.autograd.grad(loss, list(names.values()), allow_unused=True)
            gradients = dict(zip(names, found, strict=True))
            norm = torch.stack([g.norm() for g in found if g is not None]).norm()
            scale = min(1.0, recipe.clip / float(norm + 1e-6)) if recipe.clip else 1.0
            rate = learning_rate(recipe, step, task.steps_per_epoch())
            with torch.no_grad():
                for name, value in names.items():
                    gradient = gradients[name]
                    if gradient is not None:
                        used[name].add(step)
                    elif recipe.zero_grad == "zeros" and used[name]:
                        gradient = torch.zeros_like(value)
                    else:
                        continue
                    gradient = gradient * scale + recipe.weight_decay * value
                    velocity[name] = recipe.momentum * velocity.get(name, torch.zeros_like(value)) + gradient
                    nesterov = gradient + recipe.momentum * velocity[name]
                    value -= rate * (nesterov if recipe.nesterov else velocity[name])
            step += 1
    return {name: value.detach() for name, value in model.named_parameters()}, used


@pytest.mark.parametrize("zero_grad", ["none", "zeros"])
@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"nesterov": True, "weight_decay": 0.02, "path": "per-cell", "label_smoothing": 0.1},
        {"momentum": 0.0, "weight_decay": 0.05, "clip": 0.5},
    ],
)
def test_supernet_training_is_path_sampling_with_sgd(zero_grad: str, recipe: dict[str, Any]) -> None:
    config = supernet_config(zero_grad=zero_grad, **recipe)
    expected, _ = sgd_by_hand(config)
    task = supernet_job(config, EXACT)
    # In float64 throughout, so that the two agree to the last digits.
    double = replace(task, model=task.model.double(), loss=lambda m, x, y, s: task.loss(m, x.double(), y, s))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "float", Tensor.double)  # the loss is taken in fp32 otherwise
        fit(double)
    for name, value in double.model.named_parameters():
        assert torch.allclose(value, expected[name], rtol=0, atol=1e-9), name


def weights_after_each_step(config: Config) -> tuple[Job, list[dict[str, Tensor]]]:
    """Weights before the first step and after each."""
    task = supernet_job(config)
    seen = [{name: value.detach().clone() for name, value in task.model.named_parameters()}]
    inner = task.loss

    def loss(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Tensor:
        if step:
            seen.append({name: value.detach().clone() for name, value in model.named_parameters()})
        return inner(model, x_NCHW, labels_N, step)

    fit(replace(task, loss=loss))
    seen.append({name: value.detach().clone() for name, value in task.model.named_parameters()})
    return task, seen


@pytest.mark.parametrize("zero_grad", ["none", "zeros"])
def test_what_happens_to_operations_not_sampled(zero_grad: str) -> None:
    """`none`: not one bit changes; `zeros`: those once sampled are decayed and moved, the others untouched."""
    config = supernet_config(zero_grad=zero_grad, epochs=4, weight_decay=0.01)
    _, used = sgd_by_hand(config)
    _, seen = weights_after_each_step(config)
    resting = sleeping = 0
    for name in seen[0]:
        for step in range(len(seen) - 1):
            changed = not torch.equal(seen[step][name], seen[step + 1][name])
            if step in used[name]:
                assert changed
            elif any(earlier < step for earlier in used[name]):
                resting += 1
                assert changed == (zero_grad == "zeros"), (name, step)
            else:
                sleeping += 1
                assert not changed
    assert resting > 20
    assert sleeping > 20


def test_a_path_is_a_function_of_seed_and_step() -> None:
    space = spaces.get("nasbench201")
    config = supernet_config()
    paths = [sampled_path(space, config, 3, step) for step in range(20)]
    assert paths == [sampled_path(space, config, 3, step) for step in range(20)]
    torch.manual_seed(1)
    assert paths[::-1] == [sampled_path(space, config, 3, step) for step in reversed(range(20))]
    assert len({str(path) for path in paths}) > 15
    assert paths != [sampled_path(space, supernet_config(seed=6), 3, step) for step in range(20)]


@pytest.mark.parametrize("name", ["nasbench201", "darts"])
def test_one_genotype_for_all_cells_or_one_each(name: str) -> None:
    space = spaces.get(name)
    shared = sampled_path(space, supernet_config(space=name), 4, 0)
    assert isinstance(shared, Genotype)
    each = sampled_path(space, supernet_config(space=name, path="per-cell"), 4, 0)
    assert not isinstance(each, Genotype)
    assert len(each) == 4
    assert len(set(each)) > 1


def test_paths_are_uniform_over_connected_cells() -> None:
    """χ² over the operations of edge 0 (never `none`: it is its node's only edge) and of edge 5 (sometimes)."""
    space, config = spaces.get("nasbench201"), supernet_config()
    genes = np.array([sampled_path(space, config, 1, step).genes for step in range(2000)])
    assert genes.shape == (2000, len(EDGES))
    first = np.bincount(genes[:, 0], minlength=len(OPERATIONS))
    assert first[0] == 0
    assert stats.chisquare(first[1:]).pvalue > 1e-3
    last = np.bincount(genes[:, 5], minlength=len(OPERATIONS))
    assert stats.chisquare(last[1:]).pvalue > 1e-3
    # Three edges, not all `none`: one of them is `none` in 24 of 124 cases.
    assert stats.binomtest(int(last[0]), 2000, 24 / 124).pvalue > 1e-3


@pytest.mark.parametrize("space", ["nasbench201", "darts"])
def test_a_step_trains_the_sampled_path_and_no_other(space: str) -> None:
    config = supernet_config(space=space, cells=2, epochs=1, batch_size=48)
    before = {name: value.clone() for name, value in supernet_job(config).model.state_dict().items()}
    task = supernet_job(config)
    fit(task)
    model = task.model
    genotype = sampled_path(spaces.get(space), config, model.num_cells, 0)
    path = set(model.inherited(genotype).values())
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert changed <= path
    learned = {name for name, _ in model.named_parameters() if not is_searched(name)}
    assert learned <= changed


def test_initial_weights_are_a_function_of_seed_and_shape() -> None:
    first, again, other = (initial(supernet_config(seed=seed), digits()).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert any(not torch.equal(value, other[name]) for name, value in first.items())
    size = shape(supernet_config(cells=2), digits())
    assert (size.in_channels, size.image_size, size.num_classes, size.channels, size.cells) == (1, 8, 10, 4, 2)


def test_label_smoothing_enters_the_loss() -> None:
    config = supernet_config(label_smoothing=0.3)
    task = job(config, digits(), initial(config, digits()), EXACT)
    x_NCHW, labels_N = torch.randn(8, 1, 8, 8), torch.arange(8)

    class Fixed(nn.Module):
        def forward(self, x_NCHW: Tensor, path: object) -> Tensor:
            return torch.arange(10.0).expand(len(x_NCHW), 10)

    logs = torch.arange(10.0).log_softmax(0)
    expected = -(0.7 * logs[:8].mean() + 0.3 * logs.mean())
    assert float(task.loss(Fixed(), x_NCHW, labels_N, 0)) == pytest.approx(float(expected), rel=1e-6)


def test_random_labels_are_fixed_uniform_and_know_nothing() -> None:
    class Many(Split):
        labels_N = torch.arange(20000) % 10
        streamed = True

        def images(self, indices: Tensor) -> Tensor:
            return indices

    split = RandomLabels(Many(), 10, seed=5)
    again, other = RandomLabels(Many(), 10, seed=5), RandomLabels(Many(), 10, seed=6)
    assert torch.equal(split.labels_N, again.labels_N)
    assert not torch.equal(split.labels_N, other.labels_N)
    assert len(split) == 20000
    assert split.streamed
    assert split.labels_N.dtype == torch.int64
    counts = np.bincount(split.labels_N, minlength=10)
    assert stats.chisquare(counts).pvalue > 1e-3
    table = np.histogram2d(Many.labels_N, split.labels_N, bins=10)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-3
    assert torch.equal(split.images(torch.tensor([3, 1])), torch.tensor([3, 1]))


def test_random_labels_stay_with_their_images_in_every_epoch() -> None:
    task = supernet_job(supernet_config(random_labels=True, epochs=3))
    seen: dict[int, set[int]] = {}
    visited: list[Tensor] = []
    inner, images = task.loss, task.split.images

    def watched(indices: Tensor) -> Tensor:
        visited.append(indices)
        return images(indices)

    def loss(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Tensor:
        for image, label in zip(visited[-1].tolist(), labels_N.tolist(), strict=True):
            seen.setdefault(image, set()).add(label)
        return inner(model, x_NCHW, labels_N, step)

    task.split.images = watched  # type: ignore[method-assign]
    fit(replace(task, loss=loss))
    assert len(seen) == len(task.split)
    assert all(len(labels) == 1 for labels in seen.values())
    assert {image: labels.pop() for image, labels in seen.items()} != dict(enumerate(digits().train.labels_N.tolist()))


def test_the_search_split_takes_no_part() -> None:
    assert supernet_job(supernet_config()).split is digits().train
