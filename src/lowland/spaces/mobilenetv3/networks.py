"""The networks of elastic MobileNetV3 spaces: their layers, the fixed parts, and the standalone network.

    image → resize → stem → first block → searched blocks → 1×1 convolution → pooling → feature mix → classifier

Tensor names: N batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional

from lowland.core.genotype import Genotype
from lowland.spaces.depthwise import DepthwiseConv2d
from lowland.spaces.features import FeatureInfo, FeatureNetwork, last_of_each_stride
from lowland.spaces.mobilenetv3.design import FULL_RESOLUTION, Design
from lowland.spaces.mobilenetv3.genotype import Choice, choices, resolution
from lowland.spaces.norms import mix_norms
from lowland.spaces.operations import drop_path
from lowland.spaces.output_stride import check_output_stride
from lowland.spaces.values import NetworkOptions, Shape

WIDTH = 16
"""`Shape.channels` of width 1.0."""


def make_divisible(value: float) -> int:
    """`value` rounded to a multiple of 8, at least 8 and never below 90 % of it (as the published networks round)."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


def scaled(width: int, shape: Shape) -> int:
    """A width of the design at the width of `shape`."""
    return make_divisible(width * shape.channels / WIDTH)


def pixels(design: Design, genotype: Genotype, shape: Shape) -> int:
    """The side of the network's input: image_size · n/56, rounded half up."""
    return max(1, (2 * shape.image_size * resolution(design, genotype) + FULL_RESOLUTION) // (2 * FULL_RESOLUTION))


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """An inverted residual block.

    Attributes:
        c_in: Input channels.
        hidden: Channels of the depthwise convolution; as many as `c_in`: there is no expanding convolution.
        c_out: Output channels.
        kernel: Side of the depthwise convolution.
        stride: Of the depthwise convolution.
        squeeze: Whether squeeze-and-excitation follows it.
        hswish: h-swish instead of ReLU.
        dilation: Distance of pixels that were neighbours in the network as it was found.
        dense: Whether the depthwise convolution keeps every pixel whatever its stride.
    """

    c_in: int
    hidden: int
    c_out: int
    kernel: int
    stride: int
    squeeze: bool
    hswish: bool
    dilation: int = 1
    dense: bool = False

    @property
    def residual(self) -> bool:
        """Whether the input is added to the output."""
        return self.stride == 1 and self.c_in == self.c_out


def hidden_width(c_in: int, expansion: int) -> int:
    """Channels inside a block."""
    return make_divisible(c_in * expansion)


def squeezed(hidden: int) -> int:
    """Channels inside squeeze-and-excitation: a quarter of the block's."""
    return make_divisible(hidden // 4)


def first_plan(design: Design, shape: Shape) -> BlockPlan:
    """The fixed first block."""
    width = scaled(design.stem, shape)
    return BlockPlan(c_in=width, hidden=width, c_out=width, kernel=3, stride=1, squeeze=False, hswish=False)


def block_plans(design: Design, shape: Shape, found: tuple[Choice | None, ...]) -> list[BlockPlan | None]:
    """The plan of every block that is chosen, None for the others; D blocks per stage."""
    plans: list[BlockPlan | None] = []
    c_in = scaled(design.stem, shape)
    for number, stage in enumerate(design.stages):
        c_out = scaled(stage.width, shape)
        for block in range(design.most):
            choice = found[number * design.most + block]
            if choice is None:
                plans.append(None)
                continue
            hidden = hidden_width(c_in, choice.expansion)
            stride = stage.stride if block == 0 else 1
            plans.append(BlockPlan(c_in, hidden, c_out, choice.kernel, stride, stage.squeeze, stage.hswish))
            c_in = c_out
    return plans


def dilated(plans: Sequence[BlockPlan], stride: int, output_stride: int | None) -> list[BlockPlan]:
    """The plans of blocks behind a map of `stride`, of which no output has a greater stride than `output_stride`."""
    found: list[BlockPlan] = []
    dilation = 1
    for plan in plans:
        dense = plan.stride > 1 and stride == output_stride
        found.append(replace(plan, dilation=dilation, dense=dense))
        stride *= 1 if dense else plan.stride
        dilation *= plan.stride if dense else 1
    return found


def stem_stride(design: Design, shape: Shape) -> int:
    """2, or 1 for small images."""
    strided = shape.stem == "imagenet" or (shape.stem == "auto" and shape.image_size >= design.strided_from)
    return 2 if strided else 1


def make_stem(design: Design, shape: Shape) -> nn.Sequential:
    """3×3 convolution, batch norm, h-swish; of stride 2, or of stride 1 for small images."""
    width = scaled(design.stem, shape)
    convolution = nn.Conv2d(shape.in_channels, width, 3, stem_stride(design, shape), 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.Hardswish())


def make_head(design: Design, shape: Shape) -> nn.Sequential:
    """1×1 convolution, batch norm, h-swish, pooling, feature mix (a convolution without batch norm), classifier."""
    width, expanded = scaled(design.stages[-1].width, shape), scaled(design.expanded, shape)
    features = scaled(design.features, shape)
    return nn.Sequential(
        nn.Conv2d(width, expanded, 1, bias=False),
        nn.BatchNorm2d(expanded),
        nn.Hardswish(),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(expanded, features, 1, bias=False),
        nn.Hardswish(),
        nn.Flatten(),
        nn.Linear(features, shape.num_classes),
    )


class SqueezeExcite(nn.Module):
    """Scale every channel by a gate computed from all channels' means: x · hσ(expand(ReLU(reduce(mean x))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed(channels), 1)
        self.expand = nn.Conv2d(squeezed(channels), channels, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        gate_NC11 = self.expand(functional.relu(self.reduce(x_NCHW.mean((2, 3), keepdim=True))))
        return x_NCHW * functional.hardsigmoid(gate_NC11)


class InvertedResidual(nn.Module):
    """1×1 expansion, depthwise convolution, squeeze-and-excitation, 1×1 projection, plus the input where it fits."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        self.plan = plan
        activation = nn.Hardswish if plan.hswish else nn.ReLU
        self.expand: nn.Module = nn.Identity()
        if plan.hidden != plan.c_in:
            convolution = nn.Conv2d(plan.c_in, plan.hidden, 1, bias=False)
            self.expand = nn.Sequential(convolution, nn.BatchNorm2d(plan.hidden), activation())
        depthwise = DepthwiseConv2d(plan.hidden, plan.kernel, 1 if plan.dense else plan.stride, plan.dilation)
        self.depthwise = nn.Sequential(depthwise, nn.BatchNorm2d(plan.hidden), activation())
        self.squeeze = SqueezeExcite(plan.hidden) if plan.squeeze else nn.Identity()
        self.project = nn.Sequential(nn.Conv2d(plan.hidden, plan.c_out, 1, bias=False), nn.BatchNorm2d(plan.c_out))

    def forward(self, x_NCHW: Tensor, drop_probability: float = 0.0) -> Tensor:
        """(N, C_in, H, W) → (N, C_out, ⌈H/stride⌉, ⌈W/stride⌉); the residual is dropped with `drop_probability`.

        Returns:
            H and W as they are where the plan is dense.
        """
        y_NCHW: Tensor = self.project(self.squeeze(self.depthwise(self.expand(x_NCHW))))
        if not self.plan.residual:
            return y_NCHW
        if drop_probability > 0 and self.training:
            y_NCHW = drop_path(y_NCHW, drop_probability)
        return x_NCHW + y_NCHW


class Cell(nn.Module):
    """A searched block of the standalone network. Its parameters have `.edges.` in their names."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        self.edges = InvertedResidual(plan)

    def forward(self, x_NCHW: Tensor, drop_probability: float) -> Tensor:
        """See `InvertedResidual`."""
        y_NCHW: Tensor = self.edges(x_NCHW, drop_probability)
        return y_NCHW


def feature_info(
    design: Design, shape: Shape, cells: Sequence[BlockPlan], output_stride: int | None = None
) -> tuple[FeatureInfo, ...]:
    """The first block's output, where the next halves it, and those of the last blocks at each stride."""
    stride = stem_stride(design, shape)
    blocks = [FeatureInfo(scaled(design.stem, shape), stride, "first")]
    for index, plan in enumerate(cells):
        stride *= plan.stride
        blocks.append(FeatureInfo(plan.c_out, stride, f"cells.{index}"))
    return last_of_each_stride(blocks, output_stride)


class MobileNetV3Network(FeatureNetwork):
    """The standalone network of one genotype; names `stem`, `first`, `cells.<i>.edges.…`, `head`.

    Images of any size are resized to the side that the genotype's resolution gives at the shape's image size.

    Attributes:
        cells: The searched blocks, in order.
        drop_path: Probability that a block's residual is dropped for an image, in training mode.

    Raises:
        ConfigError: the output stride asked for cannot be had.
    """

    def __init__(self, design: Design, genotype: Genotype, shape: Shape, options: NetworkOptions) -> None:
        super().__init__()
        self.resolution = pixels(design, genotype, shape)
        self.drop_path = options.drop_path
        plans = [plan for plan in block_plans(design, shape, choices(design, genotype)) if plan is not None]
        own = feature_info(design, shape, plans)[-1].stride
        check_output_stride(options.output_stride, own, design.name)
        self.feature_info = feature_info(design, shape, plans, options.output_stride)
        plans = dilated(plans, stem_stride(design, shape), options.output_stride)
        self._map_names = frozenset(info.name for info in self.feature_info)
        self.stem = make_stem(design, shape)
        self.first = InvertedResidual(first_plan(design, shape))
        self.cells = nn.ModuleList(Cell(plan) for plan in plans)
        if shape.norm != "batch":
            last = max((index for index, plan in enumerate(plans) if plan.stride > 1), default=0)
            mix_norms(shape.norm, self.stem, self.first, *self.cells[:last])
        self.head = make_head(design, shape)

    def trunk(self, x_NCHW: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        """The output of the last block, before the 1×1 convolution that precedes pooling."""
        x_NCHW = self.first(self.stem(self.seen(x_NCHW)))
        if maps is not None and "first" in self._map_names:
            maps.append(x_NCHW)
        for index, cell in enumerate(self.cells):
            x_NCHW = cell(x_NCHW, self.drop_path)
            if maps is not None and f"cells.{index}" in self._map_names:
                maps.append(x_NCHW)
        return x_NCHW
