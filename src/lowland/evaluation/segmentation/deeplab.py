"""DeepLabv3 on any backbone, out of torchvision's parts.

Source: Chen et al. 2017, Rethinking Atrous Convolution for Semantic Image Segmentation, arXiv:1706.05587.

Tensor names: N pictures, K classes, H height, W width.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.models.segmentation.fcn import FCNHead

from lowland.training.backbone import Backbone

MAPS = 2
"""The backbone's last map and the one before, of which the auxiliary head sees the latter."""

RATES = (12, 24, 36)
"""Of the dilated convolutions at output stride 8 (§3.3 there); at 16 half of that, so that they see as far.
torchvision's own MobileNetV3 does not follow (pytorch/vision#7956)."""


def atrous_rates(output_stride: int) -> tuple[int, ...]:
    """12, 24 and 36 at output stride 8, 6, 12 and 18 at 16, 3, 6 and 9 at 32."""
    return tuple(rate * 8 // output_stride for rate in RATES)


class Maps(nn.Module):
    """A backbone whose maps are called as torchvision's segmenters want them."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x_NCHW: Tensor) -> OrderedDict[str, Tensor]:
        """Images (N, C, H, W) → `out`, the last map, and `aux`, the one before."""
        maps: OrderedDict[str, Tensor] = self.backbone(x_NCHW)
        before, last = maps.values()
        return OrderedDict(out=last, aux=before)


class Segmenter(nn.Module):
    """RGB pictures from 0 to 255 → logits of every pixel.

    Args:
        backbone: Gives `MAPS` maps; all of its weights are learnt, those of batch norms too.
        classes: K.
        mean: Of images from 0 to 1.
        std: Of images from 0 to 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, classes: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        before, last = backbone.maps
        self.model = DeepLabV3(
            Maps(backbone),
            DeepLabHead(last.channels, classes, atrous_rates(last.stride)),
            FCNHead(before.channels, classes),
        )
        self.register_buffer("mean", 255 * torch.tensor(mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std).reshape(3, 1, 1), persistent=False)

    def normalise(self, x_N3HW: Tensor, inside_NHW: Tensor | None = None) -> Tensor:
        """(x − mean)/std, and zero in the padding."""
        x_N3HW = (x_N3HW - self.mean) / self.std
        return x_N3HW if inside_NHW is None else x_N3HW * inside_NHW[:, None]

    def forward(self, x_N3HW: Tensor) -> dict[str, Tensor]:
        """Normalised pictures → `out` and `aux`, logits (N, K, H, W)."""
        found: dict[str, Tensor] = self.model(x_N3HW)
        return found
