"""`import lowland.timm` makes networks of lowland models of timm: the published ones, and every delivered folder.

    import timm, lowland.timm
    timm.create_model("lowland_genas_flatness_cifar100", num_classes=100)
    timm.create_model("local-dir:runs/mine/network", pretrained=True, features_only=True)

timm's scripts import it with `--device-modules lowland.timm`.
"""

from __future__ import annotations

from lowland.core.errors import LowlandError

try:
    import timm as _timm
except ImportError as error:
    raise LowlandError("lowland.timm needs the extra package: pip install 'lowland[timm]'") from error

from lowland.delivery.timm_models import MODELS
from lowland.delivery.timm_network import TimmNetwork

__all__ = ["MODELS", "TimmNetwork"]

del _timm
