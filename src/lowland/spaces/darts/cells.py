"""Cells, stems, heads and networks of the DARTS space, as a supernet and standalone.

Searched operations are named `cells.<i>.edges.<e>.<operation>.…` in the supernet and `cells.<i>.edges.<e>.…` in a
standalone network, e the edge index 0..13; everything else has the same name in both.

Tensor names: N batch, C channels, H height, W width, K classes. s0, s1: outputs of the two cells before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from operator import add
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lowland.core.genotype import Genotype
from lowland.spaces.darts.genotype import EDGES, OPERATIONS, LiveCell, LiveEdge, live_edges
from lowland.spaces.darts.layout import CellLayout, cell_layouts, feature_info, has_imagenet_stem
from lowland.spaces.features import FeatureNetwork, run_stem
from lowland.spaces.norms import mix_norms
from lowland.spaces.operations import ConvBN, DilatedConv, FactorizedReduce, SeparableConv, drop_path
from lowland.spaces.pooling import AveragePool3x3
from lowland.spaces.space import Supernet, SupernetPath, is_searched
from lowland.spaces.values import NetworkOptions, Shape

AUXILIARY_FEATURES = 768


class Stem(nn.Module):
    """The first convolutions: (N, C_in, H, W) → (s0, s1) of the first cell.

    `cifar`: one 3×3 convolution to 3C channels, s0 = s1. `imagenet`: two of stride 2 give s0, a third s1, C channels.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        channels = shape.channels
        self.imagenet = has_imagenet_stem(shape)
        self.first: nn.Sequential
        self.second: nn.Module
        if self.imagenet:
            self.first = nn.Sequential(
                ConvBN(shape.in_channels, channels // 2, 3, 2, relu=False), ConvBN(channels // 2, channels, 3, 2)
            )
            self.second = ConvBN(channels, channels, 3, 2)
        else:
            self.first = ConvBN(shape.in_channels, 3 * channels, 3, relu=False)
            self.second = nn.Identity()

    def forward(self, x_NCHW: Tensor, maps: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(N, C_in, H, W) → s0, s1; the ImageNet stem's maps of strides 2 and 4 are appended to `maps`."""
        s0 = run_stem(self.first, x_NCHW, maps, halves_twice=self.imagenet)
        if maps is not None and self.imagenet:
            maps.append(s0)
        return s0, self.second(s0)


class AuxiliaryHead(nn.Module):
    """DARTS' second classifier, trained on an inner cell's output: (N, C, H, W) → logits (N, K).

    ReLU → 2×2 average-pooled map → 1×1 convolution to 128 → 2×2 convolution to 768 → linear. The pooling windows have
    side min(H, max(5, ⌈H/2⌉)) and lie at both ends of each axis; that is the published head at 8×8 (CIFAR: window 5,
    stride 3) and 7×7 (ImageNet: window 5, stride 2), and a map for any other size. As published, the ImageNet head has
    no batch norm after the 2×2 convolution.
    """

    def __init__(self, channels: int, num_classes: int, *, imagenet: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, AUXILIARY_FEATURES, 2, bias=False),
        ]
        if not imagenet:
            layers.append(nn.BatchNorm2d(AUXILIARY_FEATURES))
        self.features = nn.Sequential(*layers, nn.ReLU())
        self.classifier = nn.Linear(AUXILIARY_FEATURES, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) → (N, K)."""
        window = [min(size, max(5, -(-size // 2))) for size in x_NCHW.shape[2:]]
        stride = [max(1, size - side) for size, side in zip(x_NCHW.shape[2:], window, strict=True)]
        pooled = functional.avg_pool2d(functional.relu(x_NCHW), window, stride)
        # An axis of at most 5 pixels has one window, which stands for both ends; the map is 2×2 already otherwise.
        both_ends = functional.interpolate(pooled, (2, 2))
        return cast(Tensor, self.classifier(self.features(both_ends).flatten(1)))


class _Build(Protocol):
    def __call__(self, c: int, stride: int, *, affine: bool, dilation: int, dense: bool) -> nn.Module: ...


def _max_pool(c: int, stride: int, *, affine: bool, dilation: int, dense: bool) -> nn.Module:
    pool = nn.MaxPool2d(3, 1 if dense else stride, 1 if dilation == 1 else 0, dilation)
    # Pooling itself pads by half of its window at most, not counting the dilation.
    return pool if dilation == 1 else nn.Sequential(nn.ConstantPad2d(dilation, -math.inf), pool)


def _average_pool(c: int, stride: int, *, affine: bool, dilation: int, dense: bool) -> nn.Module:
    return AveragePool3x3(1 if dense else stride)


def _skip(c: int, stride: int, **how: Any) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(c, c, **how)


_BUILD: Mapping[str, _Build] = {
    "max_pool_3x3": _max_pool,
    "avg_pool_3x3": _average_pool,
    "skip_connect": _skip,
    "sep_conv_3x3": lambda c, stride, **how: SeparableConv(c, c, 3, stride, **how),
    "sep_conv_5x5": lambda c, stride, **how: SeparableConv(c, c, 5, stride, **how),
    "dil_conv_3x3": lambda c, stride, **how: DilatedConv(c, c, 3, stride, **how),
    "dil_conv_5x5": lambda c, stride, **how: DilatedConv(c, c, 5, stride, **how),
}


def operation(
    name: str,
    channels: int,
    stride: int,
    *,
    pool_norm: bool,
    affine: bool = True,
    dilation: int = 1,
    dense: bool = False,
) -> nn.Module:
    """A candidate operation, C → C channels, ⌈H/stride⌉ × ⌈W/stride⌉, or where it is `dense` H × W.

    Returns:
        The operation; with `pool_norm` pooling is followed by a batch norm, without `affine` none has scale and shift.
    """
    module = _BUILD[name](channels, stride, affine=affine, dilation=dilation, dense=dense and stride > 1)
    return nn.Sequential(module, nn.BatchNorm2d(channels, affine=affine)) if pool_norm and "pool" in name else module


def preprocess(layout: CellLayout) -> tuple[nn.Module, nn.Module]:
    """What brings s0 and s1 to the cell's width, and s0 to the resolution of s1."""
    first: nn.Module
    if layout.reduction_prev:
        # s0 comes from before the reduction, where pixels lie half as far apart.
        distance = layout.dilation // 2 if layout.dense_prev else layout.dilation
        first = FactorizedReduce(layout.c_prev_prev, layout.channels, dilation=distance, dense=layout.dense_prev)
    else:
        first = _pointwise(layout.c_prev_prev, layout.channels)
    return first, _pointwise(layout.c_prev, layout.channels)


def _pointwise(c_in: int, c_out: int) -> ConvBN:
    return ConvBN(c_in, c_out, 1)


class SearchCell(nn.Module):
    """A cell in which every edge holds all seven operations, and a path names the two live ones per inner node."""

    def __init__(self, layout: CellLayout, channels: int | None = None, *, affine: bool = True) -> None:
        super().__init__()
        self.preprocess0, self.preprocess1 = preprocess(layout)
        width = layout.channels if channels is None else channels
        self.edges = nn.ModuleList(
            nn.ModuleDict(
                {
                    name: operation(name, width, layout.stride(source), pool_norm=True, affine=affine)
                    for name in OPERATIONS[1:]
                }
            )
            for _, source in EDGES
        )

    def forward(self, s0: Tensor, s1: Tensor, cell: LiveCell) -> Tensor:
        """Concatenated inner nodes, computing the operations of `cell` only."""
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        for node in cell:
            states.append(reduce(add, [self._edge(live, states) for live in node]))
        return torch.cat(states[2:], dim=1)

    def _edge(self, live: LiveEdge, states: list[Tensor]) -> Tensor:
        choices = cast(nn.ModuleDict, self.edges[live.edge])
        return cast(Tensor, choices[OPERATIONS[live.operation]](states[live.source]))


class Cell(nn.Module):
    """A cell of a standalone network: the live operations only, in `edges` by edge index."""

    def __init__(self, layout: CellLayout, cell: LiveCell, *, pool_norm: bool) -> None:
        super().__init__()
        self.preprocess0, self.preprocess1 = preprocess(layout)
        self.edges = nn.ModuleDict()
        for live in (live for node in cell for live in node):
            self.edges[str(live.edge)] = operation(
                OPERATIONS[live.operation],
                layout.channels,
                layout.stride(live.source),
                pool_norm=pool_norm,
                dilation=layout.distance(live.source),
                dense=layout.dense,
            )
        self._nodes = [[(str(live.edge), live.source) for live in node] for node in cell]

    def forward(self, s0: Tensor, s1: Tensor, drop: float = 0.0) -> Tensor:
        """Concatenated inner nodes; with probability `drop` an operation other than the identity gives zero."""
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        for node in self._nodes:
            states.append(reduce(add, [self._edge(*live, states, drop) for live in node]))
        return torch.cat(states[2:], dim=1)

    def _edge(self, edge: str, source: int, states: list[Tensor], drop: float) -> Tensor:
        module = self.edges[edge]
        out_NCHW: Tensor = module(states[source])
        return out_NCHW if drop == 0.0 or isinstance(module, nn.Identity) else drop_path(out_NCHW, drop)


class DartsSupernet(Supernet):
    """All networks of the DARTS space, sharing weights; pooling is followed by an affine batch norm."""

    def __init__(self, shape: Shape, make_cell: Callable[[CellLayout], SearchCell] = SearchCell) -> None:
        super().__init__()
        layouts = cell_layouts(shape)
        self.shape = shape
        self.num_cells = len(layouts)
        self.reductions = tuple(layout.reduction for layout in layouts)
        self.stem = Stem(shape)
        self.cells = nn.ModuleList(make_cell(layout) for layout in layouts)
        self.classifier = nn.Linear(layouts[-1].c_out, shape.num_classes)
        # Names never change: index them once, since measures ask for them per candidate.
        self._fixed_names: dict[str, str] = {}
        self._edge_names: dict[tuple[int, int, str], dict[str, str]] = {}
        for name in self.state_dict():
            if not is_searched(name):
                self._fixed_names[name] = name
                continue
            _, cell, _, edge, choice, rest = name.split(".", 5)
            names = self._edge_names.setdefault((int(cell), int(edge), choice), {})
            names[f"cells.{cell}.edges.{edge}.{rest}"] = name
        self._trainable = frozenset(name for name, _ in self.named_parameters())

    def fixed_parameters(self) -> list[str]:
        """Parameters that every path uses: stem, preprocessing, classifier."""
        return [name for name in self._fixed_names if name in self._trainable]

    def edge_parameters(self, cell: int, edge: int, choice: str) -> list[str]:
        """Parameters of one operation on one edge, in the order in which it applies them."""
        return [name for name in self._edge_names.get((cell, edge, choice), {}).values() if name in self._trainable]

    def forward(self, x_NCHW: Tensor, path: SupernetPath) -> Tensor:
        """Run the network named by `path`, computing live operations only.

        Returns:
            Logits (N, K).

        Raises:
            GenotypeError: a genotype is illegal.
            ValueError: a path of several genotypes has not one per cell.
        """
        s0, s1 = self.stem(x_NCHW)
        for cell, live in zip(self.cells, self._live(path), strict=True):
            s0, s1 = s1, cell(s0, s1, live)
        return cast(Tensor, self.classifier(pooled(s1)))

    def inherited(self, genotype: Genotype) -> Mapping[str, str]:
        """Standalone state-dict key → supernet state-dict key, for every parameter and buffer on the path."""
        names = dict(self._fixed_names)
        for index, cell in enumerate(self._live(genotype)):
            for live in (live for node in cell for live in node):
                names.update(self._edge_names.get((index, live.edge, OPERATIONS[live.operation]), {}))
        return names

    def _live(self, path: SupernetPath) -> list[LiveCell]:
        """The live edges of every cell."""
        if isinstance(path, Genotype):
            both = live_edges(path)
            return [both[reduction] for reduction in self.reductions]
        if len(path) != self.num_cells:
            raise ValueError(f"a path is 1 genotype or {self.num_cells} (one per cell), got {len(path)}")
        return [live_edges(genotype)[reduction] for genotype, reduction in zip(path, self.reductions, strict=True)]


class DartsNetwork(FeatureNetwork):
    """One standalone network of the DARTS space.

    Attributes:
        drop_path: Probability that an operation's output is dropped for an image, in training mode.
    """

    def __init__(self, genotype: Genotype, shape: Shape, options: NetworkOptions) -> None:
        super().__init__()
        layouts = cell_layouts(shape, options.output_stride)
        both = live_edges(genotype)
        self.drop_path = options.drop_path
        self.feature_info = feature_info(shape, options.output_stride)
        self.resolution = None if shape.resolution == 1 else shape.side
        self._map_names = frozenset(info.name for info in self.feature_info)
        self.stem = Stem(shape)
        self.cells = nn.ModuleList(
            Cell(layout, both[layout.reduction], pool_norm=options.like_supernet) for layout in layouts
        )
        if shape.norm != "batch":
            last = max((index for index, layout in enumerate(layouts) if layout.reduction), default=0)
            mix_norms(shape.norm, self.stem, *self.cells[:last])
        self.classifier = nn.Linear(layouts[-1].c_out, shape.num_classes)
        self.auxiliary: AuxiliaryHead | None = None
        self.auxiliary_cell = 2 * len(layouts) // 3
        if options.auxiliary:
            self.auxiliary = AuxiliaryHead(
                layouts[self.auxiliary_cell].c_out, shape.num_classes, imagenet=has_imagenet_stem(shape)
            )

    def forward(self, x_NCHW: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits (N, K); in training mode with an auxiliary head, (logits, auxiliary logits)."""
        last_NCHW, auxiliary_NK = self._run(x_NCHW, auxiliary=self.auxiliary if self.training else None)
        logits_NK = self.head(last_NCHW)
        return logits_NK if auxiliary_NK is None else (logits_NK, auxiliary_NK)

    def trunk(self, x_NCHW: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        """The output of the last cell."""
        return self._run(x_NCHW, maps)[0]

    def head(self, x_NCHW: Tensor) -> Tensor:
        """The last cell's output → logits (N, K)."""
        return cast(Tensor, self.classifier(self.embedding(x_NCHW)))

    def embedding(self, x_NCHW: Tensor) -> Tensor:
        """The last cell's output (N, C, H, W), averaged over its pixels → (N, C)."""
        return pooled(x_NCHW)

    def _run(
        self, x_NCHW: Tensor, maps: list[Tensor] | None = None, auxiliary: AuxiliaryHead | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Run the stem and all cells.

        The auxiliary head runs behind its cell, not at the end: autograd adds up gradients in the reverse order.

        Returns:
            The last cell's output (N, C, H, W), and the logits (N, K) of `auxiliary`, None without it.
        """
        drop = self.drop_path if self.training else 0.0
        auxiliary_NK: Tensor | None = None
        s0, s1 = self.stem(self.seen(x_NCHW), maps)
        for index, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1, drop)
            if maps is not None and f"cells.{index}" in self._map_names:
                maps.append(s1)
            if auxiliary is not None and index == self.auxiliary_cell:
                auxiliary_NK = auxiliary(s1)
        return s1, auxiliary_NK


def pooled(x_NCHW: Tensor) -> Tensor:
    """Global average: (N, C, H, W) → (N, C)."""
    return functional.adaptive_avg_pool2d(x_NCHW, 1).flatten(1)
