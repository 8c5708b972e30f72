"""Search spaces: what can be built.

Everything here is imported on first use: what only reads names or an archive needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "AngleTerm": "spaces.values",
    "CategoricalSpace": "spaces.categorical",
    "CellGraph": "spaces.values",
    "Cost": "spaces.values",
    "FeatureInfo": "spaces.features",
    "FeatureNetwork": "spaces.features",
    "NetworkOptions": "spaces.values",
    "Shape": "spaces.values",
    "Single": "spaces.single",
    "Space": "spaces.space",
    "Supernet": "spaces.space",
    "SupernetPath": "spaces.space",
    "get": "spaces.space",
    "inherit": "spaces.space",
    "is_searched": "spaces.space",
    "register": "spaces.space",
    "registered": "spaces.space",
}

if TYPE_CHECKING:
    from lowland.spaces.categorical import CategoricalSpace
    from lowland.spaces.features import FeatureInfo, FeatureNetwork
    from lowland.spaces.single import Single
    from lowland.spaces.space import (
        Space,
        Supernet,
        SupernetPath,
        get,
        inherit,
        is_searched,
        register,
        registered,
    )
    from lowland.spaces.values import AngleTerm, CellGraph, Cost, NetworkOptions, Shape

__all__ = [
    "AngleTerm",
    "CategoricalSpace",
    "CellGraph",
    "Cost",
    "FeatureInfo",
    "FeatureNetwork",
    "NetworkOptions",
    "Shape",
    "Single",
    "Space",
    "Supernet",
    "SupernetPath",
    "get",
    "inherit",
    "is_searched",
    "register",
    "registered",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lowland.spaces' has no attribute {name!r}")
    return getattr(import_module(f"lowland.{_HOMES[name]}"), name)
