"""Elastic MobileNetV3 search spaces: Once-for-All (Cai et al., ICLR 2020, arXiv 1908.09791), and a small variant.

A network is a chain of inverted residual blocks in stages. A genotype decides every stage's depth, every block's kernel
and expansion, and the side to which the network resizes its input. All networks are parts of the largest one.

`Shape.channels` scales all widths, 16 being width 1.0 (rounded to multiples of 8, as published). `Shape.cells` must be
1: depth is a matter of the genes. The stem has stride 2 (`imagenet`), or 1 (`cifar`); `auto` takes 1 for small images.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar, Literal

import numpy as np
import torch

from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.spaces.cost import classifier_cost, module_cost
from lowland.spaces.mobilenetv3 import genotype as genes_of
from lowland.spaces.mobilenetv3 import variation
from lowland.spaces.mobilenetv3.design import FULL_RESOLUTION, ONCE_FOR_ALL, SMALL, Design
from lowland.spaces.mobilenetv3.networks import (
    WIDTH,
    BlockPlan,
    InvertedResidual,
    MobileNetV3Network,
    block_plans,
    first_plan,
    make_head,
    make_stem,
    pixels,
    scaled,
)
from lowland.spaces.mobilenetv3.shrinking import restricted
from lowland.spaces.mobilenetv3.supernet import MobileNetV3Supernet
from lowland.spaces.space import Space, Supernet, SupernetPath, is_searched, register
from lowland.spaces.values import (
    AngleTerm,
    CellGraph,
    ClassifierCount,
    Cost,
    NetworkOptions,
    Shape,
    require_norm,
    require_own_resolution,
    require_supernet,
)

LEAST_PIXELS = 8
"""Smallest image side."""


class ElasticMobileNetV3(Space):
    """A space of elastic MobileNetV3 networks, described by `design`."""

    design: ClassVar[Design]
    default_supernet: Mapping[str, int] = MappingProxyType({"channels": WIDTH, "cells": 1})
    width_step = 1
    norms = ("batch", "ibn", "ibn-quarter")

    # --- genotypes -----------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """(Σ over depths d of (kernels · expansions)^d)^stages · resolutions."""
        return self.design.size

    def validate(self, genotype: Genotype) -> None:
        """Raise GenotypeError unless every gene has a legal option, and those of unused blocks are zero."""
        genes_of.validate(self.design, genotype)

    def sample(self, rng: np.random.Generator) -> Genotype:
        """Uniform over all genotypes, so that a stage of depth d is as likely as there are such stages."""
        return variation.uniform(self.design, rng)

    def sample_path(self, rng: np.random.Generator, cells: int, *, per_cell: bool) -> SupernetPath:
        """For training: every decision uniform, so that shallow stages are trained as often as deep ones."""
        if per_cell:
            return [variation.uniform_genes(self.design, rng) for _ in range(cells)]
        return variation.uniform_genes(self.design, rng)

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float, genes: range | None) -> Genotype:
        """Every gene (or each in `genes`) becomes another option, all equally likely, with `probability`.

        Blocks that a greater depth adds are drawn uniformly. A depth changes only where all genes of its stage are in
        `genes`, because no other gene may change.

        Returns:
            A legal genotype.
        """
        return variation.mutate(self.design, genotype, rng, probability, genes)

    def repaired(self, genes: Sequence[int], rng: np.random.Generator) -> Genotype:
        """Genes of blocks beyond the depth become zero; missing ones of blocks within it are drawn."""
        return variation.repaired(self.design, genes, rng)

    def mutate_near(
        self, genotype: Genotype, rng: np.random.Generator, probability: float, step: Callable[[int, int], int]
    ) -> Genotype:
        """Depths, kernels, expansions and the resolution are numbers: each moves by `step` with `probability`."""
        return variation.mutate_near(self.design, genotype, rng, probability, step)

    def sample_genes(self, rng: np.random.Generator) -> Genotype:
        """Every decision uniform, so that shallow stages are as likely as deep ones (Once-for-All's sampler)."""
        return variation.uniform_genes(self.design, rng)

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Those with another kernel, expansion, depth or resolution; blocks that a depth adds are like the last one."""
        return variation.neighbours(self.design, genotype)

    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> Genotype:
        """Each depth, kernel, expansion and the resolution from either parent with probability 1/2.

        A block that only one parent has comes from that parent.

        Returns:
            A legal genotype.
        """
        return variation.crossover(self.design, first, second, rng)

    def parse(self, text: str) -> Genotype:
        """From `k3e6,k5e4|k7e3,k3e3|…@48/56` or comma-separated genes; GenotypeError says what is wrong where."""
        return genes_of.parse_genotype(self.design, text)

    def format(self, genotype: Genotype) -> str:
        """`k3e6,k5e4|k7e3,k3e3|…@48/56`: the blocks of each stage, and the resolution as a fraction of the image's."""
        return genes_of.format_genotype(self.design, genotype)

    def key(self, genotype: Genotype) -> str:
        """The genes: unused ones are zero, so genotypes that differ compute different functions."""
        self.validate(genotype)
        return str(genotype)

    def encode(self, genotype: Genotype) -> np.ndarray:
        """One-hot per gene, all zero for the genes of unused blocks."""
        return variation.encode(self.design, genotype)

    def extremes(self) -> tuple[Genotype, Genotype]:
        """The smallest and the largest network."""
        return variation.extremes(self.design)

    def restrict(self, genotype: Genotype, elastic: Collection[str]) -> Genotype:
        """`genotype` with kernels, depths and expansions that are not in `elastic` at their largest."""
        return restricted(self.design, genotype, elastic)

    def graphs(self, genotype: Genotype) -> list[CellGraph]:
        """One chain of blocks per stage, such as `mbconv6_7x7` (expansion 6, kernel 7×7)."""
        found = genes_of.choices(self.design, genotype)
        side = f"images at {genes_of.resolution(self.design, genotype)}/{FULL_RESOLUTION}"
        graphs = []
        for number, stage in enumerate(self.design.stages):
            start = number * self.design.most
            chain = [choice for choice in found[start : start + self.design.most] if choice is not None]
            nodes = ("in", *map(str, range(1, len(chain) + 1)))
            edges = tuple(
                (nodes[block], nodes[block + 1], f"mbconv{c.expansion}_{c.kernel}x{c.kernel}")
                for block, c in enumerate(chain)
            )
            facts = [f"stride {stage.stride}"] * (stage.stride > 1) + ["squeeze-and-excitation"] * stage.squeeze
            graphs.append(CellGraph(", ".join([f"stage {number + 1}", *facts, *[side] * (number == 0)]), nodes, edges))
        return graphs

    # --- networks ------------------------------------------------------------------------------------------------

    def check(self, shape: Shape) -> None:
        """Raise ConfigError unless sizes are positive, cells is 1 and images have at least 8 pixels."""
        for name in ("in_channels", "num_classes", "channels"):
            if getattr(shape, name) < 1:
                raise ConfigError(f"{name}={getattr(shape, name)} of a {self.name} network must be at least 1")
        require_norm(self.name, shape, self.norms)
        require_own_resolution(self.name, shape)
        if shape.cells != 1:
            raise ConfigError(
                f"cells={shape.cells} of a {self.name} network must be 1, because its depth is decided by its genes; "
                "set channels to make it larger or smaller"
            )
        if shape.image_size < LEAST_PIXELS:
            raise ConfigError(
                f"images of {shape.image_size} pixels are too small for {self.name}, which needs at least "
                f"{LEAST_PIXELS}; enlarge them with data.image_size"
            )

    def cost(
        self,
        genotype: Genotype,
        shape: Shape,
        *,
        classifier: ClassifierCount = "in*out",
        auxiliary: bool = False,
    ) -> Cost:
        """Exact size of `network(genotype, shape)`, at the genotype's resolution; resizing counts no MACs."""
        self._no_auxiliary(auxiliary)
        self.check(shape)
        found = genes_of.choices(self.design, genotype)
        total, side = _stem_cost(self.design, shape, pixels(self.design, genotype, shape))
        for plan in block_plans(self.design, shape, found):
            if plan is not None:
                cost, side = _block_cost(plan, side)
                total += cost
        features = scaled(self.design.features, shape)
        return total + _head_cost(self.design, shape, side) + classifier_cost(features, shape.num_classes, classifier)

    def supernet(self, shape: Shape) -> MobileNetV3Supernet:
        """An elastic supernet with torch's default initialisation; kernel matrices are the identity."""
        self.check(shape)
        require_supernet(self.name, shape)
        return MobileNetV3Supernet(self.design, shape)

    def network(
        self, genotype: Genotype, shape: Shape, options: NetworkOptions = NetworkOptions()
    ) -> MobileNetV3Network:
        """Build the standalone network; `like_supernet` changes nothing.

        Returns:
            A freshly initialised network: (N, C, H, W) → logits (N, K).

        Raises:
            ConfigError: `shape` cannot be built, `options.drop_path` is not in [0, 1), an auxiliary head is asked for,
                or `options.output_stride` cannot be had.
            GenotypeError: `genotype` is illegal.
        """
        self._no_auxiliary(options.auxiliary)
        self.check(shape)
        if not 0.0 <= options.drop_path < 1.0:
            raise ConfigError(f"{self.name}: drop_path is {options.drop_path}, expected 0 or more and less than 1")
        return MobileNetV3Network(self.design, genotype, shape, options)

    def angle_terms(
        self, supernet: Supernet, genotype: Genotype, *, bn_scale: Literal["once", "twice"] = "once"
    ) -> list[AngleTerm]:
        """Terms of the architecture vector: the convolution weights of the chain, and everything that is fixed.

        Of an elastic weight the part counts that the genotype uses: first channels, and the centre of the kernel,
        before it is transformed. Kernel matrices and batch norm of searched blocks are left out. `bn_scale` has no
        effect: there are no dilated convolutions. (After RLNAS, arXiv 2101.11834, Algorithm 1.)

        Returns:
            One term for every tensor, or part of one.

        Raises:
            ConfigError: `supernet` is not one of this space, or its channels were sorted during training.
            GenotypeError: `genotype` is illegal.
        """
        if not isinstance(supernet, MobileNetV3Supernet) or supernet.design != self.design:
            raise ConfigError(
                f"the angle of a {self.name} genotype needs a {self.name} supernet, got a {type(supernet).__name__}"
            )
        if float(supernet.channels_sorted) > 0:
            raise ConfigError(
                "the angle measure is not defined for a supernet whose channels were sorted during training, because "
                "its weights no longer match the initial ones; leave expansion out of supernet.shrinking or take "
                "another measure"
            )
        fixed = [AngleTerm(name) for name, _ in supernet.named_parameters() if not is_searched(name)]
        return fixed + [AngleTerm(name, part=part) for name, part in supernet.searched_weights(genotype)]

    def _no_auxiliary(self, auxiliary: bool) -> None:
        if auxiliary:
            raise ConfigError(f"{self.name} has no auxiliary head; set retrain.auxiliary_weight to 0")


@register
class OnceForAll(ElasticMobileNetV3):
    """Once-for-All, MobileNetV3, width 1.0: 46 genes, 7371⁵ · 25 networks."""

    design = ONCE_FOR_ALL
    name = "mobilenetv3"
    summary = "5 elastic stages: depth, kernel, expansion and resolution, about 5e20 networks in one"
    source = "Cai et al., Once-for-All, ICLR 2020 (arXiv 1908.09791)"
    gene_names = design.gene_names
    # MobileNetV3-Large (Howard et al., ICCV 2019, arXiv 1905.02244, Table 1) block by block; its expansions 2.5, 2.3
    # and 2.3 in the third stage become 3, the nearest that the space has.
    references = MappingProxyType(
        {"mobilenetv3": "k3e4,k3e3|k5e3,k5e3,k5e3|k3e6,k3e3,k3e3,k3e3|k3e6,k3e6|k5e6,k5e6,k5e6@56/56"}
    )


@register
class SmallMobileNetV3(ElasticMobileNetV3):
    """Our variant for images of 28 to 64 pixels and few processor cores: 22 genes, 258³ · 3 networks.

    Not Howard's MobileNetV3-Small: three elastic stages, of which two halve the resolution, and narrower.
    """

    design = SMALL
    name = "mobilenetv3-small"
    summary = "3 elastic stages for small images: depth, kernel, expansion and resolution, about 5e7 networks in one"
    source = "this project, after Cai et al., Once-for-All, ICLR 2020 (arXiv 1908.09791)"
    gene_names = design.gene_names
    # The stages of MobileNetV3-Large (Howard et al., Table 1) that have the same squeeze-and-excitation and activation
    # as the three here: those of width 24, 40 and 160. Howard's Small has no three stages that could stand for them.
    references = MappingProxyType({"mobilenetv3": "k3e4,k3e3|k5e3,k5e3,k5e3|k5e6,k5e6,k5e6@56/56"})


@lru_cache(maxsize=4096)
def _stem_cost(design: Design, shape: Shape, side: int) -> tuple[Cost, int]:
    """Cost of stem and first block for input of `side` pixels, and the side of their output."""
    with torch.device("meta"):
        stem, _, side = module_cost(make_stem(design, shape), side, side)
    first, side = _block_cost(first_plan(design, shape), side)
    return stem + first, side


@lru_cache(maxsize=65536)
def _block_cost(plan: BlockPlan, side: int) -> tuple[Cost, int]:
    """Cost of a block for input of `side` pixels, and the side of its output."""
    with torch.device("meta"):
        block = InvertedResidual(plan)
    expand, side, _ = module_cost(block.expand, side, side)
    depthwise, side, _ = module_cost(block.depthwise, side, side)
    project, side, _ = module_cost(block.project, side, side)
    total = expand + depthwise + project
    if plan.squeeze:
        for convolution in block.squeeze.children():
            total += module_cost(convolution, 1, 1)[0]
    return total, side


@lru_cache(maxsize=4096)
def _head_cost(design: Design, shape: Shape, side: int) -> Cost:
    """Cost of the head without its classifier."""
    with torch.device("meta"):
        head = make_head(design, shape)
    return module_cost(head[:-1], side, side)[0]
