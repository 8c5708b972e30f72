"""Search spaces: what can be built."""

from lowland.spaces.darts import space as _darts
from lowland.spaces.features import FeatureInfo, FeatureNetwork
from lowland.spaces.mobilenetv3 import space as _mobilenetv3
from lowland.spaces.nasbench201 import space as _nasbench201
from lowland.spaces.space import (
    AngleTerm,
    CellGraph,
    Cost,
    NetworkOptions,
    Shape,
    Single,
    Space,
    Supernet,
    SupernetPath,
    get,
    inherit,
    is_searched,
    register,
    registered,
)

del _darts, _mobilenetv3, _nasbench201

__all__ = [
    "AngleTerm",
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
