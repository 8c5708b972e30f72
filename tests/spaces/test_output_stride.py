"""Output strides: dilated networks compute at every second pixel what they were found to compute."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lowland import spaces
from lowland.core.errors import ConfigError
from lowland.spaces import FeatureNetwork, NetworkOptions, Shape
from lowland.spaces.darts.genotype import OPERATIONS
from lowland.spaces.mobilenetv3.networks import SqueezeExcite
from lowland.spaces.output_stride import honoured
from lowland.testing.spaces.cases import trained_looking

SIZES = {"darts": {"channels": 4, "cells": 7}, "mobilenetv3": {"channels": 4, "cells": 1}}


def twins(space_name: str, seed: int, output_stride: int) -> tuple[FeatureNetwork, FeatureNetwork]:
    """The network as it was found and the dilated one, with the same weights, in float64."""
    space = spaces.get(space_name)
    rng = np.random.default_rng(seed)
    genotype = space.sample(rng)
    while space_name == "darts" and OPERATIONS.index("avg_pool_3x3") in genotype.genes:
        genotype = space.sample(rng)
    shape = Shape(image_size=96, num_classes=5, **SIZES[space_name])
    torch.manual_seed(seed)
    found = space.network(genotype, shape).double().eval()
    trained_looking(found)
    for module in found.modules():
        if isinstance(module, SqueezeExcite):  # a mean over all pixels is over others
            nn.init.zeros_(module.expand.weight)
    dense = space.network(genotype, shape, NetworkOptions(output_stride=output_stride)).double().eval()
    dense.load_state_dict(found.state_dict())
    found.resolution = dense.resolution = None
    return found, dense


@pytest.mark.parametrize("space", sorted(SIZES))
@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("seed", range(3))
def test_every_second_pixel_is_as_it_was(space: str, output_stride: int, seed: int) -> None:
    """Odd images too, whose last row and column have no neighbours to pair with."""
    found, dense = twins(space, seed, output_stride)
    x_NCHW = torch.randn(2, 3, 75, 101, dtype=torch.float64)
    with torch.no_grad():
        maps = zip(found.features(x_NCHW), dense.features(x_NCHW), strict=True)
        for (own, fine), before, after in zip(maps, found.feature_info, dense.feature_info, strict=True):
            step = before.stride // after.stride
            assert after.stride == min(before.stride, output_stride)
            assert (after.channels, after.name) == (before.channels, before.name)
            torch.testing.assert_close(fine[:, :, ::step, ::step], own, rtol=1e-9, atol=1e-12)
            assert list(fine.shape[2:]) == [-(-side // after.stride) for side in x_NCHW.shape[2:]]
    assert [info.stride for info in dense.feature_info] == [2, 4, 8, *([8, 8] if output_stride == 8 else [16, 16])]


@pytest.mark.parametrize(
    ("output_stride", "dilations", "halving"),
    [
        (32, [1] * 14, ["cells.4.", "cells.9."]),
        (16, [1] * 10 + [2] * 4, ["cells.4."]),
        (8, [1] * 5 + [2] * 5 + [4] * 4, []),
    ],
)
def test_reductions_and_dilations_of_fourteen_cells(
    output_stride: int, dilations: list[int], halving: list[str]
) -> None:
    """16: reduction 9 keeps the resolution, cells 10 to 13 look twice as far; 8: reduction 4 too, four times."""
    space = spaces.get("darts")
    genotype = space.parse(",".join(["4,4,4,4,0,4,4,0,0,4,4,0,0,0"] * 2))  # 3×3 separable convolutions alone
    options = NetworkOptions(output_stride=output_stride)
    network = space.network(genotype, Shape(image_size=224, channels=4, cells=14), options)
    first = [next(m for m in cell.edges.modules() if isinstance(m, nn.Conv2d)) for cell in network.cells]
    assert [convolution.dilation for convolution in first] == [(each, each) for each in dilations]
    edges = [name for name, m in network.named_modules() if ".edges." in name and getattr(m, "stride", 1) == (2, 2)]
    assert {name for name in halving if any(edge.startswith(name) for edge in edges)} == set(halving)
    assert all(edge.startswith(tuple(halving)) for edge in edges) if halving else not edges


def test_average_pooling_stays() -> None:
    space = spaces.get("darts")
    genotype = space.parse("2,2,2,2,0,2,2,0,0,2,2,0,0,0|2,2,2,2,0,2,2,0,0,2,2,0,0,0")
    network = space.network(genotype, Shape(image_size=96, channels=4, cells=7), NetworkOptions(output_stride=8))
    pools = [module for module in network.cells.modules() if isinstance(module, nn.AvgPool2d)]
    assert len(pools) == 7 * 8
    assert {(pool.kernel_size, pool.stride, pool.padding) for pool in pools} == {(3, 1, 1)}


def test_a_residual_does_not_appear_where_a_stride_goes() -> None:
    """At this width the blocks that halve have as many channels before as behind."""
    found, dense = twins("mobilenetv3", 0, 8)
    plans = [block.edges.plan for block in dense.cells]
    assert any(plan.dense for plan in plans)
    assert [plan.residual for plan in plans] == [block.edges.plan.residual for block in found.cells]


@pytest.mark.parametrize(
    ("space", "sizes", "asked", "sentence"),
    [
        ("darts", {"image_size": 224, "cells": 14}, 4, "darts: output_stride=4 cannot be had; expected 8, 16 or 32"),
        ("darts", {"image_size": 224, "cells": 14}, 0, "output_stride=0 cannot be had; expected 8, 16 or 32"),
        ("darts", {"image_size": 32, "cells": 8}, 8, "has stride 4 as it is; ask for no more, or take .* stem"),
        ("mobilenetv3", {"image_size": 224}, 64, "expected 8, 16 or 32"),
        ("mobilenetv3-small", {"image_size": 224}, 16, "has stride 8 as it is"),
        ("nasbench201", {"image_size": 224}, 8, "has stride 16, and networks of this space are not dilated"),
        ("nasbench201", {"image_size": 32}, 16, "has stride 4 as it is"),
    ],
)
def test_what_cannot_be_had_is_refused(space: str, sizes: dict[str, int], asked: int, sentence: str) -> None:
    of = spaces.get(space)
    genotype = of.sample(np.random.default_rng(0))
    with pytest.raises(ConfigError, match=sentence):
        of.network(genotype, Shape(**{"channels": 4, "cells": 1, **sizes}), NetworkOptions(output_stride=asked))


def test_a_space_that_ignores_it_is_found_out() -> None:
    space = spaces.get("darts")
    network = space.network(space.sample(np.random.default_rng(0)), Shape(image_size=96, channels=4, cells=7))
    assert honoured(network, None, "mine") is network
    with pytest.raises(ConfigError, match="mine: output_stride=8 cannot be had"):
        honoured(network, 8, "mine")
