"""Genotypes and supernets of DARTS, as its tests take them."""

import numpy as np
import torch
from hypothesis import strategies as st

from lowland.core.genotype import Genotype
from lowland.spaces import Shape, Supernet, get
from lowland.spaces.darts.genotype import from_pairs

SPACE = get("darts")
TINY = Shape(image_size=8, num_classes=5, channels=4, cells=3)

seeds = st.integers(0, 2**32 - 1)


def sample(seed: int) -> Genotype:
    return SPACE.sample(np.random.default_rng(seed))


def all_operations() -> Genotype:
    """A genotype with every operation in both cells, on edges of stride 1 and 2."""
    cell = [("max_pool_3x3", 0), ("skip_connect", 1), ("avg_pool_3x3", 1), ("sep_conv_3x3", 2)]
    cell += [("sep_conv_5x5", 0), ("dil_conv_3x3", 3), ("dil_conv_5x5", 1), ("skip_connect", 4)]
    return from_pairs(cell, cell)


def supernet(shape: Shape) -> Supernet:
    torch.manual_seed(0)
    return SPACE.supernet(shape)
