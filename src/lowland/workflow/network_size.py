"""How large the delivered network is for a genotype, and whether the limits leave any."""

from __future__ import annotations

from functools import partial

from lowland import spaces
from lowland.core.config import Config
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.data import DataSet
from lowland.search import Limits
from lowland.spaces import Shape
from lowland.training.shape import on


def network_shape(config: Config, data: DataSet, genotype: Genotype) -> Shape:
    """The delivered network's size for one genotype. With `channels: fit`, the largest even width within the limits."""
    space, limits = spaces.get(config.space), config.search

    def wide(channels: int) -> Shape:
        return on(data, channels, config.network.cells, config.network.stem)

    if config.network.channels != "fit":
        return wide(config.network.channels)

    def fits(channels: int) -> bool:
        cost = space.cost(genotype, wide(channels))
        return (limits.max_params is None or cost.parameters <= limits.max_params) and (
            limits.max_macs is None or cost.macs <= limits.max_macs
        )

    low, high = 4, 1024  # even widths; at 4 the genotype may still be too large, and the search then rejects it
    while high - low > 2:
        middle = (low + high) // 4 * 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return wide(low)


def check_limits(config: Config, data: DataSet) -> None:
    """Raise BudgetError, or ConfigError for an impossible size, before anything is computed."""
    space = spaces.get(config.space)
    if config.network.channels == "fit" and config.search.max_params is None and config.search.max_macs is None:
        raise ConfigError("network.channels=fit needs a limit to fit: add --max-params or --max-macs")

    shape = partial(network_shape, config, data)
    limits = Limits(space, config.search, lambda genotype: space.cost(genotype, shape(genotype)), config.seed)
    space.check(shape(limits.smallest if config.network.channels == "fit" else space.sample(numpy_rng(config.seed))))
    limits.require_any()
