"""Search spaces: what can be built."""

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

__all__ = [
    "AngleTerm",
    "CellGraph",
    "Cost",
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
