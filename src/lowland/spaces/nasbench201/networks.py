"""The networks of NAS-Bench-201: cells, reduction block, supernet and standalone network.

Dead edges are part of a network but are never computed.

Tensor names: N batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, starmap

import torch
from torch import Tensor, nn

from lowland.core.genotype import Genotype
from lowland.spaces.features import FeatureInfo, FeatureNetwork, run_stem
from lowland.spaces.nasbench201.genotype import EDGES, OPERATIONS, OUTPUT, Step, live_steps, validate
from lowland.spaces.norms import mix_norms
from lowland.spaces.operations import ConvBN, drop_path
from lowland.spaces.pooling import AveragePool3x3
from lowland.spaces.space import Supernet, SupernetPath, is_searched
from lowland.spaces.values import NetworkOptions, Shape

_STAGES = 3


def operation(name: str, channels: int, affine: bool) -> nn.Module:
    """One searched operation; resolution and channels stay."""
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return AveragePool3x3()
    return ConvBN(channels, channels, 1 if name == "nor_conv_1x1" else 3, affine=affine)


def _run(steps: tuple[Step, ...], x_NCHW: Tensor, apply: Callable[[int, str, Tensor], Tensor]) -> Tensor:
    """The output node of a cell; the one place that fixes the order of sums for supernet and standalone network."""
    nodes = {0: x_NCHW}
    for node, edges in steps:
        for edge, source, name in edges:
            y_NCHW = apply(edge, name, nodes[source])
            nodes[node] = nodes[node] + y_NCHW if node in nodes else y_NCHW
    return nodes[OUTPUT] if OUTPUT in nodes else torch.zeros_like(x_NCHW)


class SearchCell(nn.Module):
    """A cell with all operations on every edge; its batch norm is not affine (code of Dong and Yang, 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            nn.ModuleDict({name: operation(name, channels, affine=False) for name in OPERATIONS[1:]}) for _ in EDGES
        )

    def forward(self, x_NCHW: Tensor, genes: tuple[int, ...]) -> Tensor:
        """(N, C, H, W) → (N, C, H, W) by the operations of `genes`."""

        def apply(edge: int, name: str, y_NCHW: Tensor) -> Tensor:
            return self.edges[edge][name](y_NCHW)  # type: ignore[index,no-any-return]

        return _run(live_steps(genes), x_NCHW, apply)


class Cell(nn.Module):
    """A cell of the standalone network: one operation per edge, no module where the edge is `none`."""

    def __init__(self, genes: tuple[int, ...], channels: int, *, affine: bool) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(
            {str(e): operation(OPERATIONS[gene], channels, affine) for e, gene in enumerate(genes) if gene}
        )
        self.steps = live_steps(genes)

    def forward(self, x_NCHW: Tensor, drop_probability: float) -> Tensor:
        """(N, C, H, W) → (N, C, H, W); convolutions and pooling are dropped per image with `drop_probability`."""

        def apply(edge: int, name: str, y_NCHW: Tensor) -> Tensor:
            y_NCHW = self.edges[str(edge)](y_NCHW)
            if drop_probability > 0 and self.training and name != "skip_connect":
                return drop_path(y_NCHW, drop_probability)
            return y_NCHW

        return _run(self.steps, x_NCHW, apply)


class ReductionBlock(nn.Module):
    """ResNet basic block of stride 2 with average-pooled shortcut: (N, C, H, W) → (N, C', ⌈H/2⌉, ⌈W/2⌉)."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(ConvBN(c_in, c_out, 3, 2), ConvBN(c_out, c_out, 3))
        # ceil_mode only acts on odd sizes, where the stride-2 convolution rounds up too.
        pool = nn.AvgPool2d(2, stride=2, ceil_mode=True, count_include_pad=False)
        self.shortcut = nn.Sequential(pool, nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Shortcut plus residual."""
        y_NCHW: Tensor = self.shortcut(x_NCHW) + self.residual(x_NCHW)
        return y_NCHW


def large_images(shape: Shape) -> bool:
    """Whether the stem divides the resolution by 4; `auto` does so from 96 pixels."""
    return shape.stem == "imagenet" or (shape.stem == "auto" and shape.image_size >= 96)


def make_stem(shape: Shape) -> nn.Sequential:
    """3×3 convolution and batch norm; for large images two of stride 2, which leave a quarter of the resolution."""
    if not large_images(shape):
        return ConvBN(shape.in_channels, shape.channels, 3, relu=False)
    half = _half(shape)
    return nn.Sequential(ConvBN(shape.in_channels, half, 3, 2, relu=False), ConvBN(half, shape.channels, 3, 2))


def _half(shape: Shape) -> int:
    """Channels inside the ImageNet stem."""
    return max(1, shape.channels // 2)


class _Trunk(nn.Module):
    """What supernet and standalone network share: stem, cells, reduction blocks and classifier."""

    def __init__(self, shape: Shape, make_cell: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.shape = shape
        self.num_cells = _STAGES * shape.cells
        self.stem = make_stem(shape)
        widths = stage_widths(shape)
        self.cells = nn.ModuleList(make_cell(width) for width in widths for _ in range(shape.cells))
        self.reductions = nn.ModuleList(starmap(ReductionBlock, pairwise(widths)))
        self.head: Callable[[Tensor], Tensor] = make_head(shape)

    def _last_map(self, x_NCHW: Tensor, arguments: Sequence[object], maps: list[Tensor] | None = None) -> Tensor:
        """What the head gets; cell i gets `arguments[i]`, and the maps of `feature_info` are appended to `maps`."""
        x_NCHW = run_stem(self.stem, x_NCHW, maps, halves_twice=large_images(self.shape))
        for i, (cell, argument) in enumerate(zip(self.cells, arguments, strict=True)):
            if i and i % self.shape.cells == 0:
                x_NCHW = self.reductions[i // self.shape.cells - 1](x_NCHW)
            x_NCHW = cell(x_NCHW, argument)
            if maps is not None and (i + 1) % self.shape.cells == 0:
                maps.append(x_NCHW)
        return x_NCHW


def stage_widths(shape: Shape) -> list[int]:
    """Channels of each stage: C, 2C, 4C at the published growth, else C·g^s."""
    return [shape.width(stage) for stage in range(_STAGES)]


def feature_info(shape: Shape) -> tuple[FeatureInfo, ...]:
    """C/2 channels inside the ImageNet stem at stride 2; C, 2C, 4C behind the stages at 4, 8, 16, otherwise 1, 2, 4."""
    large = large_images(shape)
    inside = (FeatureInfo(_half(shape), 2, "stem.0"),) if large else ()
    stages = (
        FeatureInfo(width, (4 if large else 1) << stage, f"cells.{(stage + 1) * shape.cells - 1}")
        for stage, width in enumerate(stage_widths(shape))
    )
    return (*inside, *stages)


def make_head(shape: Shape) -> nn.Sequential:
    """Batch norm, ReLU, global average pooling and classifier: (N, 4C, H, W) → logits (N, K)."""
    width = stage_widths(shape)[-1]
    classifier = nn.Linear(width, shape.num_classes)
    return nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier)


class NasBench201Supernet(_Trunk, Supernet):
    """All 15,625 networks in one; names `cells.<i>.edges.<edge>.<operation>…`, `stem`, `reductions.<j>`, `head`."""

    def __init__(self, shape: Shape, make_cell: Callable[[int], nn.Module] = SearchCell) -> None:
        super().__init__(shape, make_cell)
        self._origins = [_origin(name) for name in self.state_dict()]

    def forward(self, x_NCHW: Tensor, path: SupernetPath) -> Tensor:
        """Logits (N, K); `path` is one genotype, or one per search cell (ValueError where their number is wrong)."""
        genotypes = [path] * self.num_cells if isinstance(path, Genotype) else path
        if len(genotypes) != self.num_cells:
            raise ValueError(f"a path is 1 genotype or {self.num_cells} (one per search cell), got {len(genotypes)}")
        return self.head(self._last_map(x_NCHW, [genotype.genes for genotype in genotypes]))

    def inherited(self, genotype: Genotype) -> dict[str, str]:
        """Standalone → supernet names: `cells.0.edges.3.1.weight` is `cells.0.edges.3.nor_conv_3x3.1.weight`."""
        validate(genotype)
        genes = genotype.genes
        return {own: name for name, own, edge, gene in self._origins if edge is None or genes[edge] == gene}


def _origin(name: str) -> tuple[str, str, int | None, int | None]:
    """A supernet name, its standalone name, and the edge and gene it belongs to (None: to every genotype)."""
    if not is_searched(name):
        return name, name, None, None
    _, cell, _, edge, operation, rest = name.split(".", 5)
    return name, f"cells.{cell}.edges.{edge}.{rest}", int(edge), OPERATIONS.index(operation)


class NasBench201Network(_Trunk, FeatureNetwork):
    """The standalone network of one genotype."""

    def __init__(self, genotype: Genotype, shape: Shape, options: NetworkOptions) -> None:
        super().__init__(shape, lambda width: Cell(genotype.genes, width, affine=not options.like_supernet))
        if shape.norm != "batch":
            mix_norms(shape.norm, self.stem, self.reductions[0], *self.cells[: (_STAGES - 1) * shape.cells])
        self.drop_path = options.drop_path
        self.feature_info = feature_info(shape)
        self.resolution = None if shape.resolution == 1 else shape.side

    def trunk(self, x_NCHW: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        """The output of the last cell."""
        return self._last_map(self.seen(x_NCHW), [self.drop_path] * self.num_cells, maps)
