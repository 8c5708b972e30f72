"""A network as the backbone of a dense task: the maps that the task wants, and which weights stay as they are.

Tensor names: N batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from lowland.core.errors import ConfigError
from lowland.spaces import FeatureInfo, FeatureNetwork


class Backbone(nn.Module):
    """Some of a network's feature maps by name, as torchvision's detectors and segmenters want them.

    Args:
        body: A `FeatureNetwork`, or a module that returns the list of its maps, as timm's with `features_only`.
        maps: Channels and stride of every map of `body`, finest first.
        strides: Of the maps wanted; a number alone: so many of the last, whatever their strides.
        name: What people call it.
        pretrained: Whether its weights were learnt before: then normalisation layers may be frozen.

    Attributes:
        maps: Channels and stride of the maps that it gives, finest first.
        pretrained: As given.

    Raises:
        ConfigError: the network has no map of one of these strides, or too few.
    """

    def __init__(
        self,
        body: nn.Module,
        maps: Sequence[FeatureInfo],
        strides: Sequence[int] | int,
        *,
        name: str,
        pretrained: bool,
    ) -> None:
        super().__init__()
        known = [info.stride for info in maps]
        if isinstance(strides, int):
            if len(known) < strides:
                raise ConfigError(
                    f"{name} has feature maps at {len(known)} sizes, but {strides} are needed; make it deeper"
                )
            places = tuple(range(len(known) - strides, len(known)))
        elif all(stride in known for stride in strides):
            places = tuple(known.index(stride) for stride in strides)
        else:
            raise ConfigError(
                f"{name} has maps of strides {', '.join(map(str, known))}, but maps of "
                f"{', '.join(map(str, strides))} are needed: it was made for small images; take one of the spaces "
                "darts or mobilenetv3 with the stem of large ones (network.stem=imagenet)"
            )
        self.body = body
        self.pretrained = pretrained
        self._places = places
        self.maps = tuple(maps[place] for place in self._places)
        self._every = tuple(maps)
        self._frozen_norms = False
        if isinstance(body, FeatureNetwork):
            body.resolution = None  # dense prediction sees images as they are

    def forward(self, x_NCHW: Tensor) -> OrderedDict[str, Tensor]:
        """Images (N, C, H, W) of any size → maps by their place, `"0"` the finest."""
        found = self._features(x_NCHW)
        return OrderedDict((str(number), found[place]) for number, place in enumerate(self._places))

    def _features(self, x_NCHW: Tensor) -> list[Tensor]:
        found: list[Tensor] = self.body.features(x_NCHW) if isinstance(self.body, FeatureNetwork) else self.body(x_NCHW)
        return found

    def freeze_norms(self) -> None:
        """Keep statistics, scales and shifts of all batch norms as they are, in training mode too."""
        self._frozen_norms = True
        for norm in self._norms():
            for parameter in norm.parameters():
                parameter.requires_grad_(False)
        self.train(self.training)

    def freeze_up_to(self, stride: int) -> int:
        """Keep all weights as they are on which maps of at most this stride depend.

        Args:
            stride: Such as 4: stem and first stage.

        Returns:
            The number of parameters that are frozen; 0 where there is no such map.
        """
        places = [place for place, info in enumerate(self._every) if info.stride <= stride]
        if not places:
            return 0
        parameters = [parameter for parameter in self.body.parameters() if parameter.requires_grad]
        was = self.training
        self.eval()  # so that batch norms do not learn from an empty picture
        maps = self._features(next(self.body.parameters()).new_zeros(1, 3, 64, 64))
        sums = torch.stack([maps[place].sum() for place in places]).sum()
        gradients = torch.autograd.grad(sums, parameters, allow_unused=True)
        self.train(was)
        frozen = [parameter for parameter, g in zip(parameters, gradients, strict=True) if g is not None]
        for parameter in frozen:
            parameter.requires_grad_(False)
        return sum(parameter.numel() for parameter in frozen)

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode; frozen norms stay in evaluation mode."""
        super().train(mode)
        if self._frozen_norms:
            for norm in self._norms():
                norm.eval()
        return self

    def _norms(self) -> list[nn.Module]:
        return [module for module in self.body.modules() if isinstance(module, _NormBase)]
