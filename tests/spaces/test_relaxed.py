"""Relaxed supernets: mixtures of all operations, and what they have in common with paths."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lowland import spaces
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.spaces import Shape
from lowland.spaces.relaxed import Mixture, RelaxedSupernet, shuffled

CELLS = {"nasbench201": 1, "darts": 3}


def relaxed(space: str, partial: int = 1) -> RelaxedSupernet:
    torch.manual_seed(0)
    return spaces.get(space).relaxed(Shape(image_size=9, channels=8, cells=CELLS[space]), partial)


def one_hot(genotype: Genotype) -> Mixture:
    kinds, edges, operations = spaces.get(genotype.space).relaxation.size
    weights = nn.functional.one_hot(torch.tensor(genotype.genes).view(kinds, edges), operations)
    return Mixture(weights.float())


def images() -> Tensor:
    return torch.randn(3, 3, 9, 9, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("space", CELLS)
@pytest.mark.parametrize("training", [False, True])
def test_a_one_hot_mixture_is_the_path(space: str, training: bool) -> None:
    supernet = relaxed(space).train(training)
    for seed in range(6):
        genotype = spaces.get(space).sample(numpy_rng(seed))
        path, mixed = supernet(images(), genotype), supernet.mixed(images(), one_hot(genotype))
        assert (mixed - path).abs().max() <= 1e-6


def test_a_cell_that_nothing_enters_is_zero() -> None:
    supernet = relaxed("nasbench201").eval()
    dead = Genotype("nasbench201", (0,) * 6)
    assert torch.equal(supernet.mixed(images(), one_hot(dead)), supernet(images(), dead))
    darts = relaxed("darts").eval()
    assert darts.mixed(images(), Mixture(torch.zeros(2, 14, 8))).isfinite().all()


@pytest.mark.parametrize("space", CELLS)
def test_operations_of_weight_zero_are_not_computed(space: str) -> None:
    supernet = relaxed(space)
    weights = torch.zeros(spaces.get(space).relaxation.size)
    skip = spaces.get(space).relaxation.skip
    weights[..., skip] = 0.5
    weights[0, 0, 0] = 0.5  # `none` absorbs weight and nothing else
    weights.requires_grad_()
    supernet.mixed(images(), Mixture(weights)).sum().backward()
    learnt = {name.split(".")[4] for name, p in supernet.named_parameters() if ".edges." in name and p.grad is not None}
    assert learnt <= {"skip_connect"}
    assert weights.grad is not None
    assert weights.grad[..., skip].any()
    assert not weights.grad[..., 0].any()


@pytest.mark.parametrize("space", CELLS)
def test_searched_norms_have_no_scale_that_could_undo_a_weight(space: str) -> None:
    searched = [
        module
        for name, module in relaxed(space).named_modules()
        if ".edges." in name and isinstance(module, nn.BatchNorm2d)
    ]
    assert searched
    assert all(module.weight is None and module.bias is None for module in searched)


def test_the_supernet_of_paths_keeps_its_scales() -> None:
    supernet = spaces.get("darts").supernet(Shape(image_size=9, channels=4, cells=3))
    assert any(name.endswith("max_pool_3x3.1.weight") for name, _ in supernet.named_parameters())


@pytest.mark.parametrize("space", CELLS)
@pytest.mark.parametrize("partial", [2, 4])
def test_partial_channels_pass_through_every_edge(space: str, partial: int) -> None:
    supernet = relaxed(space, partial)
    assert supernet.partial == partial
    size = spaces.get(space).relaxation.size
    weights = torch.full(size, 1 / size[2])
    assert supernet.mixed(images(), Mixture(weights, torch.full(size[:2], 0.5))).shape == (3, 10)
    # What bypasses the operations remains where all of them are zero.
    first, second = (supernet.eval().mixed(x, Mixture(torch.zeros(size))) for x in (images(), -images()))
    assert not torch.equal(first, second)
    fewer = sum(p.numel() for n, p in supernet.named_parameters() if ".edges." in n)
    assert fewer < sum(p.numel() for n, p in relaxed(space).named_parameters() if ".edges." in n)


def test_a_shuffle_by_one_group_is_the_identity() -> None:
    x = images().repeat(1, 2, 1, 1)
    assert torch.equal(shuffled(x, 1), x)
    assert shuffled(torch.arange(6.0).view(1, 6, 1, 1), 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_an_edge_weight_scales_its_edge() -> None:
    supernet, genotype = relaxed("nasbench201").eval(), Genotype("nasbench201", (0, 0, 0, 1, 0, 0))
    mixture = one_hot(genotype)
    doubled = Mixture(2 * mixture.operations_KEO, torch.full((1, 6), 0.5))
    assert torch.allclose(supernet.mixed(images(), doubled), supernet.mixed(images(), mixture), atol=1e-6)


@pytest.mark.parametrize("space", CELLS)
def test_channels_that_do_not_divide_are_refused(space: str) -> None:
    with pytest.raises(ConfigError, match=r"channels=8 to be a multiple of partial=3; set supernet.channels=9"):
        relaxed(space, 3)


@pytest.mark.parametrize("space", ["mobilenetv3", "mobilenetv3-small"])
def test_a_space_that_cannot_be_relaxed_says_so(space: str) -> None:
    with pytest.raises(ConfigError, match=f"space {space} cannot be relaxed"):
        spaces.get(space).relaxed(Shape(image_size=32))
    with pytest.raises(ConfigError, match="cannot be relaxed"):
        _ = spaces.get(space).relaxation
