"""An elastic space of two layers, small enough to follow by hand: depth, kernel and expansion genes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lowland.core.config import Config
from lowland.core.genotype import Genotype
from lowland.core.registry import SPACES
from lowland.spaces import Shape, Space, Supernet
from lowland.training import supernet
from lowland.training.loop import Job

from .toy import CPU, digits

HIDDEN = 8
GENES = ("depth", "kernel", "expansion")


class ElasticSupernet(Supernet):
    """One hidden layer (depth 1: skipped) of 4 or 8 units, on 4×4 (kernel 0) or 8×8 pixels (kernel 1)."""

    num_cells = 1

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.stem = nn.Linear(64, 6)
        self.up = nn.Linear(6, HIDDEN, bias=False)
        self.norm = nn.BatchNorm1d(HIDDEN)
        self.down = nn.Linear(HIDDEN, 6, bias=False)
        self.head = nn.Linear(6, shape.num_classes)
        self.sorted = 0

    def forward(self, x_NCHW: Tensor, path: Any) -> Tensor:
        depth, kernel, expansion = path.genes
        if not kernel:
            x_NCHW = nn.functional.pad(x_NCHW[..., 2:6, 2:6], (2, 2, 2, 2))
        x = self.stem(x_NCHW.flatten(1))
        if depth:
            h = self.norm(self.up(x)).relu()
            width = HIDDEN if expansion else HIDDEN // 2
            x = x + h[:, :width] @ self.down.weight[:, :width].T
        return self.head(x)

    def inherited(self, genotype: Genotype) -> dict[str, str]:
        raise NotImplementedError

    @torch.no_grad()
    def sort_channels(self) -> None:
        order = self.down.weight.abs().sum(0).argsort(descending=True)
        self.down.weight.copy_(self.down.weight[:, order])
        for value in (self.up.weight, self.norm.weight, self.norm.bias, self.norm.running_mean, self.norm.running_var):
            value.copy_(value[order])
        self.sorted += 1


class ElasticSpace(Space):
    name = "elastic"

    def sample(self, rng: np.random.Generator) -> Genotype:
        return Genotype("elastic", tuple(rng.integers(2, size=3).tolist()))

    def extremes(self) -> tuple[Genotype, Genotype]:
        return Genotype("elastic", (0, 0, 0)), Genotype("elastic", (1, 1, 1))

    def restrict(self, genotype: Genotype, elastic: Collection[str]) -> Genotype:
        genes = zip(GENES, genotype.genes, strict=True)
        return Genotype("elastic", tuple(gene if name in elastic else 1 for name, gene in genes))

    def supernet(self, shape: Shape) -> ElasticSupernet:
        return ElasticSupernet(shape)


ElasticSpace.__abstractmethods__ = frozenset()  # what training does not ask for


@pytest.fixture
def elastic_space() -> Iterator[ElasticSpace]:
    """The space, known by its name for the time of a test."""
    SPACES._classes["elastic"] = ElasticSpace
    yield ElasticSpace()
    del SPACES._classes["elastic"]


def elastic_job(space: ElasticSpace, config: Config) -> Job:
    return supernet.job(config, digits(), supernet.initial(config, digits()), CPU)
