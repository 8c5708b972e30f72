"""Choosing operations and edges by what a supernet loses without them (DARTS-PT)."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor, nn

from lowland import spaces
from lowland.core.genotype import Genotype
from lowland.search.gradient.alternation import Setting
from lowland.search.gradient.architecture import Architecture, softmax
from lowland.search.gradient.selection import Decisions, Selection, Worth, rounds, worth
from lowland.spaces.relaxed import Mixture, Relaxation
from lowland.testing.tiny import CPU

NB201, DARTS = spaces.get("nasbench201").relaxation, spaces.get("darts").relaxation


def decisions(relaxation: Relaxation, seed: int = 0) -> Decisions:
    made = Architecture.initial(relaxation, CPU.device, seed)
    return Decisions(relaxation, softmax(made), made.live_KEO, seed)


def carried_out(found: Decisions, value_KEO: Tensor) -> Decisions:
    """All rounds, where every operation that is there adds its value to the accuracy."""
    for _ in range(found.rounds):
        found.decide(lambda mixture: Worth(float(((mixture.operations_KEO != 0) * value_KEO).sum()), 0.0))
    return found


class Toy(nn.Module):
    """One edge of NAS-Bench-201 counts: its operation 3 gives the true logits, the others a constant to one class."""

    def __init__(self, edge: int) -> None:
        super().__init__()
        self.edge = edge
        self.norm = nn.BatchNorm1d(4)

    def mixed(self, x_NK: Tensor, mixture: Mixture) -> Tensor:
        weights_O = mixture.operations_KEO[0, self.edge]
        return weights_O[3] * self.norm(x_NK) + (1 - weights_O[3]) * torch.tensor([0.01, 0.0, 0.0, 0.0])


def toy(edge: int) -> tuple[Selection, Toy]:
    labels = torch.arange(4).repeat(4)
    batches = [(nn.functional.one_hot(labels, 4).float(), labels)]
    model = Toy(edge)
    setting = Setting(
        supernet=model,  # type: ignore[arg-type]  # all that a selection asks of one
        compute=CPU,
        seed=0,
        name="toy",
        steps_per_epoch=2,
        epochs=10,
        validation=lambda _: batches[0],
    )
    return Selection(Architecture.initial(NB201, CPU.device, 0), setting, batches, interval=2), model


def test_the_operation_that_tells_classes_apart_is_found_on_its_edge() -> None:
    for edge in range(6):
        found, model = toy(edge)
        while found.decisions.done < found.decisions.rounds:
            found.decide()
        assert found.decisions.genes()[edge] == 3
        row = next(each for each in found.decisions.made if each["edge"] == edge)
        assert row["kept"] == "nor_conv_3x3"
        assert row["without"]["nor_conv_3x3"]["accuracy"] == 0.25
        assert row["without"]["none"]["accuracy"] == 1.0
        assert int(model.norm.num_batches_tracked) == 0, "judging leaves no trace in running statistics"


@pytest.mark.parametrize("seed", [0, 1])
def test_on_nasbench201_every_edge_keeps_its_dearest_operation(seed: int) -> None:
    value = torch.rand(NB201.size, generator=torch.Generator().manual_seed(seed))
    found = carried_out(decisions(NB201, seed), value)
    assert found.rounds == rounds(NB201) == 6
    assert found.genes() == tuple(value[0].argmax(-1).tolist())
    assert sorted(each["edge"] for each in found.made) == list(range(6))
    assert torch.equal(found.mixture().operations_KEO.sum(-1), torch.ones(1, 6)), "the weight of what is left is 1"


def test_in_darts_two_edges_of_each_node_stay_and_none_is_no_choice() -> None:
    value = torch.rand(DARTS.size, generator=torch.Generator().manual_seed(3))
    value[..., 0] = 5.0
    found = carried_out(decisions(DARTS), value)
    assert found.rounds == 14 + 3
    assert len(found.made) == 2 * 17
    genes = torch.tensor(found.genes()).view(2, 14)
    best = value[..., 1:].max(-1)
    for kind in range(2):
        for edges in DARTS.nodes:
            kept = sorted(edges, key=lambda edge: -float(best.values[kind, edge]))[:2]
            assert {edge for edge in edges if genes[kind, edge]} == set(kept)
            assert all(genes[kind, edge] == best.indices[kind, edge] + 1 for edge in kept)
    left = found.mixture().operations_KEO
    assert torch.equal(left.sum(-1).view(-1).bool(), genes.view(-1).bool()), "edges given up are not computed"
    spaces.get("darts").validate(Genotype("darts", found.genes()))


def test_what_is_not_decided_keeps_its_weights() -> None:
    found = decisions(NB201)
    seen: list[Tensor] = []

    def judge(mixture: Mixture) -> Worth:
        seen.append(mixture.operations_KEO)
        return Worth(0.5, 1.0)

    found.decide(judge)
    edge = found.made[0]["edge"]
    for place, weights in enumerate(seen):
        asked = found.weights_KEO.clone()
        asked[0, edge, place] = 0.0
        assert torch.equal(weights, asked), "its weight is 0, the others are not renormalised"
    assert found.made[0]["kept"] == "none", "of equal ones the first"


def test_equal_accuracies_are_told_apart_by_the_loss() -> None:
    found = decisions(NB201)
    losses = iter([1.0, 1.2, math.nan, 9.0, 1.1])
    found.decide(lambda _: Worth(0.5, next(losses)))
    assert found.made[0]["kept"] == NB201.operations[2], "no number at all is worst"
    assert found.made[0]["without"][NB201.operations[2]] == {"accuracy": 0.5, "loss": None}


def test_edges_come_in_an_order_of_the_seed() -> None:
    orders = []
    for seed in (0, 0, 1, 2):
        found = carried_out(decisions(NB201, seed), torch.zeros(NB201.size))
        orders.append([each["edge"] for each in found.made])
    assert orders[0] == orders[1]
    assert len({*map(tuple, orders)}) > 1


def test_a_supernet_is_judged_with_the_statistics_of_the_batch() -> None:
    space = spaces.get("nasbench201")
    torch.manual_seed(0)
    supernet = space.relaxed(spaces.Shape(in_channels=1, image_size=8, num_classes=3, channels=4, cells=1)).train()
    x, labels = torch.randn(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    mixture = decisions(NB201).mixture()
    found = worth(supernet, mixture, [(x[:3], labels[:3]), (x[3:], labels[3:])], CPU)
    with torch.no_grad():
        logits = torch.cat([supernet.mixed(x[:3], mixture), supernet.mixed(x[3:], mixture)])
    assert found.loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), abs=1e-6)
    assert found.accuracy == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    supernet.load_state_dict(before)
    worth(supernet, mixture, [(x, labels)], CPU)
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())


def test_rounds_lie_between_epochs_and_the_state_comes_back() -> None:
    first, _ = toy(2)
    first.decide()
    second, _ = toy(2)
    for step in range(20):
        assert not first.after(step)
        if step == 8:
            second.restore(first.state()[0], json.loads(json.dumps(first.state()[1])))
        elif step > 8:
            second.after(step)
    assert [each["rounds"] for each in first.epochs] == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]
    assert first.decisions.genes()[2] == 3
    assert first.state() == second.state()
    assert torch.equal(first.weights.operations_KEO, second.weights.operations_KEO)
