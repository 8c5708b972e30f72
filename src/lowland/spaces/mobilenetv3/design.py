"""The description of an elastic MobileNetV3 space: its fixed macro structure and the options of every decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FULL_RESOLUTION = 56
"""Resolutions are in 1/56 of the image size, so that 32/56 … 56/56 of 224 pixels are the published 128, 132 … 224."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A stage of blocks that share a width.

    Attributes:
        width: Output channels at width 1.0.
        stride: Of the stage's first block.
        squeeze: Whether its blocks have squeeze-and-excitation.
        hswish: Whether they use h-swish instead of ReLU.
    """

    width: int
    stride: int
    squeeze: bool
    hswish: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """All that makes one space: the fixed macro structure, and the options of every decision, smallest first.

    Attributes:
        name: Of the space.
        stages: From the image to the head.
        depths: Blocks per stage.
        kernels: Sides of the depthwise convolutions, odd.
        expansions: Width inside a block, in units of its input's.
        resolutions: Sides of the network's input, in 1/56 of the image size.
        stem: Channels behind the stem, and behind the first block, at width 1.0.
        expanded: Channels of the last convolution before pooling, at width 1.0.
        features: Channels behind pooling, which the classifier sees, at width 1.0.
        strided_from: Image size, in pixels, from which the stem `auto` has stride 2.
    """

    name: str
    stages: tuple[Stage, ...]
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    resolutions: tuple[int, ...]
    stem: int
    expanded: int
    features: int
    strided_from: int

    @property
    def most(self) -> int:
        """Blocks of the deepest stage, D."""
        return self.depths[-1]

    @property
    def stage_genes(self) -> int:
        """Genes per stage, 1 + 2·D."""
        return 1 + 2 * self.most

    @property
    def genes(self) -> int:
        """Genes in all."""
        return len(self.stages) * self.stage_genes + 1

    @property
    def gene_names(self) -> tuple[str, ...]:
        """`stage 1 depth`, `stage 1 kernel 1` …, `stage 1 expansion 1` …, `resolution`."""
        names = [
            f"stage {stage} {gene}"
            for stage in range(1, len(self.stages) + 1)
            for gene in ("depth", *self._numbered("kernel"), *self._numbered("expansion"))
        ]
        return (*names, "resolution")

    @property
    def stage_sizes(self) -> tuple[int, ...]:
        """For each depth d, the number of stages of that depth: (kernels · expansions)^d."""
        return tuple((len(self.kernels) * len(self.expansions)) ** depth for depth in self.depths)

    @property
    def size(self) -> int:
        """Number of genotypes: (Σ over depths)^stages · resolutions; 7371⁵ · 25 for Once-for-All."""
        return int(sum(self.stage_sizes) ** len(self.stages) * len(self.resolutions))

    def stage(self, genes: Sequence[int], stage: int) -> Sequence[int]:
        """The genes of one stage."""
        return genes[stage * self.stage_genes : (stage + 1) * self.stage_genes]

    def _numbered(self, name: str) -> list[str]:
        return [f"{name} {block}" for block in range(1, self.most + 1)]


ONCE_FOR_ALL = Design(
    name="mobilenetv3",
    stages=(
        Stage(width=24, stride=2, squeeze=False, hswish=False),
        Stage(width=40, stride=2, squeeze=True, hswish=False),
        Stage(width=80, stride=2, squeeze=False, hswish=True),
        Stage(width=112, stride=1, squeeze=True, hswish=True),
        Stage(width=160, stride=2, squeeze=True, hswish=True),
    ),
    depths=(2, 3, 4),
    kernels=(3, 5, 7),
    expansions=(3, 4, 6),
    resolutions=tuple(range(32, FULL_RESOLUTION + 1)),
    stem=16,
    expanded=960,
    features=1280,
    strided_from=96,
)
"""Once-for-All, MobileNetV3, width 1.0 (Cai et al., ICLR 2020; MobileNetV3-Large of Howard et al., Table 1)."""

SMALL = Design(
    name="mobilenetv3-small",
    stages=(
        Stage(width=16, stride=1, squeeze=False, hswish=False),
        Stage(width=32, stride=2, squeeze=True, hswish=False),
        Stage(width=64, stride=2, squeeze=True, hswish=True),
    ),
    depths=(1, 2, 3),
    kernels=(3, 5),
    expansions=(3, 4, 6),
    resolutions=(40, 48, FULL_RESOLUTION),
    stem=16,
    expanded=256,
    features=320,
    strided_from=24,
)
"""Our variant for images of 28 to 64 pixels and few processor cores; not Howard's MobileNetV3-Small."""
