"""How large the delivered network is for a genotype, and whether the limits leave any."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from lowland import spaces
from lowland.core.config import Config
from lowland.core.errors import BudgetError, ConfigError
from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.data import DataSet
from lowland.search import Limits
from lowland.spaces import Shape
from lowland.spaces.values import PUBLISHED_GROWTH, Norm
from lowland.spaces.width import fitted
from lowland.training.shape import on

PARAMETERS_PER_IMAGE = 20
"""Size of a network that no limit decides; see `natural_parameters`."""

LEAST, MOST = 50_000, 3_000_000


def natural_parameters(images: int) -> int:
    """The size of a network where `channels: fit` has no limit to fit: 20 parameters for every training image.

    At least 0.05 M and at most 3 M. On 5,000 images 0.1 M, trained for twice the epochs, are better than the 0.3 M that
    take the same time (docs/log.md).

    Args:
        images: Images it learns from.

    Returns:
        Parameters.
    """
    return min(MOST, max(LEAST, PARAMETERS_PER_IMAGE * images))


def network_shape(
    config: Config,
    data: DataSet,
    genotype: Genotype,
    cells: int | None = None,
    growth: float | None = None,
    norm: Norm | None = None,
    resolution: float | None = None,
) -> Shape:
    """The delivered network's size for one genotype. With `channels: fit`, the largest width within the limits.

    Args:
        config: Says width, depth and limits.
        data: Says the images' size, and where there is no limit the network's.
        genotype: What is built.
        cells: Another depth than `network.cells`.
        growth: Another growth than `network.growth`.
        norm: Another norm than `network.norm`.
        resolution: Another resolution than `network.resolution`.

    Returns:
        The size. Where even the narrowest is above a limit it is that, which the search then rejects.
    """
    network, limits = config.network, config.search
    width = network.channels
    depth = network.cells if cells is None else cells
    growth = network.growth if growth is None else growth
    norm = network.norm if norm is None else norm
    resolution = network.resolution if resolution is None else resolution
    if width != "fit":
        return on(data, width, depth, network.stem, growth, norm, resolution)
    space = spaces.get(config.space)
    shape = on(data, space.width_step, depth, network.stem, growth, norm, resolution)
    parameters = limits.max_params
    if parameters is None and limits.max_macs is None:
        parameters = natural_parameters(len(data.train) + len(data.search))
    try:
        return fitted(space, genotype, shape, parameters=parameters, macs=limits.max_macs, fill=network.fill)
    except BudgetError:
        return replace(shape, channels=space.width_step)


def check_limits(config: Config, data: DataSet) -> None:
    """Raise BudgetError, or ConfigError for an impossible size, before anything is computed."""
    space = spaces.get(config.space)
    growths = {config.network.growth, *config.search.growths}
    if not space.grows and growths != {PUBLISHED_GROWTH}:
        raise ConfigError(
            f"networks of {space.name} have widths of their own in every stage; leave network.growth and "
            f"search.growths out (they are {', '.join(f'{growth:g}' for growth in sorted(growths))})"
        )
    norms = {config.network.norm, *config.search.norms}
    if not norms <= set(space.norms):
        raise ConfigError(
            f"networks of {space.name} are built with {' or '.join(space.norms)} norm; leave network.norm and "
            f"search.norms out (they are {', '.join(sorted(norms))})"
        )
    resolutions = {config.network.resolution, *config.search.resolutions}
    if not space.resizes and resolutions != {1.0}:
        raise ConfigError(
            f"networks of {space.name} have resolutions of their own; leave network.resolution and search.resolutions "
            f"out (they are {', '.join(f'{resolution:g}' for resolution in sorted(resolutions))})"
        )
    shape = partial(network_shape, config, data)
    # Where widths fit the limits, a genotype is within them if its narrowest network is.
    narrowest = _narrowest(config, data) if config.network.channels == "fit" else None
    limits = Limits(
        space,
        config.search,
        lambda genotype: space.cost(genotype, narrowest or shape(genotype)),
        config.seed,
        smaller=["network.channels"] * (narrowest is None) + ["network.cells"] * (config.network.cells > 1),
    )
    space.check(shape(space.sample(numpy_rng(config.seed)) if narrowest is None else limits.smallest))
    limits.require_any()


def _narrowest(config: Config, data: DataSet) -> Shape:
    """The least size there is at the depth, growth, norm and resolution of the settings."""
    network = config.network
    step = spaces.get(config.space).width_step
    return on(data, step, network.cells, network.stem, network.growth, network.norm, network.resolution)
