"""A search space small enough for brute force, in any precision, and tiny trained supernets of it and of real ones.

Two cells of two edges, which both have the same two genes; convolutions with batch norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lowland import spaces
from lowland.core.config import MeasureConfig
from lowland.core.device import Compute
from lowland.core.genotype import Genotype
from lowland.core.registry import MEASURES
from lowland.measures import Context, expression
from lowland.spaces import AngleTerm, Cost, Shape, Space, Supernet, is_searched
from lowland.spaces.operations import ConvBN

OPERATIONS = ("skip", "conv_1x1", "conv_3x3")
CPU = Compute(device=torch.device("cpu"), channels_last=False)
SHAPE = Shape(in_channels=1, image_size=8, num_classes=3, channels=4, cells=1)


class TinyCell(nn.Module):
    """Two residual edges in a row, each skipped or a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            nn.ModuleDict({"conv_1x1": ConvBN(channels, channels, 1), "conv_3x3": ConvBN(channels, channels, 3)})
            for _ in range(2)
        )

    def forward(self, x: Tensor, genes: tuple[int, ...]) -> Tensor:
        for edge, gene in enumerate(genes):
            x = x + self.edges[edge][OPERATIONS[gene]](x) if gene else x
        return x


class TinySupernet(Supernet):
    """All convolutions of both cells, a stem, dropout and a linear classifier."""

    num_cells = 2

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.stem = ConvBN(shape.in_channels, shape.channels, 3, relu=False)
        self.cells = nn.ModuleList(TinyCell(shape.channels) for _ in range(2))
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(shape.channels * 4, shape.num_classes)

    def forward(self, x_NCHW: Tensor, path: Any) -> Tensor:
        x = self.stem(x_NCHW)
        for cell in self.cells:
            x = cell(x, path.genes)
        return self.head(self.dropout(nn.functional.adaptive_avg_pool2d(x.relu(), 2).flatten(1)))

    def inherited(self, genotype: Genotype) -> dict[str, str]:
        live = [f".edges.{edge}.{OPERATIONS[gene]}." for edge, gene in enumerate(genotype.genes) if gene]
        return {name: name for name in self.state_dict() if not is_searched(name) or any(part in name for part in live)}


class TinyNetwork(nn.Module):
    """One genotype, with the weights of all others beside it."""

    def __init__(self, genotype: Genotype, shape: Shape) -> None:
        super().__init__()
        self.genotype = genotype
        self.all = TinySupernet(shape)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.all(x_NCHW, self.genotype)


class TinySpace:
    """What measures ask of a space."""

    name = "tiny"

    def supernet(self, shape: Shape) -> TinySupernet:
        return TinySupernet(shape)

    def network(self, genotype: Genotype, shape: Shape) -> TinyNetwork:
        return TinyNetwork(genotype, shape)

    def cost(self, genotype: Genotype, shape: Shape) -> Cost:
        sizes = [shape.channels**2 * (1, 9)[gene - 1] for gene in genotype.genes if gene]
        return Cost(2 * sum(sizes), 2 * sum(sizes) * shape.image_size**2)

    def key(self, genotype: Genotype) -> str:
        return str(genotype)

    def sample(self, rng: np.random.Generator) -> Genotype:
        return Genotype("tiny", tuple(rng.integers(3, size=2).tolist()))

    def angle_terms(self, supernet: Supernet, genotype: Genotype, *, bn_scale: str = "once") -> list[AngleTerm]:
        if not any(genotype.genes):
            return []
        terms = [AngleTerm("stem.0.weight"), AngleTerm("head.weight", times=1.0 if bn_scale == "once" else 2.0)]
        for edge, gene in enumerate(genotype.genes):
            terms += [
                AngleTerm(f"cells.{cell}.edges.{edge}.{OPERATIONS[gene]}.1.weight", times=edge + 1.0)
                if gene
                else AngleTerm(None, square=float(SHAPE.channels))
                for cell in range(2)
            ]
        return terms


@dataclass
class Case:
    """A trained supernet with everything to score it."""

    space: Space
    supernet: Supernet
    context: Context
    genotypes: list[Genotype]


def measure_config(name: str, **settings: Any) -> MeasureConfig:
    """Settings of the measures of the expression `name`: a key is a measure's own where one has it, else shared."""
    options: dict[str, dict[str, Any]] = settings.pop("options", {})
    for key in list(settings):
        owners = [each for each in expression.names(name) if key in MEASURES.load(each).Config.model_fields]
        for owner in owners[:1]:
            options = {**options, owner: {**options.get(owner, {}), key: settings.pop(key)}}
    return MeasureConfig(name=name, options=options, **settings)


def images(shape: Shape, count: int, seed: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """An easy task: the class is the brightest vertical band."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(shape.num_classes, (count,), generator=generator)
    x = torch.randn(count, shape.in_channels, shape.image_size, shape.image_size, generator=generator)
    width = shape.image_size // shape.num_classes
    for image, label in zip(x, labels.tolist(), strict=True):
        image[..., label * width : (label + 1) * width] += 1.5
    return x.to(dtype), labels


def batches(
    shape: Shape, count: int, size: int, seed: int, dtype: torch.dtype = torch.float32
) -> list[tuple[Tensor, Tensor]]:
    """The easy task in batches of `size`."""
    x, labels = images(shape, count, seed, dtype)
    return list(zip(x.split(size), labels.split(size), strict=True))


def case(name: str = "tiny", dtype: torch.dtype = torch.float64, *, steps: int = 40, seed: int = 0) -> Case:
    """A supernet of the tiny space or of a real one, trained for a moment on the easy task."""
    space: Any = TinySpace() if name == "tiny" else spaces.get(name)
    shape = SHAPE if name == "tiny" else Shape(in_channels=1, image_size=8, num_classes=3, channels=4, cells=1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        supernet = space.supernet(shape).to(dtype)
    initial = {key: value.clone() for key, value in supernet.state_dict().items()}
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.SGD(supernet.parameters(), 0.05, momentum=0.9)
    supernet.train()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for step in range(steps):
            x, labels = images(shape, 32, 100 + step, dtype)
            loss = nn.functional.cross_entropy(supernet(x, space.sample(rng)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    optimizer.zero_grad()
    context = Context(
        space=space,
        scored=batches(shape, 60, 24, 1, dtype),
        calibration=batches(shape, 48, 16, 2, dtype),
        initial=initial,
        compute=CPU,
        seed=7,
    )
    genotypes = [Genotype("tiny", genes) for genes in ((1, 2), (2, 2), (0, 1))] if name == "tiny" else []
    while len(genotypes) < 3:
        drawn = space.sample(rng)
        if drawn not in genotypes and space.angle_terms(supernet, drawn):
            genotypes.append(drawn)
    return Case(space, supernet, context, genotypes)
