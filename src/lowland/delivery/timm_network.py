"""A network of any space as timm wants its models: the interface of its `features_only`, `reset_classifier` and more.

Tensor names: N batch, C channels, H height, W width, K classes, F what the classifier gets.
"""

from __future__ import annotations

from typing import Any, Self, cast

from timm.layers._fx import register_notrace_module
from torch import Tensor, nn
from torch.nn import functional

from lowland.core.errors import ConfigError
from lowland.delivery.timm_config import classifier
from lowland.spaces import FeatureNetwork, NetworkOptions, Shape, get
from lowland.spaces.depthwise import DepthwiseConv2d
from lowland.spaces.output_stride import honoured
from lowland.spaces.pooling import AveragePool3x3
from lowland.spaces.values import PUBLISHED_GROWTH, Norm, Stem

for _module in (DepthwiseConv2d, AveragePool3x3):  # they choose their way by the image's size, which fx cannot follow
    register_notrace_module(_module)


class TimmNetwork(nn.Module):
    """A network of a space. Names of its parameters are those of the delivered weights.

    The parts of the network are this module's own, under the same names; the network itself, which knows in which
    order they run, is kept aside.

    Args:
        space: Search space.
        genotype: In the space's text form.
        num_classes: K; 0: no classifier, the output is (N, F).
        in_chans: Image channels.
        img_size: Side of the images that the network is made for. Others may be larger or smaller.
        channels: Initial width C.
        cells: Depth in the space's unit.
        stem: See `Shape`.
        global_pool: `avg`, or empty: no head at all, the output is the last map.
        drop_rate: Dropout before the classifier, in training mode.
        drop_path_rate: See `NetworkOptions.drop_path`.
        resize: Whether a network that resizes images to a side of its own does; maps alone are had without.
        output_stride: Stride of the last map, 8, 16 or 32; refused where the space cannot dilate to it.

    Attributes:
        num_features: Channels of the last map.
        head_hidden_size: F.
        feature_info: Channels, reduction and module of every map, as timm names them.

    Raises:
        ConfigError: a setting that the network cannot follow.
        GenotypeError: the text is no genotype of the space.
    """

    def __init__(
        self,
        *,
        space: str,
        genotype: str,
        num_classes: int = 1000,
        in_chans: int = 3,
        img_size: int | tuple[int, int] = 224,
        channels: int = 16,
        cells: int = 14,
        stem: Stem = "auto",
        growth: float = PUBLISHED_GROWTH,
        norm: Norm = "batch",
        resolution: float = 1.0,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        resize: bool = True,
        output_stride: int | None = None,
    ) -> None:
        super().__init__()
        shape = Shape(
            in_channels=in_chans,
            image_size=_side(img_size),
            num_classes=max(1, num_classes),
            channels=channels,
            cells=cells,
            stem=stem,
            growth=growth,
            norm=norm,
            resolution=resolution,
        )
        options = NetworkOptions(drop_path=drop_path_rate, output_stride=output_stride)
        body = honoured(get(space).network(get(space).parse(genotype), shape, options), output_stride, space)
        if not resize:
            body.resolution = None
        if any(True for _ in body.parameters(recurse=False)) or any(True for _ in body.buffers(recurse=False)):
            raise ConfigError(f"a network of {space} cannot be a timm model: it has parameters beside its modules")
        object.__setattr__(self, "body", body)  # not one of the modules: names would begin with it
        for name, child in body.named_children():
            self.add_module(name, child)
        self._classifier = classifier(body)
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        self.num_features = body.feature_info[-1].channels
        self.head_hidden_size = cast(nn.Linear, body.get_submodule(self._classifier)).in_features
        self.feature_info = [
            {"num_chs": info.channels, "reduction": info.stride, "module": info.name} for info in body.feature_info
        ]
        self.num_classes = num_classes
        self.global_pool = "avg"
        if num_classes < 1 or global_pool != "avg":
            self.reset_classifier(num_classes, global_pool)

    body: FeatureNetwork

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode, for the network kept aside too."""
        self.body.train(mode)
        return super().train(mode)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Which layer a parameter is of, for layer-wise learning rates: stem, cell by cell, the rest."""
        del coarse
        per_stage = getattr(getattr(self.body, "shape", None), "cells", 1)
        reductions = [(rf"^reductions\.{j}\.", ((j + 1) * per_stage - 1,)) for j in range(len(self._reductions()))]
        return {"stem": r"^stem|^first", "blocks": [(r"^cells\.(\d+)", None), *reductions]}

    def _reductions(self) -> list[str]:
        return [name for name, _ in getattr(self, "reductions", nn.Module()).named_children()]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Raise ConfigError where it is asked for: no network of ours has it."""
        if enable:
            raise ConfigError("networks of lowland have no gradient checkpointing; leave it out")

    def get_classifier(self) -> nn.Module:
        """The last linear layer, an identity where there is none."""
        return self.body.get_submodule(self._classifier)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a new classifier of `num_classes` in the old one's place.

        Args:
            num_classes: K; 0: none.
            global_pool: `avg`; empty: no head at all, which goes with no classifier only. None: as it is.

        Raises:
            ConfigError: another kind of pooling, or a classifier behind none.
        """
        pool = self.global_pool if global_pool is None else global_pool
        if pool not in ("avg", ""):
            raise ConfigError(
                f"global_pool={pool!r} cannot be had; the networks pool by avg, or '' leaves the head out"
            )
        if not pool and num_classes > 0:
            raise ConfigError("a classifier needs pooling before it: use num_classes=0, or global_pool='avg'")
        self.num_classes, self.global_pool = num_classes, pool
        old = next(self.parameters())
        new = (
            nn.Linear(self.head_hidden_size, num_classes, device=old.device, dtype=old.dtype)
            if num_classes > 0
            else nn.Identity()
        )
        parent, _, leaf = self._classifier.rpartition(".")
        for root in (self, self.body):
            setattr(root.get_submodule(parent), leaf, new)
        new.train(self.training)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The maps of `feature_info`, and the last.

        Args:
            x: Images (N, C, H, W).
            indices: The last so many maps, or those at these places; None: all.
            norm: No network has a norm behind its last map that belongs to it.
            stop_early: Changes no result.
            output_fmt: `NCHW`.
            intermediates_only: Leave the last map out.

        Returns:
            The last map and those asked for, or these alone.

        Raises:
            ConfigError: another format.
        """
        del norm, stop_early
        if output_fmt != "NCHW":
            raise ConfigError(f"output_fmt={output_fmt!r} cannot be had; maps are NCHW")
        take = self._places(indices)
        maps: list[Tensor] = []
        last_NCHW = self.body.trunk(x, maps)
        chosen = [maps[place] for place in take]
        return chosen if intermediates_only else (last_NCHW, chosen)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Leave the head out, where maps alone are wanted; cells behind the last map wanted stay.

        Returns:
            The places of the maps.
        """
        del prune_norm
        take = self._places(indices)
        if prune_head:
            self.reset_classifier(0, "")
        return take

    def _places(self, indices: int | list[int] | None) -> list[int]:
        """Places of maps, counted from the first; ConfigError where there is none such."""
        levels = len(self.feature_info)
        wanted = list(range(levels)) if indices is None else indices
        chosen = list(range(levels - wanted, levels)) if isinstance(wanted, int) else list(wanted)
        # Of a count that is too large the first places would count from the end.
        least = 0 if isinstance(wanted, int) else -levels
        if not chosen or not all(least <= place < levels for place in chosen):
            raise ConfigError(f"out_indices={indices} cannot be had: the network has {levels} maps, from 0 on")
        return [place % levels for place in chosen]

    def forward_features(self, x: Tensor) -> Tensor:
        """Images → the last map (N, `num_features`, H, W)."""
        return self.body.trunk(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The last map → logits (N, K), or with `pre_logits` what the classifier gets (N, F)."""
        if not self.global_pool:
            return x
        x = self.body.embedding(x)
        if self.drop_rate > 0:
            x = functional.dropout(x, self.drop_rate, training=self.training)
        return x if pre_logits else self.get_classifier()(x)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) → logits (N, K)."""
        return self.forward_head(self.forward_features(x))


def _side(img_size: int | tuple[int, int]) -> int:
    """The side of a square; ConfigError for another shape."""
    height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
    if height != width:
        raise ConfigError(f"img_size={height}×{width} is no square; networks of lowland are made for squares")
    return height
