from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lowland import spaces
from lowland.core.errors import ConfigError
from lowland.measures.untrained.blocks import find_blocks, visit_blocks
from lowland.spaces import Shape
from lowland.testing.tiny import SHAPE, TinySpace


def network(name: str, cells: int = 2) -> nn.Module:
    space = TinySpace() if name == "tiny" else spaces.get(name)
    shape = SHAPE if name == "tiny" else Shape(in_channels=1, image_size=8, num_classes=3, channels=4, cells=cells)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return space.network(space.sample(np.random.default_rng(3)), shape).eval()


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "count"), [("nasbench201", 8), ("darts", 2), ("tiny", 2)])
def test_every_block_is_visited_once_in_order(name: str, count: int) -> None:
    body, seen = network(name), []
    assert len(find_blocks(body)) == count
    visit_blocks(body, images(), lambda x, y: seen.append((x.detach(), y.detach())))
    assert len(seen) == count
    for (_, before), (after, _) in pairwise(seen):
        assert torch.equal(before, after)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in body.modules())


@pytest.mark.parametrize("name", ["nasbench201", "darts", "tiny"])
def test_blocks_compute_what_the_network_does(name: str) -> None:
    """The last block's output is that of the plain forward pass."""
    body, outputs, traced = network(name), [], []
    handle = (
        body.get_submodule("all" if name == "tiny" else "")
        .cells[-1]
        .register_forward_hook(lambda module, inputs, y: outputs.append(y.detach()))
    )
    body(images())
    handle.remove()
    visit_blocks(body, images(), lambda x, y: traced.append(y.detach()))
    assert torch.equal(traced[-1], outputs[0])


def test_reductions_come_between_the_stages() -> None:
    sizes = []
    visit_blocks(network("nasbench201"), images(), lambda x, y: sizes.append((y.shape[1], y.shape[2])))
    assert sizes == [(4, 8)] * 2 + [(8, 4)] * 3 + [(16, 2)] * 3


@pytest.mark.parametrize("name", ["nasbench201", "darts"])
def test_a_gradient_is_that_of_one_block(name: str) -> None:
    """It reaches the block's input, a leaf, and goes no further."""
    body, found = network(name), []

    def visit(x: Tensor, y: Tensor) -> None:
        assert x.is_leaf
        found.append(torch.autograd.grad(y.sum(), x, allow_unused=True)[0])

    visit_blocks(body, images(), visit)
    assert len(found) == len(find_blocks(body))
    assert any(g is not None and g.abs().sum() > 0 for g in found)


def test_a_feature_map_that_enters_twice_counts_twice() -> None:
    class Both(nn.Module):
        def forward(self, first: Tensor, second: Tensor, drop: float) -> Tensor:
            return 2.0 * first + 3.0 * second

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.ModuleList([Both(), Both()])

        def forward(self, x: Tensor) -> Tensor:
            s0 = s1 = x
            for cell in self.cells:
                s0, s1 = s1, cell(s0, s1, 0.0)
            return s1

    slopes = []
    visit_blocks(Body(), images(), lambda x, y: slopes.append(torch.autograd.grad(y.sum(), x)[0].flatten()[0].item()))
    assert slopes == [5.0, 3.0]


def test_hooks_go_when_a_block_fails() -> None:
    body = network("nasbench201")

    def fail(x: Tensor, y: Tensor) -> None:
        raise RuntimeError("out of memory, say")

    with pytest.raises(RuntimeError, match="out of memory"):
        visit_blocks(body, images(), fail)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in body.modules())


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Sequential has no blocks .* choose another measure"):
        find_blocks(nn.Sequential(nn.Conv2d(1, 1, 1)))
