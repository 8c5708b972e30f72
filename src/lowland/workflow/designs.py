"""Designs: genotypes of a certain size, which begin their training at the end of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.search.limits import excess
from lowland.search.record import Ranked
from lowland.spaces import Shape
from lowland.spaces.values import AS_PUBLISHED
from lowland.workflow.network_size import network_shape
from lowland.workflow.session import Session


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is trained: a genotype of a certain size.

    Attributes:
        genotype: The architecture.
        shape: Its size.
        entry: Its place in the order of the search; None where it is written by hand.
        name: Of a network written by hand.
    """

    genotype: Genotype
    shape: Shape
    entry: Ranked | None = None
    name: str | None = None

    @property
    def key(self) -> str:
        """Differs from all other designs of a run."""
        genes = "-".join(map(str, self.genotype.genes))
        shape = self.shape.described()
        written = {"growth": "{:g}", "resolution": "r{:g}"}
        own = [written.get(name, "{}").format(shape[name]) for name in AS_PUBLISHED if name in shape]
        return "-".join([genes, str(self.shape.cells), str(self.shape.channels), *own])

    @property
    def size(self) -> dict[str, Any]:
        """What of its shape was chosen."""
        sizes = self.shape.described()
        return {name: sizes[name] for name in ("channels", "cells", *AS_PUBLISHED) if name in sizes}

    @property
    def checkpoint(self) -> str:
        """Name of its checkpoint."""
        return f"rung-{self.key}"


def entrants(session: Session, ranking: Sequence[Ranked]) -> list[Design]:
    """The designs that begin: the space's hand-written networks, then the search's order.

    Each comes at every depth, growth and resolution and with every norm that the settings name. Those that the limits
    do not allow, or that are there already in another form, are left out.

    Returns:
        At most `search.finalists` designs, at least one.
    """
    config, space = session.config, session.space
    wanted = config.search.finalists
    depths = config.search.depths or (config.network.cells,)
    growths = config.search.growths or (config.network.growth,)
    norms = config.search.norms or (config.network.norm,)
    resolutions = config.search.resolutions or (config.network.resolution,)
    sizes = list(product(depths, growths, norms, resolutions))
    by_hand = space.references.items() if config.search.hand_written else ()
    named = [(space.parse(text), name) for name, text in by_hand]
    pool: list[tuple[Genotype, Ranked | None, str | None]] = [(genotype, None, name) for genotype, name in named]
    pool = pool[: max(1, wanted // (2 * len(sizes)))] if pool else pool
    pool += [(each.genotype, each, None) for each in ranking]
    found: dict[tuple[str, int, float, str, float], Design] = {}
    for genotype, entry, name in pool:
        for cells, growth, norm, resolution in sizes:
            key = (space.key(genotype), cells, growth, norm, resolution)
            if len(found) >= wanted or key in found:
                continue
            shape = network_shape(config, session.data, genotype, cells, growth, norm, resolution)
            if allowed(session, genotype, shape):
                found[key] = Design(genotype=genotype, shape=shape, entry=entry, name=name)
    return list(found.values())


def allowed(session: Session, genotype: Genotype, shape: Shape) -> bool:
    """Whether a design is within the limits, and can be built for these images."""
    try:
        session.space.check(shape)
        cost = session.space.cost(genotype, shape)
    except ConfigError:
        return False
    return excess(session.config.search, cost) <= 1.0
