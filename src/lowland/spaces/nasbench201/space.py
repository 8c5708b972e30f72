"""The NAS-Bench-201 search space (Dong and Yang, ICLR 2020, arXiv 2001.00326).

A cell has 4 nodes and 6 edges, each with one of 5 operations; a node is the sum of its incoming edges. The network is
a stem, three stages of identical cells with C, 2C and 4C channels, a residual reduction block in front of the second
and third stage, and a classifier. An edge whose source is zero or whose result never reaches the output is dead: it is
part of the network and of its published cost, but is never computed.

Tensor names: N batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch

from lowland.core.errors import ConfigError, GenotypeError
from lowland.core.genotype import Genotype
from lowland.spaces.cost import classifier_cost, module_cost
from lowland.spaces.nasbench201.genotype import (
    EDGES,
    FORM,
    GENE_NAMES,
    NAME,
    OPERATIONS,
    ROUTES,
    connected,
    expression,
    fair_cell,
    parse_cell,
    validate,
)
from lowland.spaces.nasbench201.networks import (
    NasBench201Network,
    NasBench201Supernet,
    ReductionBlock,
    feature_info,
    large_images,
    make_head,
    make_stem,
    operation,
    stage_widths,
)
from lowland.spaces.nasbench201.relaxed import RELAXATION, RelaxedNasBench201
from lowland.spaces.output_stride import check_output_stride
from lowland.spaces.relaxed import Relaxation
from lowland.spaces.space import Space, Supernet, SupernetPath, is_searched, register
from lowland.spaces.values import (
    AngleTerm,
    CellGraph,
    ClassifierCount,
    Cost,
    NetworkOptions,
    Shape,
    require_built,
    require_supernet,
    with_gene,
)


@register
class NasBench201(Space):
    """NAS-Bench-201: 6 genes, one operation index per edge in the order of `EDGES`."""

    name = "nasbench201"
    summary = "4-node cell, 6 edges, 5 operations: 15,625 genotypes, 6,466 distinct by the published rule"
    source = "Dong and Yang, NAS-Bench-201, ICLR 2020 (arXiv 2001.00326)"
    gene_names = GENE_NAMES
    width_step = 1
    grows = True
    resizes = True
    norms = ("batch", "ibn", "ibn-quarter")
    default_supernet = MappingProxyType({"channels": 16, "cells": 5})
    # The cell that makes the network a plain residual network, and the one with a 3×3 convolution on every edge.
    references = MappingProxyType(
        {
            "resnet-cell": "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
            "all-conv3x3": "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
            "+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
        }
    )

    @property
    def size(self) -> int:
        """5⁶ = 15,625."""
        return int(len(OPERATIONS) ** len(EDGES))

    def validate(self, genotype: Genotype) -> None:
        """Raise GenotypeError unless there are 6 genes from 0 to 4 of this space."""
        validate(genotype)

    def sample(self, rng: np.random.Generator) -> Genotype:
        """Uniform over all 15,625."""
        return Genotype(NAME, tuple(rng.integers(len(OPERATIONS), size=len(EDGES)).tolist()))

    def sample_path(self, rng: np.random.Generator, cells: int, *, per_cell: bool) -> SupernetPath:
        """Uniform over the cells in which every node has an incoming edge (RLNAS redraws a node until it has one)."""
        return [connected(rng) for _ in range(cells)] if per_cell else connected(rng)

    def fair_paths(self, rng: np.random.Generator, cells: int) -> list[list[Genotype]]:
        """Draw permutations of the five operations, `none` among them, on every edge of every cell.

        A cell's permutations are drawn again while one of its five genotypes has no route from input to output. An
        operation that edges of the same path cut off by `none` is held but, as always here, not computed.

        Returns:
            Five paths, one genotype per cell each.
        """
        columns = [fair_cell(rng) for _ in range(cells)]
        return [list(path) for path in zip(*columns, strict=True)]

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float, genes: range | None) -> Genotype:
        """Each gene (or each in `genes`) becomes another operation, uniform over the other 4, with `probability`."""
        validate(genotype)
        changed = rng.random(len(EDGES)) < probability
        shifts = rng.integers(1, len(OPERATIONS), size=len(EDGES)) * changed
        return Genotype(
            NAME,
            tuple(
                (gene + int(shift)) % len(OPERATIONS) if genes is None or i in genes else gene
                for i, (gene, shift) in enumerate(zip(genotype.genes, shifts, strict=True))
            ),
        )

    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> Genotype:
        """Each gene from either parent with probability 1/2."""
        validate(first)
        validate(second)
        from_first = rng.random(len(EDGES)) < 0.5
        return Genotype(
            NAME, tuple(a if c else b for a, b, c in zip(first.genes, second.genes, from_first, strict=True))
        )

    @property
    def gene_options(self) -> tuple[int, ...]:
        """Five operations on each edge."""
        return (len(OPERATIONS),) * len(EDGES)

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """The 24 with another operation on one edge."""
        validate(genotype)
        for edge, gene in enumerate(genotype.genes):
            yield from (with_gene(genotype, edge, other) for other in range(len(OPERATIONS)) if other != gene)

    def all(self) -> Iterator[Genotype]:
        """All 15,625, the last gene varying fastest."""
        for genes in product(range(len(OPERATIONS)), repeat=len(EDGES)):
            yield Genotype(NAME, genes)

    def parse(self, text: str) -> Genotype:
        """From `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|` or `3,3,1,0,2,4`; GenotypeError says what is wrong where."""
        if "|" in text:
            return Genotype(NAME, parse_cell(text.strip()))
        try:
            genotype = Genotype(NAME, tuple(int(gene) for gene in text.split(",")))
        except ValueError:
            raise GenotypeError(
                f"genotype {text!r} is neither of the form {FORM} nor {len(EDGES)} comma-separated integers"
            ) from None
        validate(genotype)
        return genotype

    def format(self, genotype: Genotype) -> str:
        """The published string form."""
        validate(genotype)
        entries = [f"{OPERATIONS[gene]}~{source}" for gene, (_, source) in zip(genotype.genes, EDGES, strict=True)]
        return "+".join(f"|{'|'.join(node)}|" for node in (entries[:1], entries[1:3], entries[3:]))

    def key(self, genotype: Genotype) -> str:
        """The published rule for isomorphic cells: 6,466 keys, the `isomorph` classes of the benchmark.

        Equal keys always mean equal functions. The rule is cautious: it keeps a cell's zero terms, so that some equal
        functions have several keys (dropping zeros and flattening sums would leave 4,930).

        Returns:
            The cell's `expression`.
        """
        validate(genotype)
        return f"{NAME}:{expression(genotype.genes)}"

    def encode(self, genotype: Genotype) -> np.ndarray:
        """One-hot, 6 × 5 = 30 floats."""
        validate(genotype)
        return np.eye(len(OPERATIONS))[list(genotype.genes)].ravel()

    def graphs(self, genotype: Genotype) -> list[CellGraph]:
        """One cell; `none` edges are left out."""
        validate(genotype)
        nodes = ("in", "1", "2", "out")
        edges = tuple(
            (nodes[source], nodes[target], OPERATIONS[gene])
            for gene, (target, source) in zip(genotype.genes, EDGES, strict=True)
            if gene
        )
        return [CellGraph("cell", nodes, edges)]

    def check(self, shape: Shape) -> None:
        """Raise ConfigError unless all sizes are positive and the image survives the stem and two halvings."""
        _check(shape)

    def cost(
        self,
        genotype: Genotype,
        shape: Shape,
        *,
        classifier: ClassifierCount = "in*out",
        auxiliary: bool = False,
    ) -> Cost:
        """Count the size of the network, dead operations included as in the published table.

        The published MACs count the classifier with its bias, (in + 1)·out: 10 more than `in*out` for 10 classes.
        `profiler` counts (2·in − 1)·out as in every space.

        Returns:
            Parameters and MACs, exact.
        """
        validate(genotype)
        _no_auxiliary(auxiliary)
        fixed, operations = _cost_tables(shape, classifier)
        parameters, macs = fixed.parameters, fixed.macs
        for gene in genotype.genes:
            more_parameters, more_macs = operations[gene]
            parameters += more_parameters
            macs += more_macs
        return Cost(parameters, macs)

    def supernet(self, shape: Shape) -> NasBench201Supernet:
        """A supernet with torch's default initialisation; ConfigError unless all its norms are batch norm."""
        _check(shape)
        require_supernet(NAME, shape)
        return NasBench201Supernet(shape)

    @property
    def relaxation(self) -> Relaxation:
        """The cells as a gradient search sees them."""
        return RELAXATION

    def relaxed(self, shape: Shape, partial: int = 1) -> RelaxedNasBench201:
        """A relaxed supernet; ConfigError where its channels cannot be parted into `partial` groups."""
        _check(shape)
        require_supernet(NAME, shape)
        return RelaxedNasBench201(shape, partial)

    def network(
        self, genotype: Genotype, shape: Shape, options: NetworkOptions = NetworkOptions()
    ) -> NasBench201Network:
        """The standalone network; ConfigError for an auxiliary head or an output stride, which this space has not."""
        validate(genotype)
        _no_auxiliary(options.auxiliary)
        _check(shape)
        check_output_stride(options.output_stride, feature_info(shape)[-1].stride, self.name, dilates=False)
        return NasBench201Network(genotype, shape, options)

    def angle_terms(
        self, supernet: Supernet, genotype: Genotype, *, bn_scale: Literal["once", "twice"] = "once"
    ) -> list[AngleTerm]:
        """Terms of the architecture vector (RLNAS, Algorithm 1).

        The fixed part is every parameter outside the searched operations: stem and reduction blocks with their batch
        norms' scale and shift, last batch norm, classifier weight and bias, as the public code concatenates them. Each
        live route adds its convolutions' weights and 9·C entries of 1/9 per average pooling; skip connections are
        empty. `bn_scale` has no effect: there are no dilated convolutions.

        Returns:
            One term for every tensor, or constant in place of one, with how often it is repeated; none where no route
            is alive.
        """
        validate(genotype)
        live = [route for route in ROUTES if all(genotype.genes[edge] for edge in route)]
        if not live:
            return []
        terms = [AngleTerm(name) for name, _ in supernet.named_parameters() if not is_searched(name)]
        times = Counter(edge for route in live for edge in route)
        for cell in range(supernet.num_cells):
            channels = stage_widths(supernet.shape)[cell // supernet.shape.cells]
            for edge, count in sorted(times.items()):
                name = OPERATIONS[genotype.genes[edge]]
                if name == "avg_pool_3x3":
                    terms.append(AngleTerm(None, square=9 * channels / 81, times=count))
                elif name != "skip_connect":
                    terms.append(AngleTerm(f"cells.{cell}.edges.{edge}.{name}.1.weight", times=count))
        return terms


def _check(shape: Shape) -> None:
    for name in ("in_channels", "num_classes", "channels", "cells"):
        if getattr(shape, name) < 1:
            raise ConfigError(f"{name}={getattr(shape, name)} of a {NAME} network must be at least 1")
    require_built(NAME, shape, NasBench201.norms)
    # 4 pixels behind the stem; the ImageNet stem rounds a quarter up.
    least = 13 if large_images(shape) else 4
    remedy = "set stem to cifar" if 4 <= shape.side < least else "enlarge them with data.image_size"
    if shape.resolution < 1 and shape.image_size >= least:
        remedy = "enlarge network.resolution"
    if shape.side < least:
        raise ConfigError(
            f"images of {shape.side} pixels are too small for {NAME}, which needs at least {least} to halve "
            f"them twice behind its stem; {remedy}"
        )


@lru_cache(maxsize=4096)
def _cost_tables(shape: Shape, classifier: ClassifierCount) -> tuple[Cost, tuple[tuple[int, int], ...]]:
    """Cost outside the cells; and (parameters, MACs) of each operation on one edge, summed over all cells."""
    _check(shape)
    with torch.device("meta"):
        fixed, height, width = module_cost(make_stem(shape), shape.side, shape.side)
        totals = [(0, 0)] * len(OPERATIONS)
        widths = stage_widths(shape)
        for stage, channels in enumerate(widths):
            if stage:
                block = ReductionBlock(widths[stage - 1], channels)
                shortcut, _, _ = module_cost(block.shortcut, height, width)
                residual, height, width = module_cost(block.residual, height, width)
                fixed += shortcut + residual
            for gene, name in enumerate(OPERATIONS[1:], start=1):
                cost, _, _ = module_cost(operation(name, channels, affine=True), height, width)
                parameters, macs = totals[gene]
                totals[gene] = parameters + shape.cells * cost.parameters, macs + shape.cells * cost.macs
        head, _, _ = module_cost(make_head(shape)[:-1], height, width)
    return fixed + head + classifier_cost(stage_widths(shape)[-1], shape.num_classes, classifier), tuple(totals)


def _no_auxiliary(auxiliary: bool) -> None:
    if auxiliary:
        raise ConfigError(f"{NAME} has no auxiliary head; set retrain.auxiliary_weight to 0")
