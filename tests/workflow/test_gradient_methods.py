"""What single gradient methods do otherwise, and what all refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lowland import spaces
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.registry import SEARCHERS
from lowland.search.gradient import architecture as maths
from lowland.search.gradient.alternation import Alternation, Setting
from lowland.search.gradient.architecture import Architecture
from lowland.search.gradient.method import Moment
from lowland.testing.tiny import CPU
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble
from lowland.workflow.searcher_presets import OWN
from lowland.workflow.searchers import chosen
from lowland.workflow.searchers.gradient.dropnas import kept_operations, rebalanced
from lowland.workflow.searchers.gradient.fairdarts import zero_one
from lowland.workflow.searchers.gradient.family import GradientSearcher
from lowland.workflow.searchers.gradient.shapley import shapley_values, standardised
from whole_runs import TINY

NB201 = spaces.get("nasbench201").relaxation
GRADIENT = sorted(name for name in SEARCHERS.names() if issubclass(SEARCHERS.load(name), GradientSearcher))


def method(name: str, **own: Any) -> GradientSearcher:
    found = chosen(assemble({"search": {"searcher": name, "options": {name: own}}}).search)
    assert isinstance(found, GradientSearcher)
    return found


def moment(seed: int = 0, loss: Any = lambda weights: weights.sum()) -> Moment:
    return Moment(epoch=4, epochs=10, seed=seed, training_loss=loss)


def initial(name: str, **own: Any) -> Architecture:
    return method(name, **own).initial(NB201, CPU.device, 0)


# --- presets and refusals -------------------------------------------------------------------------------------------


def test_presets_know_every_gradient_searcher() -> None:
    assert sorted(OWN) == GRADIENT


@pytest.mark.parametrize("name", sorted(OWN))
@pytest.mark.parametrize("preset", ["quick", "standard", "paper", "paper+compat"])
@pytest.mark.parametrize("space", ["nasbench201", "darts"])
def test_every_preset_makes_settings_that_the_searcher_takes(name: str, preset: str, space: str) -> None:
    config = assemble({"space": space, "preset": preset, "search": {"searcher": name}})
    if (name, space) == ("fairdarts", "darts"):
        with pytest.raises(ConfigError, match=r"every node of this space needs 2; take space nasbench201"):
            chosen(config.search).require(config)
        return
    chosen(config.search).require(config)
    assert config.data.search_fraction == 0.5
    assert config.supernet.path == "shared"


def test_published_recipes() -> None:
    darts = assemble({"space": "darts", "preset": "paper", "search": {"searcher": "darts"}})
    assert (darts.supernet.cells, darts.supernet.channels, darts.supernet.epochs) == (8, 16, 50)
    assert (darts.supernet.learning_rate, darts.supernet.weight_decay, darts.supernet.nesterov) == (0.025, 3e-4, False)
    own = darts.search.options["darts"]
    assert (own["learning_rate"], own["weight_decay"], own["first_beta"]) == (3e-4, 1e-3, 0.5)
    on_201 = assemble({"preset": "paper", "search": {"searcher": "darts"}})
    assert (on_201.supernet.nesterov, on_201.supernet.weight_decay, on_201.supernet.cells) == (True, 5e-4, 5)
    partial = assemble({"space": "darts", "preset": "paper", "search": {"searcher": "pc-darts"}})
    assert (partial.supernet.batch_size, partial.supernet.learning_rate) == (256, 0.1)
    assert partial.search.options["pc-darts"]["warmup_epochs"] == 15
    a2m = {space: assemble({"space": space, "search": {"searcher": "a2m"}}) for space in ("nasbench201", "darts")}
    assert [a2m[space].search.options["a2m"]["flat_rho"] for space in a2m] == [0.01, 0.1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"space": "mobilenetv3-small"}, "space mobilenetv3-small cannot be relaxed"),
        ({"supernet": {"path": "per-cell"}}, r"supernet.path belongs to supernets whose paths are sampled"),
        ({"search": {"options": {"darts": {"warmup_epochs": 30}}}}, r"warmup_epochs=30, which must be below supernet"),
        (
            {"search": {"max_params": 10**6}, "network": {"channels": 16}},
            r"cannot choose by size.*network.channels=fit",
        ),
        ({"search": {"strategy": "random"}}, r"search.strategy=random proposes candidates to searcher one-shot"),
        ({"search": {"finalists": 3}}, "search.finalists orders scored candidates"),
        ({"search": {"lag": 3}}, "search.lag=3 says which scores .* search.searcher=darts scores none"),
        ({"search": {"searcher": "pc-darts", "options": {"pc-darts": {"partial": 3}}}}, "a multiple of partial=3"),
        ({"supernet": {"optimizer": "adamw"}, "search": {"options": {"darts": {"order": "second"}}}}, "step of SGD"),
        ({"search": {"searcher": "dropnas", "options": {"dropnas": {"order": "second"}}}}, "of its own; leave it out"),
        ({"search": {"searcher": "shapley", "options": {"shapley": {"flat_rho": 0.1}}}}, "this one has none"),
        ({"search": {"searcher": "p-darts", "options": {"p-darts": {"operations": [3, 5, 8]}}}}, "must not grow"),
        ({"search": {"searcher": "darts-pt", "options": {"darts-pt": {"stop": "eigenvalue"}}}}, "with the weights of"),
        ({"search": {"searcher": "darts-pt"}, "space": "mobilenetv3-small"}, "cannot be relaxed"),
        ({"retrain": {"inherit": True}}, "retrain.inherit needs a supernet, but search.searcher=darts trains none"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: dict[str, Any], words: str) -> None:
    small = {"data": TINY["data"], "seed": 1}
    with pytest.raises(ConfigError, match=words):
        pipeline.check(assemble({"search": {"searcher": "darts"}}, small, settings))


# --- methods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sdarts-rs", "sdarts-adv"])
def test_without_a_radius_sdarts_is_darts(name: str) -> None:
    own, made = method(name, first_radius=0.0, last_radius=0.0), initial(name)
    found = own.for_weights(made, moment())
    assert torch.equal(found.operations_KEO, maths.softmax(made))


@pytest.mark.parametrize("name", ["sdarts-rs", "sdarts-adv"])
def test_only_the_weights_see_the_perturbation(name: str) -> None:
    own, made = method(name), initial(name)
    before = made.operations_KEO.detach().clone()
    found = own.for_weights(made, moment())
    assert not torch.equal(found.operations_KEO, maths.softmax(made))
    assert torch.allclose(found.operations_KEO.sum(-1), torch.ones(1, 6))
    assert not found.operations_KEO.requires_grad
    assert torch.equal(own.mixture(made).operations_KEO, maths.softmax(made))
    assert torch.equal(made.operations_KEO, before)


def test_partial_connections_of_one_channel_group_are_darts_but_for_the_weights_of_edges() -> None:
    own, made = method("pc-darts", partial=1), initial("pc-darts", partial=1)
    found = own.mixture(made)
    assert own.partial == 1
    assert torch.equal(found.operations_KEO, maths.softmax(made))
    assert found.edges_KE is not None
    assert not torch.allclose(found.edges_KE, torch.ones(1, 6))


def test_the_decision_of_pc_darts_is_on_both_weights() -> None:
    own = method("pc-darts")
    darts = spaces.get("darts").relaxation
    made = own.initial(darts, CPU.device, 0)
    assert made.edges_KE is not None
    with torch.no_grad():
        made.operations_KEO[..., 4] = 2.0
        made.operations_KEO[:, 2, 4] = 1.9  # the weakest of node 1 by its operations, the strongest by its edge
        made.edges_KE[:, 2] = 3.0
    genes = own.genes(made)
    assert genes[2] == 4


def test_the_zero_one_loss_pushes_both_halves_apart() -> None:
    made = initial("fairdarts")
    (slope,) = torch.autograd.grad(zero_one(made), made.operations_KEO)
    assert not slope.any(), "at α = 0 nothing pushes"
    with torch.no_grad():
        made.operations_KEO.copy_(torch.tensor([0.0, 0.3, -0.3, 1.0, -1.0]).expand(1, 6, 5))
    (slope,) = torch.autograd.grad(zero_one(made), made.operations_KEO)
    assert (slope.sign()[0, 0] == torch.tensor([0.0, -1.0, 1.0, -1.0, 1.0])).all()


def test_fairdarts_leaves_out_edges_without_an_open_operation() -> None:
    made = initial("fairdarts")
    assert method("fairdarts").genes(made) == (0,) * 6
    with torch.no_grad():
        made.operations_KEO[0, 3, 3] = 1.74  # σ = .851
        made.operations_KEO[0, 4, 3] = 1.72
    assert method("fairdarts").genes(made) == (0, 0, 0, 3, 0, 0)


def test_dropping_keeps_one_of_each_group() -> None:
    groups, generator = ((2, 3), (0, 1, 4)), torch.Generator().manual_seed(0)
    kept = kept_operations((40, 50, 5), groups, 0.9, generator)
    assert all(kept[..., list(group)].any(-1).all() for group in groups)
    assert kept_operations((3, 6, 5), groups, 0.0, generator).all()
    # p = r^(1/n): of two .05^½ = .224; the last one of a group stays.
    dropped = 1 - kept_operations((200, 100, 5), groups, 0.05, generator).float().mean(dim=(0, 1))
    p = 0.05**0.5
    assert dropped[2].item() == pytest.approx(p - p**2 / 2, abs=0.01)


def test_the_mass_of_kept_operations_stays() -> None:
    generator = torch.Generator().manual_seed(0)
    before = torch.randn(2, 14, 8, generator=generator)
    kept = kept_operations((2, 14, 8), ((4, 5, 6, 7), (0, 1, 2, 3)), 0.3, generator)
    kept[0, 0] = True
    mass = (before.softmax(-1) * kept).sum(-1)
    after = rebalanced(before + kept * torch.randn(before.shape, generator=generator), kept, mass)
    assert torch.allclose((after.softmax(-1) * kept).sum(-1), mass, atol=1e-6)
    assert torch.equal(after[~kept], before[~kept])


def test_nothing_dropped_is_darts_on_one_level() -> None:
    own, made = method("dropnas", drop_rate=0.0, weight_decay=0.0), initial("dropnas")
    mixture = own.for_weights(made, moment())
    assert torch.equal(mixture.operations_KEO, maths.softmax(made))
    (mixture.operations_KEO * torch.arange(5.0)).sum().backward()
    plain = made.operations_KEO.detach().clone().requires_grad_()
    plain.grad = made.operations_KEO.grad
    assert plain.grad is not None
    assert plain.grad.any()
    ours, theirs = (torch.optim.Adam([p], lr=3e-4) for p in (made.operations_KEO, plain))
    own.step(made, ours)
    theirs.step()
    assert torch.equal(made.operations_KEO, plain)


def test_decay_touches_what_has_a_gradient_only() -> None:
    own, made = method("dropnas", weight_decay=0.1, learning_rate=0.5), initial("dropnas")
    own.for_weights(made, moment())
    before = made.operations_KEO.detach().clone()
    made.operations_KEO.grad = torch.zeros_like(before)
    made.operations_KEO.grad[0, 0, 2] = 1e-30
    own.step(made, torch.optim.SGD([made.operations_KEO], lr=0.0))
    changed = (made.operations_KEO.detach() - before).abs() > 1e-7
    assert changed[0, 0].any()
    assert not changed[0, 1:].any()


def test_shapley_values_of_additive_accuracies_are_the_contributions() -> None:
    share = torch.tensor([[[0.0, 0.01, 0.02, 0.03], [0.04, 0.05, 0.06, 0.0]]])

    def accuracy(there: Tensor) -> float:
        return 0.5 + float((share * there).sum())

    live = torch.ones(1, 2, 4, dtype=torch.bool)
    found = shapley_values(live, accuracy, 6, 0.0, torch.Generator().manual_seed(0))
    assert torch.allclose(found, share, atol=1e-6), "each is its contribution, and permutations agree"


def test_a_permutation_ends_below_half_of_the_accuracy() -> None:
    calls = 0

    def accuracy(there: Tensor) -> float:
        nonlocal calls
        calls += 1
        return float(there.float().mean())

    live = torch.ones(1, 5, 4, dtype=torch.bool)
    shapley_values(live, accuracy, 1, 0.5, torch.Generator().manual_seed(0))
    assert calls == 1 + 11, "of 20, nine left are the first below a half"


def test_scores_have_mean_zero_in_each_kind_of_cell() -> None:
    values, live = torch.arange(2 * 3 * 4.0).view(2, 3, 4) ** 2, torch.ones(2, 3, 4, dtype=torch.bool)
    live[..., 0] = False
    found = standardised(values, live)
    assert not found[..., 0].any()
    assert torch.allclose(found[live].view(2, -1).mean(1), torch.zeros(2), atol=1e-6)
    assert torch.allclose(found[live].view(2, -1).std(1), torch.ones(2))
    assert not standardised(torch.ones(1, 2, 3), torch.ones(1, 2, 3, dtype=torch.bool)).any()


def test_shapley_averages_over_epochs_and_waits_for_its_warm_up() -> None:
    own, made = method("shapley", warmup_epochs=2, permutations=1, enough=0.0, average=0.8), initial("shapley")
    start, memory = made.operations_KEO.detach().clone(), {}
    accuracy = lambda mixture: float((mixture.operations_KEO * torch.arange(5.0)).sum())  # noqa: E731
    own.epoch_ended(made, 1, memory, accuracy, 0)
    assert not memory
    own.epoch_ended(made, 2, memory, accuracy, 0)
    first = memory["average"].clone()
    assert torch.allclose(made.operations_KEO.detach(), start + 0.1 * first)
    assert made.operations_KEO[..., 4].mean() > made.operations_KEO[..., 1].mean()
    own.epoch_ended(made, 3, memory, lambda mixture: 0.5, 0)
    assert torch.allclose(memory["average"], 0.8 * first)


# --- the loop --------------------------------------------------------------------------------------------------------


def loop(name: str, **own: Any) -> Alternation:
    torch.manual_seed(0)
    space = spaces.get("nasbench201")
    supernet = space.relaxed(spaces.Shape(in_channels=1, image_size=8, num_classes=3, channels=4, cells=1))
    x = torch.randn(6, 1, 8, 8)

    def validation(step: int) -> tuple[Tensor, Tensor]:
        return x + step, torch.tensor([0, 1, 2, 0, 1, 2])

    setting = Setting(
        supernet=supernet, compute=CPU, seed=0, name=name, steps_per_epoch=2, epochs=3, validation=validation
    )
    made = method(name, **own)
    return Alternation(made, made.initial(NB201, CPU.device, 0), setting)


def test_the_state_of_a_loop_comes_back() -> None:
    first, second = loop("darts", batch_size=2), loop("darts", batch_size=2)
    batch = first.setting.validation(0)
    for step in range(3):
        first.before(step, *batch, None, 0.1)  # type: ignore[arg-type]
        first.after(step)
    second.restore(*first.state())
    for each in (first, second):
        each.before(3, *batch, None, 0.1)  # type: ignore[arg-type]
        each.after(3)
    assert first.epochs == second.epochs
    assert len(first.epochs) == 2
    assert first.chosen == 1
    for ours, theirs in zip(first.state()[0].values(), second.state()[0].values(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_curvature_is_read_every_second_epoch() -> None:
    found = loop("darts", stop="eigenvalue")
    batch = found.setting.validation(0)
    for step in range(6):
        found.before(step, *batch, None, 0.1)  # type: ignore[arg-type]
        assert not found.after(step)
    assert ["eigenvalue" in each for each in found.epochs] == [True, False, True]


def test_warm_up_leaves_the_architecture_alone() -> None:
    found = loop("pc-darts", warmup_epochs=1, partial=2)
    start, batch = found.architecture.operations_KEO.detach().clone(), found.setting.validation(0)
    for step in range(3):
        found.before(step, *batch, None, 0.1)  # type: ignore[arg-type]
        assert torch.equal(found.architecture.operations_KEO, start) == (step < 2)
        found.after(step)


def test_fairdarts_searches_cells_whose_nodes_may_have_one_edge() -> None:
    config = assemble({"space": "darts-open", "preset": "paper", "search": {"searcher": "fairdarts"}})
    chosen(config.search).require(config)
    assert (config.supernet.cells, config.data.search_fraction) == (8, 0.5)
    space = spaces.get("darts-open")
    shut = Architecture.initial(space.relaxation, CPU.device, 0, none=False, spread=0.0)
    genes = method("fairdarts").genes(shut)
    space.validate(Genotype(space.name, genes))
    assert sum(gene != 0 for gene in genes) == 10, "of every node the strongest edge stays, of the first both"
    with torch.no_grad():
        shut.operations_KEO[..., 4] = 3.0
    assert sum(gene != 0 for gene in method("fairdarts").genes(shut)) == 16


# --- DSRNA ------------------------------------------------------------------------------------------------------------


def test_a_small_jacobian_is_asked_for_by_its_weight() -> None:
    x_NCHW = torch.ones(2, 1, 1, 1)
    plain, weighted = method("dsrna", jacobian=0.0), method("dsrna", jacobian=0.5)
    assert plain.input_penalty(lambda x: 3 * x.flatten(1), x_NCHW, 0) is None
    penalty = weighted.input_penalty(lambda x: 3 * x.flatten(1), x_NCHW, 0)
    assert penalty is not None
    assert float(penalty) == pytest.approx(4.5)
    assert method("darts").input_penalty(lambda x: x, x_NCHW, 0) is None
