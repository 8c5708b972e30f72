"""What a report says of the members that a run names: as its search recorded it, so that none of them is imported.

Members import torch, which takes longer than all of a report. Of a search that is not finished, or of one whose record
an older lowland wrote, they are asked themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lowland import spaces
from lowland.core.config import Config
from lowland.core.genotype import Genotype
from lowland.search import order
from lowland.search.strategies import strategy as strategies
from lowland.spaces.values import CellGraph
from lowland.store.artifacts import Searched


def space_size(config: Config, searched: Searched | None) -> int:
    """Number of legal genotypes of the space."""
    if searched is not None and searched.space_size is not None:
        return searched.space_size
    return int(spaces.get(config.space).size)


def cells(config: Config, searched: Searched) -> tuple[CellGraph, ...]:
    """The cells of the first network."""
    if searched.cells is not None:
        return tuple(map(_graph, searched.cells))
    return tuple(spaces.get(config.space).graphs(Genotype(config.space, searched.ranking[0].genes)))


def _graph(row: Mapping[str, Any]) -> CellGraph:
    edges = tuple((source, target, operation) for source, target, operation in row["edges"])
    return CellGraph(title=row["title"], nodes=tuple(row["nodes"]), edges=edges)


def objectives(config: Config, searched: Searched | None) -> tuple[str, ...]:
    """What is traded off, as written; empty where candidates are ordered by one score."""
    if searched is not None and searched.objectives is not None:
        return searched.objectives
    return strategies.chosen(config.search).objectives


def measure(config: Config, searched: Searched | None) -> str:
    """The measure that candidates are scored by, which follows from the objectives where there are several."""
    if searched is not None and searched.relaxed is not None:
        return "none"
    if searched is not None and searched.scored_by is not None:
        name, combine = searched.scored_by, order.combined(config, searched)
    else:
        name, combine = strategies.chosen(config.search).measure(config.measure).name, order.following(config)
    return name if combine == "sum" else f"{name} (by {combine})"
