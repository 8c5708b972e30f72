"""The macro structure of DARTS networks: how wide every cell is, where the resolution halves, which maps there are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from lowland.spaces.features import FeatureInfo, last_of_each_stride
from lowland.spaces.values import Shape

IMAGENET_STEM_FROM = 96
"""Image size, pixels, from which stem `auto` is the ImageNet stem (÷ 8 before the second cell)."""


@dataclass(frozen=True, slots=True)
class CellLayout:
    """Widths and kind of one cell: input channels from two cells before and from the cell before, own width.

    Attributes:
        dilation: Distance of pixels in s1 that were neighbours in the network as it was found; above 1 where an output
            stride leaves halvings before this cell out.
        dense: Whether the cell is a reduction that keeps the resolution all the same.
        dense_prev: Whether the cell before is one.
    """

    c_prev_prev: int
    c_prev: int
    channels: int
    reduction: bool
    reduction_prev: bool
    dilation: int = 1
    dense: bool = False
    dense_prev: bool = False

    @property
    def c_out(self) -> int:
        """Channels of the concatenated output."""
        return 4 * self.channels

    def stride(self, source: int) -> int:
        """Stride of an edge from `source`: 2 from the two inputs of a reduction cell, dense or not, else 1."""
        return 2 if self.reduction and source < 2 else 1

    def distance(self, source: int) -> int:
        """The dilation of an edge from `source`: inside a reduction that keeps the resolution that of the next cell."""
        return 2 * self.dilation if self.dense and source >= 2 else self.dilation


def has_imagenet_stem(shape: Shape) -> bool:
    """Whether a network of this shape starts with the ImageNet stem."""
    return shape.stem == "imagenet" or (shape.stem == "auto" and shape.image_size >= IMAGENET_STEM_FROM)


@lru_cache(maxsize=4096)
def cell_layouts(shape: Shape, output_stride: int | None = None) -> tuple[CellLayout, ...]:
    """Lay out a network: reductions at cells // 3 and 2 · cells // 3 (DARTS), the first cell always normal.

    So 14 cells reduce at 4 and 9; 3 at 1 and 2; 2 at 1 only, and a single cell is a normal one. Of 14 cells behind the
    ImageNet stem, an output stride of 16 leaves the resolution as it is at 9 and dilates 10 to 13 twice; one of 8 also
    leaves it at 4, and dilates 5 to 9 twice and 10 to 13 four times.

    Returns:
        Every cell, from input to output.
    """
    imagenet = has_imagenet_stem(shape)
    c_prev_prev = c_prev = shape.channels if imagenet else 3 * shape.channels
    reduction_prev, stage = imagenet, 0
    stride, dilation, dense_prev = 8 if imagenet else 1, 1, False
    layouts = []
    for index in range(shape.cells):
        reduction = index > 0 and index in (shape.cells // 3, 2 * shape.cells // 3)
        stage += reduction
        dense = reduction and stride == output_stride
        width = shape.width(stage)
        layout = CellLayout(c_prev_prev, c_prev, width, reduction, reduction_prev, dilation, dense, dense_prev)
        layouts.append(layout)
        c_prev_prev, c_prev, reduction_prev, dense_prev = c_prev, layout.c_out, reduction, dense
        stride *= 2 if reduction and not dense else 1
        dilation *= 2 if dense else 1
    return tuple(layouts)


def feature_info(shape: Shape, output_stride: int | None = None) -> tuple[FeatureInfo, ...]:
    """Describe both maps inside the ImageNet stem, and the outputs of the cells before a reduction or the end.

    Of 14 cells: C/2 and C channels inside the ImageNet stem at strides 2 and 4, and 4C, 8C, 16C of cells 3, 8, 13 at
    8, 16, 32; without that stem the latter alone at 1, 2, 4. No stride is above the output stride.

    Returns:
        One map of each stride that the network has by itself, in the order they are computed.
    """
    maps: list[FeatureInfo] = []
    stride = 1
    if has_imagenet_stem(shape):
        maps += [FeatureInfo(shape.channels // 2, 2, "stem.first.0"), FeatureInfo(shape.channels, 4, "stem.first.1")]
        stride = 8
    for index, layout in enumerate(cell_layouts(shape)):
        stride *= 2 if layout.reduction else 1
        maps.append(FeatureInfo(layout.c_out, stride, f"cells.{index}"))
    return last_of_each_stride(maps, output_stride)
