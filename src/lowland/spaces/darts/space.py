"""The DARTS search space (Liu et al., ICLR 2019): two cells of four inner nodes, stacked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import torch

from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.spaces import published
from lowland.spaces.cost import classifier_cost, module_cost
from lowland.spaces.darts.cells import (
    AUXILIARY_FEATURES,
    AuxiliaryHead,
    DartsNetwork,
    DartsSupernet,
    Stem,
    operation,
    preprocess,
)
from lowland.spaces.darts.genotype import (
    EDGES,
    KINDS,
    LEGAL_CELLS,
    NODE_EDGES,
    NODES,
    OPERATIONS,
    SPACE,
    LiveCell,
    LiveEdge,
    format_genotype,
    live_edges,
    parse_genotype,
    repaired,
    validate,
)
from lowland.spaces.darts.layout import cell_layouts, feature_info, has_imagenet_stem
from lowland.spaces.darts.relaxed import RELAXATION, RelaxedDarts
from lowland.spaces.output_stride import check_output_stride
from lowland.spaces.relaxed import Relaxation
from lowland.spaces.space import Space, Supernet, register
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

_GENES = 2 * len(EDGES)


@register
class Darts(Space):
    """DARTS: 28 genes, the operation (0 `none` … 7 `dil_conv_5x5`) of each of 14 normal and 14 reduction edges.

    `Shape.cells` is the number of cells in all (8 to search, 20 on CIFAR, 14 on ImageNet). Reductions are at
    cells // 3 and 2 · cells // 3, except that the first cell is always normal: a network of one cell has no reduction
    and its reduction genes no effect.
    """

    name = "darts"
    grows = True
    resizes = True
    norms = ("batch", "ibn", "ibn-quarter")
    summary = "two cells of 4 nodes, 7 operations, about 1e18 networks"
    source = "Liu et al., DARTS, ICLR 2019 (arXiv 1806.09055)"
    gene_names = tuple(f"{kind} {node + 2}←{source}" for kind in KINDS for node, source in EDGES)
    default_supernet: Mapping[str, int] = {"channels": 16, "cells": 8}
    references: Mapping[str, str] = {"darts-v2": format_genotype(published.get("darts-v2-cifar10").genotype)}

    # --- genotypes -----------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """(180 · 7⁸)²: per cell, two of 2, 3, 4 and 5 sources for the four nodes, and an operation for each."""
        return LEGAL_CELLS * LEGAL_CELLS

    def validate(self, genotype: Genotype) -> None:
        """Raise GenotypeError unless every gene is 0 to 7 and every inner node has exactly two edges not `none`."""
        validate(genotype, self.name)

    def sample(self, rng: np.random.Generator) -> Genotype:
        """One legal genotype, uniform over all: per node two different sources, and one of 7 operations for each."""
        genes = np.zeros(_GENES, dtype=np.int64)
        for node in _nodes():
            genes[rng.choice(node, size=2, replace=False)] = rng.integers(1, len(OPERATIONS), size=2)
        return Genotype(SPACE, tuple(genes.tolist()))

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float, genes: range | None) -> Genotype:
        """Pick every gene (or every gene in `genes`) with `probability` and change it.

        A picked gene that holds an operation gets one of the other six, uniformly. A picked `none` gets one of the
        seven, and one of its node's two live edges, at random, becomes `none` for it (at most two per node, at random
        where more are picked). One picked gene or more always gives another genotype; a change never leaves its node,
        so `genes=range(14)` changes the normal cell only (the public code's fault). Each single step is as likely as
        its reverse.

        Returns:
            A legal genotype.
        """
        self.validate(genotype)
        changed = list(genotype.genes)
        picked = rng.random(_GENES) < probability
        for node in _nodes():
            chosen = [gene for gene in node if picked[gene] and (genes is None or gene in genes)]
            live = [gene for gene in node if genotype.genes[gene]]
            for gene in (gene for gene in chosen if gene in live):
                # One of the six others: a shift of 1 to 6 around the seven operations.
                changed[gene] = (changed[gene] - 1 + int(rng.integers(1, 7))) % 7 + 1
            entering = rng.permutation([gene for gene in chosen if gene not in live])[:2].tolist()
            for gene, leaving in zip(entering, rng.permutation(live).tolist(), strict=False):
                changed[int(gene)] = int(rng.integers(1, len(OPERATIONS)))
                changed[leaving] = 0
        return Genotype(SPACE, tuple(changed))

    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> Genotype:
        """Take each inner node of each cell, with all its edges, from either parent with probability 1/2.

        Nodes are the smallest parts that can be exchanged and leave every child legal.

        Returns:
            A legal genotype.
        """
        self.validate(first)
        self.validate(second)
        genes: list[int] = []
        for node, from_first in zip(_nodes(), rng.random(2 * NODES) < 0.5, strict=True):
            genes += (first if from_first else second).genes[node.start : node.stop]
        return Genotype(self.name, tuple(genes))

    @property
    def gene_options(self) -> tuple[int, ...]:
        """Eight operations, `none` among them, on each edge."""
        return (len(OPERATIONS),) * _GENES

    def repaired(self, genes: Sequence[int], rng: np.random.Generator) -> Genotype:
        """Node by node: of too many live edges random ones become `none`, of too few random ones get an operation."""
        return repaired(genes, rng)

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """The 96 with another operation on one edge, and the 24 in which one operation comes from another source."""
        self.validate(genotype)
        for node in _nodes():
            for gene in (gene for gene in node if genotype.genes[gene]):
                held = genotype.genes[gene]
                yield from (with_gene(genotype, gene, other) for other in range(1, len(OPERATIONS)) if other != held)
                emptied = with_gene(genotype, gene, 0)
                yield from (with_gene(emptied, other, held) for other in node if not genotype.genes[other])

    def parse(self, text: str) -> Genotype:
        """A legal genotype from `Genotype(normal=[…], …)` (nothing is evaluated) or 28 genes, `|` between the cells."""
        return parse_genotype(text)

    def format(self, genotype: Genotype) -> str:
        """The Python form of the DARTS code on one line, `Genotype(normal=[('sep_conv_3x3', 0), …], …)`."""
        return format_genotype(genotype)

    def key(self, genotype: Genotype) -> str:
        """The genes: genotypes that differ compute different functions, since the output keeps the nodes' order."""
        self.validate(genotype)
        return str(genotype)

    def encode(self, genotype: Genotype) -> np.ndarray:
        """One-hot per gene: (28 · 8,) zeros and ones."""
        self.validate(genotype)
        return np.eye(len(OPERATIONS))[list(genotype.genes)].reshape(-1)

    def graphs(self, genotype: Genotype) -> list[CellGraph]:
        """The normal and the reduction cell: inputs c_{k-2} and c_{k-1}, inner nodes 0 to 3, output c_{k}."""
        inner = tuple(map(str, range(NODES)))
        nodes = ("c_{k-2}", "c_{k-1}", *inner, "c_{k}")
        graphs = []
        for kind, cell in zip(KINDS, live_edges(genotype), strict=True):
            edges = [
                (nodes[live.source], inner[node], OPERATIONS[live.operation])
                for node, pair in enumerate(cell)
                for live in pair
            ]
            concatenation = [(node, "c_{k}", "") for node in inner]
            graphs.append(CellGraph(f"{kind} cell", nodes, (*edges, *concatenation), inputs=2))
        return graphs

    # --- networks ------------------------------------------------------------------------------------------------

    def check(self, shape: Shape) -> None:
        """Raise ConfigError for a size below 1, an odd width of the ImageNet stem, or an image below 4 pixels or 8."""
        for name in ("in_channels", "image_size", "num_classes", "channels", "cells"):
            if getattr(shape, name) < 1:
                raise ConfigError(f"darts: {name} is {getattr(shape, name)}, expected at least 1")
        require_built(SPACE, shape, self.norms)
        imagenet = has_imagenet_stem(shape)
        least = 8 if imagenet else 4
        if shape.side < least:
            raise ConfigError(
                f"darts: image_size is {shape.side}, expected at least {least} pixels under the "
                f"{'ImageNet' if imagenet else 'CIFAR'} stem: enlarge the images, or network.resolution"
            )
        if imagenet and shape.channels % 2:
            raise ConfigError(
                f"darts: channels is {shape.channels}, expected an even number since the ImageNet stem halves it: take "
                f"{shape.channels + 1}, or stem cifar"
            )

    def cost(
        self,
        genotype: Genotype,
        shape: Shape,
        *,
        classifier: ClassifierCount = "in*out",
        auxiliary: bool = False,
    ) -> Cost:
        """Count the size of `network(genotype, shape)`, by table look-up.

        MACs count convolutions and the classifier (in·out, or `profiler`: (2·in − 1)·out). `auxiliary` adds weights
        and MACs of the auxiliary head, which runs in training only and which published figures leave out.

        Returns:
            Parameters and MACs, exact.
        """
        self.check(shape)
        fixed, tables = _cost_table(shape)
        total = fixed
        for table, cell in zip(tables, live_edges(genotype), strict=True):
            for live in _edges(cell):
                total += table[live.edge][live.operation]
        layouts = cell_layouts(shape)
        total += classifier_cost(layouts[-1].c_out, shape.num_classes, classifier)
        if auxiliary:
            total += _auxiliary_cost(layouts[2 * shape.cells // 3].c_out, has_imagenet_stem(shape))
            total += classifier_cost(AUXILIARY_FEATURES, shape.num_classes, classifier)
        return total

    def supernet(self, shape: Shape) -> Supernet:
        """A freshly initialised supernet of batch norms, seven operations on each of 14 edges per cell."""
        self.check(shape)
        require_supernet(SPACE, shape)
        return DartsSupernet(shape)

    @property
    def relaxation(self) -> Relaxation:
        """The cells as a gradient search sees them."""
        return RELAXATION

    def relaxed(self, shape: Shape, partial: int = 1) -> RelaxedDarts:
        """A relaxed supernet; ConfigError where its channels cannot be parted into `partial` groups."""
        self.check(shape)
        require_supernet(SPACE, shape)
        return RelaxedDarts(shape, partial)

    def network(self, genotype: Genotype, shape: Shape, options: NetworkOptions = NetworkOptions()) -> DartsNetwork:
        """Build a standalone network.

        Returns:
            A freshly initialised network: (N, C, H, W) → logits (N, K).

        Raises:
            ConfigError: `shape` cannot be built, `options.drop_path` is not in [0, 1), or `options.output_stride`
                cannot be had.
            GenotypeError: `genotype` is illegal.
        """
        self.check(shape)
        if not 0.0 <= options.drop_path < 1.0:
            raise ConfigError(f"darts: drop_path is {options.drop_path}, expected 0 or more and less than 1")
        check_output_stride(options.output_stride, feature_info(shape)[-1].stride, self.name)
        return DartsNetwork(genotype, shape, options)

    def angle_terms(
        self, supernet: Supernet, genotype: Genotype, *, bn_scale: Literal["once", "twice"] = "once"
    ) -> list[AngleTerm]:
        """The architecture vector of RLNAS: stem, preprocessing, classifier weight, and every route of every cell.

        A cell's part concatenates, for each of the up to 30 routes from its inputs to its inner nodes, the weights of
        the route's edges; so an edge counts as often as there are routes through it (`route_counts`). Batch norm
        counts with scale and shift, pooling with 9·C constants 1/9 besides its batch norm, the identity with the C×C
        identity matrix.

        `bn_scale="twice"` is the public code's: of a dilated convolution's batch norm the scale twice, in place of
        its shift. (RLNAS, arXiv 2101.11834, Algorithm 1 and its code.)

        Returns:
            One term for every tensor, or constant in place of one, with how often it is repeated.

        Raises:
            ConfigError: `supernet` is not one of this space.
            GenotypeError: `genotype` is illegal.
        """
        if not isinstance(supernet, DartsSupernet):
            raise ConfigError(f"the angle of a darts genotype needs a darts supernet, got a {type(supernet).__name__}")
        both = live_edges(genotype)
        layouts = cell_layouts(supernet.shape)
        counts = [route_counts(cell) for cell in both]
        # As in the public code, the classifier counts without its bias.
        terms = [AngleTerm(name) for name in supernet.fixed_parameters() if name != "classifier.bias"]
        for index, layout in enumerate(layouts):
            for live in _edges(both[layout.reduction]):
                times = float(counts[layout.reduction][live.edge])
                choice = OPERATIONS[live.operation]
                square = _constant_square(choice, layout.channels, layout.stride(live.source))
                if square:
                    terms.append(AngleTerm(None, square, times))
                names = supernet.edge_parameters(index, live.edge, choice)
                if choice.startswith("dil_conv") and bn_scale == "twice":
                    *names, scale, _ = names
                    terms.append(AngleTerm(scale, times=2.0 * times))
                terms += [AngleTerm(name, times=times) for name in names]
        return terms


def route_counts(cell: LiveCell) -> dict[int, int]:
    """How many routes from the two inputs to the four inner nodes run through each live edge.

        m(k → j) = A(k) · B(j),   A(input) = 1, A(j) = Σ A(k) over live k → j,   B(j) = 1 + Σ B(i) over live j → i

    A(k) routes arrive at the edge's source; B(j) go on from its target, ending there or at a later node.

    Returns:
        Edge → its number of routes m, at least 1.
    """
    arriving = [1, 1]
    for pair in cell:
        arriving.append(sum(arriving[live.source] for live in pair))
    onward = [1] * (2 + NODES)
    for target in reversed(range(NODES)):
        for live in cell[target]:
            onward[live.source] += onward[target + 2]
    return {live.edge: arriving[live.source] * onward[node + 2] for node, pair in enumerate(cell) for live in pair}


def _constant_square(choice: str, channels: int, stride: int) -> float:
    """Squared norm of the constant that stands for an operation without weights: 9·C entries 1/9, or C ones."""
    if "pool" in choice:
        return 9 * channels / 81
    return float(channels) if choice == "skip_connect" and stride == 1 else 0.0


def _nodes() -> list[range]:
    """The genes of each of the eight inner nodes, normal cell first."""
    return [range(start + e.start, start + e.stop) for start in (0, len(EDGES)) for e in NODE_EDGES]


def _edges(cell: LiveCell) -> list[LiveEdge]:
    return [live for node in cell for live in node]


_Table = list[dict[int, Cost]]
"""Cost by edge and operation, summed over the cells of one kind."""


@lru_cache(maxsize=4096)
def _cost_table(shape: Shape) -> tuple[Cost, tuple[_Table, _Table]]:
    """Cost of all that a genotype does not change but the classifier, and the tables of both kinds of cell."""
    with torch.device("meta"):
        stem = Stem(shape)
    fixed, height0, width0 = module_cost(stem.first, shape.side, shape.side)
    second, height, width = module_cost(stem.second, height0, width0)
    fixed += second
    tables: tuple[_Table, _Table] = ([_no_cost() for _ in EDGES], [_no_cost() for _ in EDGES])
    for layout in cell_layouts(shape):
        with torch.device("meta"):
            first_module, second_module = preprocess(layout)
        fixed += module_cost(first_module, height0, width0)[0] + module_cost(second_module, height, width)[0]
        height0, width0 = height, width
        if layout.reduction:
            height, width = -(-height // 2), -(-width // 2)
        for edge, (_, source) in enumerate(EDGES):
            stride = layout.stride(source)
            size = (height0, width0) if stride == 2 else (height, width)
            for choice in range(1, len(OPERATIONS)):
                tables[layout.reduction][edge][choice] += _operation_cost(choice, layout.channels, stride, *size)
    return fixed, tables


def _no_cost() -> dict[int, Cost]:
    return {choice: Cost(0, 0) for choice in range(1, len(OPERATIONS))}


@lru_cache(maxsize=4096)
def _operation_cost(choice: int, channels: int, stride: int, height: int, width: int) -> Cost:
    with torch.device("meta"):
        module = operation(OPERATIONS[choice], channels, stride, pool_norm=False)
    return module_cost(module, height, width)[0]


@lru_cache(maxsize=4096)
def _auxiliary_cost(channels: int, imagenet: bool) -> Cost:
    """The auxiliary head without its classifier."""
    with torch.device("meta"):
        head = AuxiliaryHead(channels, 1, imagenet=imagenet)
    return module_cost(head.features, 2, 2)[0]
