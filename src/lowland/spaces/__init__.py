"""Search spaces: what can be built."""

from lowland.spaces.categorical import CategoricalSpace
from lowland.spaces.features import FeatureInfo, FeatureNetwork
from lowland.spaces.space import Single, Space, Supernet, SupernetPath, get, inherit, is_searched, register, registered
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
