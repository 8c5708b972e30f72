"""Search spaces: what can be built."""

from lowland.spaces import darts as _darts
from lowland.spaces import nasbench201 as _nasbench201
from lowland.spaces.space import (
    AngleTerm,
    CellGraph,
    Cost,
    NetworkOptions,
    Path,
    Shape,
    Space,
    Supernet,
    get,
    inherit,
    is_searched,
    register,
    registered,
)

del _darts, _nasbench201

__all__ = [
    "AngleTerm",
    "CellGraph",
    "Cost",
    "NetworkOptions",
    "Path",
    "Shape",
    "Space",
    "Supernet",
    "get",
    "inherit",
    "is_searched",
    "register",
    "registered",
]
