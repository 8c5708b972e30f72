"""Which paths a step trains, and by which loss: several, fair, sandwiched, of a shrinking space."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lowland import spaces
from lowland.core.config import Config
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.spaces import Space
from lowland.spaces.nasbench201.genotype import OPERATIONS, live_steps
from lowland.training.loop import fit
from lowland.training.paths import elastic, sampled_path, sorts_channels, step_paths
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble

from .elastic import ElasticSpace, ElasticSupernet, elastic_job, elastic_space
from .toy import InMemory, fit_with_stops, same, supernet_config, supernet_job

NAS = spaces.get("nasbench201")
ORDER = ("kernel", "depth", "expansion")

__all__ = ["elastic_space"]


def test_several_paths_are_a_function_of_seed_and_step() -> None:
    config = supernet_config(paths_per_step=3)
    for step in range(5):
        found = step_paths(NAS, config, 3, step, 10)
        assert found == step_paths(NAS, config, 3, step, 10)
        assert len(found) == 3
        assert found[0] == sampled_path(NAS, supernet_config(), 3, step), "the first is that of one path per step"


def test_the_gradient_of_several_paths_is_their_mean() -> None:
    config = supernet_config(paths_per_step=3, label_smoothing=0.1)
    task = supernet_job(config)
    model = cast(Any, task.model).train()
    x_NCHW, labels_N = torch.randn(8, 1, 8, 8), torch.arange(8)
    for loss in cast(Any, task.loss(model, x_NCHW, labels_N, 4)):
        loss.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    paths = [sampled_path(NAS, config, model.num_cells, 4, index) for index in range(3)]
    mean = sum(nn.functional.cross_entropy(model(x_NCHW, p), labels_N, label_smoothing=0.1) for p in paths) / 3
    mean.backward()  # type: ignore[union-attr]
    expected = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.allclose(value, expected[name], rtol=1e-4, atol=1e-6), name


def test_memory_holds_one_graph_at_a_time() -> None:
    """A path's forward pass begins after the backward pass of the one before."""
    task = supernet_job(supernet_config(paths_per_step=3, epochs=1, batch_size=48))
    events: list[str] = []
    task.model.register_forward_hook(lambda *_: events.append("forward"))
    task.model.head.register_full_backward_hook(lambda *_: events.append("backward"))
    fit(task)
    assert events == ["forward", "backward"] * 3


@given(step=st.integers(0, 10_000), cells=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_fair_paths_hold_each_operation_once_on_every_edge_of_every_cell(step: int, cells: int, seed: int) -> None:
    found = step_paths(NAS, supernet_config(path="fair", seed=seed), cells, step, 20_000)
    assert len(found) == len(OPERATIONS)
    for cell in range(cells):
        genotypes = [cast(list[Genotype], path)[cell] for path in found]
        for edge in range(6):
            assert sorted(genotype.genes[edge] for genotype in genotypes) == list(range(len(OPERATIONS)))
        assert all(live_steps(genotype.genes) for genotype in genotypes)


def test_fair_training_gives_every_live_operation_a_gradient() -> None:
    """Each once a step, but for those that `none` cuts off in their path; the classifier learns from all five paths."""
    config = supernet_config(path="fair", epochs=2)
    task = supernet_job(config)
    seen: Counter[str] = Counter()
    for name, parameter in task.model.named_parameters():
        parameter.register_post_accumulate_grad_hook(lambda _, name=name: seen.update([name]))
    fit(task)
    expected: Counter[str] = Counter()
    for step in range(6):
        for path in step_paths(NAS, config, 3, step, 6):
            expected["head.4.weight"] += 1
            for cell, genotype in enumerate(cast(list[Genotype], path)):
                steps = live_steps(genotype.genes)
                live = {f"cells.{cell}.edges.{edge}.{op}.1.weight" for _, edges in steps for edge, _, op in edges}
                expected.update(name for name in live if "conv" in name)
    assert max(expected[f"cells.0.edges.{edge}.nor_conv_3x3.1.weight"] for edge in range(6)) == 6
    assert {name: count for name, count in seen.items() if name in expected} == expected


@pytest.mark.parametrize(
    ("space", "recipe", "sentence"),
    [
        ("darts", {"path": "fair"}, "supernet.path=fair needs a space with the same free choice of operations"),
        ("darts", {"path": "sandwich"}, "supernet.path=sandwich needs a space with a smallest and a largest network"),
        ("nasbench201", {"path": "sandwich"}, "which nasbench201 has not"),
        ("nasbench201", {"shrinking": ORDER}, "space nasbench201 has no elastic dimensions to shrink"),
        ("nasbench201", {"path": "fair", "paths_per_step": 2}, "leave paths_per_step out"),
        ("nasbench201", {"shrinking": ("kernel",)}, "must name kernel, depth and expansion once each"),
        ("nasbench201", {"shrinking": ("kernel", "kernel", "depth")}, "once each, got"),
        ("nasbench201", {"distillation": 1.5}, "supernet.distillation=1.5"),
    ],
)
def test_what_a_space_cannot_do_is_one_sentence_before_anything_is_computed(
    space: str, recipe: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Space, "supernet", None)
    with pytest.raises(ConfigError) as raised:
        pipeline.check(assemble({"space": space, "data": {"name": "digits", "limit": 60}, "supernet": recipe}))
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def sandwich(**recipe: Any) -> Config:
    return supernet_config(space="elastic", path="sandwich", **recipe)


def test_a_sandwich_is_the_largest_the_smallest_and_random_ones(elastic_space: ElasticSpace) -> None:
    smallest, largest = elastic_space.extremes()
    seen: Counter[int] = Counter()
    for step in range(50):
        found = step_paths(elastic_space, sandwich(), 1, step, 50)
        assert found[0] == largest
        assert found[1] in (smallest, largest)
        assert len(set(map(str, found))) == len(found)
        seen[len(found)] += 1
    assert max(seen) == 4, "two random ones are the default"
    assert max(len(step_paths(elastic_space, sandwich(paths_per_step=5), 1, s, 50)) for s in range(50)) == 7
    assert max(len(step_paths(elastic_space, sandwich(paths_per_step=1), 1, s, 50)) for s in range(50)) == 3


@pytest.mark.parametrize("share", [1.0, 0.3, 0.0])
def test_distillation_is_the_formula(elastic_space: ElasticSpace, share: float) -> None:
    config = sandwich(distillation=share, label_smoothing=0.2)
    task = elastic_job(elastic_space, config)
    model = cast(ElasticSupernet, task.model).train()
    x_NCHW, labels_N = torch.randn(8, 1, 8, 8), torch.arange(8)
    found = step_paths(elastic_space, config, 1, 3, task.total_steps())
    losses = [float(loss.detach()) for loss in cast(Any, task.loss(model, x_NCHW, labels_N, 3))]
    logs = [model(x_NCHW, path).detach().log_softmax(1) for path in found]
    target = 0.8 * nn.functional.one_hot(labels_N, 10) + 0.02
    true = [float(-(target * log).sum(1).mean()) for log in logs]
    soft = [float(-(logs[0].exp() * log).sum(1).mean()) for log in logs]
    expected = [true[0], *(share * s + (1 - share) * t for s, t in zip(soft[1:], true[1:], strict=True))]
    assert losses == pytest.approx([value / len(found) for value in expected], rel=1e-5)


def test_no_gradient_flows_through_the_soft_labels(elastic_space: ElasticSpace) -> None:
    """With pure distillation on given soft labels, labels matter to the largest network only."""
    config = sandwich()
    gradients = []
    for shift in (0, 1):
        task = elastic_job(elastic_space, config)
        model = cast(ElasticSupernet, task.model).train()
        torch.manual_seed(0)
        losses = cast(Any, task.loss(model, torch.randn(8, 1, 8, 8), (torch.arange(8) + shift) % 10, 3))
        next(losses)  # the largest network's, left out
        next(losses).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert same(gradients[0], gradients[1])
    assert gradients[0]["head.weight"].abs().sum() > 0


def test_the_order_of_shrinking() -> None:
    config = sandwich(shrinking=ORDER).supernet
    assert [elastic(config, step, 8) for step in range(8)] == [
        *[()] * 2,
        *[("kernel",)] * 2,
        *[("kernel", "depth")] * 2,
        *[ORDER] * 2,
    ]
    assert [step for step in range(8) if sorts_channels(config, step, 8)] == [6]
    other = sandwich(shrinking=("expansion", "kernel", "depth")).supernet
    assert [step for step in range(10) if sorts_channels(other, step, 10)] == [3]
    assert not any(sorts_channels(sandwich().supernet, step, 8) for step in range(8))


@given(steps=st.integers(4, 500), order=st.permutations(ORDER))
@settings(max_examples=50, deadline=None)
def test_channels_are_sorted_once(steps: int, order: list[str]) -> None:
    config = Config.model_validate({"supernet": {"shrinking": order}}).supernet
    found = [step for step in range(steps) if sorts_channels(config, step, steps)]
    assert len(found) == 1
    assert "expansion" in elastic(config, found[0], steps)
    assert "expansion" not in elastic(config, found[0] - 1, steps)


def test_paths_of_a_shrinking_space_are_restricted(elastic_space: ElasticSpace) -> None:
    config = sandwich(shrinking=ORDER)
    _, largest = elastic_space.extremes()
    assert step_paths(elastic_space, config, 1, 0, 40) == [largest], "first the largest network alone"
    for step in range(40):
        dimensions = elastic(config.supernet, step, 40)
        for path in step_paths(elastic_space, config, 1, step, 40):
            assert path == elastic_space.restrict(cast(Genotype, path), dimensions)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw+sam", "muon"])
def test_a_shrinking_run_resumes_to_the_same_bits(elastic_space: ElasticSpace, optimizer: str) -> None:
    """Also where it was stopped just before or behind the sorting, which is done once, in either pass of SAM."""
    config = sandwich(shrinking=ORDER, epochs=4, ema=0.6, optimizer=optimizer, learning_rate=0.01)

    def make() -> Any:
        return elastic_job(elastic_space, config)

    whole = make()
    steps = whole.total_steps()
    sorting = next(step for step in range(steps) if sorts_channels(config.supernet, step, steps))
    losses = fit(whole).loss
    assert whole.model.sorted == 1
    for stops in ((sorting,), (sorting + 1,), (2, sorting - 1, sorting, sorting + 1, steps - 1)):
        resumed, history = fit_with_stops(make, InMemory(), stops)
        assert same(resumed, whole.model.state_dict())
        assert history.loss == losses


def test_momentum_and_averages_begin_anew_when_channels_are_sorted(elastic_space: ElasticSpace) -> None:
    """With lr 0 behind the sorting nothing moves: no old momentum, and the average is of sorted weights only."""
    config = sandwich(shrinking=ORDER, epochs=4, ema=0.9, learning_rate=0.05)
    task = elastic_job(elastic_space, config)
    model, steps = cast(ElasticSupernet, task.model), task.total_steps()
    inner, sort = task.loss, task.rearrange
    kept: dict[str, Tensor] = {}

    def rearrange(step: int) -> bool:
        found = cast(Any, sort)(step)
        if found:
            kept.update({name: value.clone() for name, value in model.named_parameters()})
        return found

    def loss(m: nn.Module, x: Tensor, y: Tensor, step: int) -> Any:
        return inner(m, x, y, step) if not kept else sum(p.sum() for p in m.parameters()) * 0.0

    fit(replace(task, loss=loss, rearrange=rearrange, recipe=task.recipe.model_copy(update={"weight_decay": 0.0})))
    assert steps == 12
    assert same(kept, {name: value.detach() for name, value in model.named_parameters()})


@pytest.mark.parametrize("recipe", [{"paths_per_step": 3, "path": "per-cell"}, {"path": "fair", "ema": 0.7}])
def test_stops_change_nothing_with_several_paths(recipe: dict[str, Any]) -> None:
    def make() -> Any:
        return supernet_job(supernet_config(zero_grad="zeros", **recipe))

    whole = make()
    losses = fit(whole).loss
    resumed, history = fit_with_stops(make, InMemory(), (1, 3, 4))
    assert same(resumed, whole.model.state_dict())
    assert history.loss == losses


def test_averaged_weights_replace_the_supernets() -> None:
    plain, averaged = supernet_job(supernet_config()), supernet_job(supernet_config(ema=0.9))
    fit(plain)
    fit(averaged)
    assert averaged.ema == 0.9
    assert not same(plain.model.state_dict(), averaged.model.state_dict())


@pytest.mark.parametrize("name", [name for name in spaces.registered() if spaces.get(name).extremes() is not None])
def test_elastic_spaces_restrict(name: str) -> None:
    space = spaces.get(name)
    smallest, largest = cast(tuple[Genotype, Genotype], space.extremes())
    rng = np.random.default_rng(0)
    assert space.restrict(smallest, ()).genes[:-1] == largest.genes[:-1], "all but the resolution"
    assert space.restrict(smallest, ORDER) == smallest
    for _ in range(30):
        genotype = space.sample(rng)
        for dimensions in ((), ("depth",), ("kernel", "expansion"), ORDER):
            found = space.restrict(genotype, dimensions)
            space.validate(found)
            assert space.restrict(found, dimensions) == found
            assert space.restrict(found, ()).genes[:-1] == largest.genes[:-1]
            assert found.genes[-1] == genotype.genes[-1]
