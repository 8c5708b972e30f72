"""Feature maps: what a network sees at every resolution, for detectors, segmenters and timm.

Tensor names: N batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor, fx, nn
from torch.nn import functional


def resized(x_NCHW: Tensor, side: int) -> Tensor:
    """Square images of `side` pixels, by antialiased bilinear interpolation; unchanged where they have that size."""
    if x_NCHW.shape[2] == side and x_NCHW.shape[3] == side:
        return x_NCHW
    return functional.interpolate(x_NCHW, (side, side), mode="bilinear", antialias=True)


fx.wrap("resized")  # torch.fx cannot follow its question for the size, and need not


@dataclass(frozen=True, slots=True)
class FeatureInfo:
    """One feature map; timm calls the three `num_chs`, `reduction` and `module`.

    Attributes:
        channels: C.
        stride: Pixels of the image per pixel of the map along an axis, a power of two; see `FeatureNetwork`.
        name: The submodule whose output the map is, as `network.get_submodule` takes it.
    """

    channels: int
    stride: int
    name: str


class FeatureNetwork(nn.Module, ABC):
    """A standalone network that gives its feature maps: image → trunk → last map → head → logits.

    There is one map per resolution, the last that the trunk computes at it, as the next layer gets it (in cell-based
    spaces before its ReLU). An image of H×W pixels has maps of ⌈H/stride⌉×⌈W/stride⌉: every halving rounds up.

    With an output stride (`NetworkOptions.output_stride`) it has the same maps as without, and the last of them share
    that stride.

    Attributes:
        feature_info: Of every map, finest first; strides increase, and no further than the output stride.
        resolution: Side of the square to which the trunk first resizes every image, in pixels, whatever its size; H
            and W are those of the resized image then, and strides are counted in its pixels. None: images stay as they
            are and may have any size. Where it is a number it may be set to None: so dense prediction runs a network
            that resizes.
        head: Last map → logits (N, K). In eval mode `head(features(x)[-1])` is `forward(x)` bit for bit.
    """

    feature_info: tuple[FeatureInfo, ...]
    resolution: int | None = None
    head: Callable[[Tensor], Tensor]

    def seen(self, x_NCHW: Tensor) -> Tensor:
        """Images at the network's `resolution`: what its first layer gets."""
        return x_NCHW if self.resolution is None else resized(x_NCHW, self.resolution)

    @abstractmethod
    def trunk(self, x_NCHW: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        """The last map.

        Args:
            x_NCHW: Images.
            maps: Where given, every map is appended, the last too; otherwise none is kept longer than it is needed.
        """

    def features(self, x_NCHW: Tensor) -> list[Tensor]:
        """The maps (N, C, H, W) of `feature_info`, finest first; an auxiliary head is not run."""
        maps: list[Tensor] = []
        self.trunk(x_NCHW, maps)
        return maps

    def embedding(self, x_NCHW: Tensor) -> Tensor:
        """What the classifier gets: the last map (N, C, H, W) → (N, F). A head that is no Sequential must say it."""
        *layers, _ = cast(nn.Sequential, self.head)
        for layer in layers:
            x_NCHW = layer(x_NCHW)
        return x_NCHW

    def forward(self, x_NCHW: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, H, W) → logits (N, K); in training mode with an auxiliary head, (logits, auxiliary logits)."""
        return self.head(self.trunk(x_NCHW))


def last_of_each_stride(maps: Iterable[FeatureInfo], output_stride: int | None = None) -> tuple[FeatureInfo, ...]:
    """Of all maps of a network, in order, those that no other of the same stride follows.

    Args:
        maps: With the strides that they have where nothing is dilated.
        output_stride: What strides are at most; None: as they are.

    Returns:
        The last of each stride, with the strides that they have.
    """
    last = {info.stride: info for info in maps}.values()
    return tuple(replace(info, stride=min(info.stride, output_stride or info.stride)) for info in last)


def run_stem(stem: nn.Sequential, x_NCHW: Tensor, maps: list[Tensor] | None, *, halves_twice: bool) -> Tensor:
    """The output of `stem`; one of two layers of stride 2 has a map between them, which is appended to `maps`."""
    if maps is None or not halves_twice:
        # As one module: measures of untrained networks look at the outputs of all modules that are called.
        out_NCHW: Tensor = stem(x_NCHW)
        return out_NCHW
    first, second = stem
    maps.append(first(x_NCHW))
    last_NCHW: Tensor = second(maps[-1])
    return last_NCHW
