"""Search spaces: what can be built."""

from lowland.spaces import darts as _darts
from lowland.spaces import mobilenetv3 as _mobilenetv3
from lowland.spaces import nasbench201 as _nasbench201
from lowland.spaces.space import (
    AngleTerm,
    CellGraph,
    Cost,
    NetworkOptions,
    Path,
    Shape,
    Single,
    Space,
    Supernet,
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
    "NetworkOptions",
    "Path",
    "Shape",
    "Single",
    "Space",
    "Supernet",
    "get",
    "inherit",
    "is_searched",
    "register",
    "registered",
]
