"""Plain values that spaces speak in: how large a network is, what it costs, how it is built and drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype


def with_gene(genotype: Genotype, gene: int, value: int) -> Genotype:
    """The genotype with one gene replaced; whether that is legal is the space's to know."""
    genes = genotype.genes
    return Genotype(genotype.space, (*genes[:gene], value, *genes[gene + 1 :]))


Stem = Literal["auto", "cifar", "imagenet"]
ClassifierCount = Literal["in*out", "profiler"]

Norm = Literal["batch", "ibn", "ibn-quarter"]
"""Batch norm everywhere, or instance norm for a half or quarter of the channels in all but the last stage."""

PUBLISHED_GROWTH = 2.0
"""Channels double where the resolution halves, in all published networks of stages."""

AS_PUBLISHED: Mapping[str, Any] = MappingProxyType({"growth": PUBLISHED_GROWTH, "norm": "batch", "resolution": 1.0})
"""Fields of `Shape` that descriptions leave out where they have these values."""

GROWTH = (1.0, 4.0)
"""Least and greatest growth that is built."""

RESOLUTION = (0.125, 8.0)
"""Least and greatest resolution that is built."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Shape:
    """What a network sees and how large it is.

    Attributes:
        in_channels: Image channels (1 grey, 3 colour).
        image_size: Height and width of the square input, pixels.
        num_classes: Number of classes K.
        channels: Initial width C.
        cells: Depth in the space's own unit (NAS-Bench-201: cells per stage; DARTS: cells in all).
        stem: `cifar` keeps the resolution, `imagenet` divides it by 2, 4 or 8 (the space says which), `auto` picks.
        growth: g, channels of a stage over those of the one before: stage s has round(C·g^s). Below 2 a network of so
            many parameters has more multiply-accumulates, since its early stages are wider.
        norm: `batch`, or `ibn`, `ibn-quarter` for instance-batch norm in all but the last stage (`spaces.norms`).
        resolution: r, side of what the network works on over that of the images, which it resizes itself; parameters
            stay, multiply-accumulates go with r². `stem=auto` goes by the images.
    """

    in_channels: int = 3
    image_size: int = 32
    num_classes: int = 10
    channels: int = 16
    cells: int = 8
    stem: Stem = "auto"
    growth: float = PUBLISHED_GROWTH
    norm: Norm = "batch"
    resolution: float = 1.0

    def __repr__(self) -> str:
        """As of a data class, without what is as published: digests of earlier runs hold it in this form."""
        return f"Shape({', '.join(f'{name}={value!r}' for name, value in self.described().items())})"

    def width(self, stage: int) -> int:
        """Channels of a stage, counted from 0: round(C·g^s), at least 1."""
        return max(1, round(self.channels * self.growth**stage))

    @property
    def side(self) -> int:
        """Side of what the network works on, pixels: ⌊r·image_size + ½⌋, at least 1."""
        return max(1, math.floor(self.resolution * self.image_size + 0.5))

    def described(self) -> dict[str, Any]:
        """All fields as JSON-like values, those of `AS_PUBLISHED` only where they are not so."""
        return {name: value for name, value in asdict(self).items() if AS_PUBLISHED.get(name) != value}


def require_built(space: str, shape: Shape, norms: tuple[Norm, ...]) -> None:
    """Raise ConfigError for what the space does not build: a norm, or a growth or resolution out of bounds."""
    require_norm(space, shape, norms)
    if not RESOLUTION[0] <= shape.resolution <= RESOLUTION[1]:
        raise ConfigError(
            f"resolution={shape.resolution:g} of a {space} network must be from {RESOLUTION[0]:g} to "
            f"{RESOLUTION[1]:g} times that of its images"
        )
    if not GROWTH[0] <= shape.growth <= GROWTH[1]:
        raise ConfigError(
            f"growth={shape.growth:g} of a {space} network must be from {GROWTH[0]:g} to {GROWTH[1]:g}; published "
            f"networks have {PUBLISHED_GROWTH:g}"
        )


def require_own_resolution(space: str, shape: Shape) -> None:
    """Raise ConfigError for a resolution other than that of the images."""
    if shape.resolution != 1:
        raise ConfigError(f"networks of {space} work on images as they are, not at resolution={shape.resolution:g}")


def require_supernet(space: str, shape: Shape) -> None:
    """Raise ConfigError for what no supernet is built with: another norm, or another resolution than the images'."""
    require_norm(f"{space} that are supernets", shape, ("batch",))
    require_own_resolution(f"{space} that are supernets", shape)


def require_norm(space: str, shape: Shape, norms: tuple[Norm, ...]) -> None:
    """Raise ConfigError for a norm that the space does not build."""
    if shape.norm not in norms:
        raise ConfigError(f"networks of {space} are built with norm={' or '.join(norms)}, not {shape.norm}")


@dataclass(frozen=True, slots=True)
class Cost:
    """Size of one network: scalar weights, and multiply-accumulates for one image."""

    parameters: int
    macs: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.macs + other.macs)


Part = tuple[tuple[int, int], ...]
"""A block of a tensor: (start, stop) for each of its first dimensions; the others are whole."""


@dataclass(frozen=True, slots=True)
class AngleTerm:
    """One part of the architecture vector whose rotation the angle measure takes (RLNAS).

    Attributes:
        name: Supernet parameter, or None for a constant part that training cannot turn.
        square: Squared norm of a constant part (average pooling: 9·C entries of 1/9; skip: the C ones of an identity).
        times: How often the part is repeated in the concatenated vector.
        part: The block of the parameter that counts, in elastic spaces; the default is all of it.
    """

    name: str | None
    square: float = 0.0
    times: float = 1.0
    part: Part = ()


@dataclass(frozen=True, slots=True)
class CellGraph:
    """One cell as a picture: nodes by name, edges (source, target, operation).

    The first `inputs` nodes are what the cell gets, the last one is what it gives.
    """

    title: str
    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str, str], ...]
    inputs: int = 1

    @property
    def cut(self) -> bool:
        """Whether no input reaches the last node, so that the cell says the same of every image."""
        reached = set(self.nodes[: self.inputs])
        for _ in self.nodes:
            reached |= {target for source, target, _ in self.edges if source in reached}
        return self.nodes[-1] not in reached


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkOptions:
    """How a standalone network is built, besides genotype and shape.

    Attributes:
        auxiliary: Add DARTS' auxiliary head; in training mode the network then returns (logits, auxiliary logits).
        drop_path: Probability of dropping an operation's output per image, in training mode (set `network.drop_path`
            during training to change it).
        like_supernet: Keep what only the supernet has (batch norm after pooling, batch norm without affine
            parameters), so that inherited weights give the supernet's outputs exactly.
        output_stride: Stride of the last map, 8, 16 or 32, by dilation in place of the last halvings
            (`spaces.output_stride`); None: the network's own. Names and shapes of all weights stay.
    """

    auxiliary: bool = False
    drop_path: float = 0.0
    like_supernet: bool = False
    output_stride: int | None = None
