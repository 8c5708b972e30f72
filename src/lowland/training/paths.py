"""Which paths of the supernet a training step runs: sampled, fair or sandwiched ones, perhaps of a shrunken space.

Every choice is a function of (run seed, step), the same on every rank.
"""

from __future__ import annotations

from lowland.core.config import Config, SupernetConfig
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.spaces import Space, SupernetPath

SANDWICH_PATHS = 2
"""Random networks of the sandwich rule where `paths_per_step` is not set (BigNAS, arXiv 2003.11142, §3.1)."""


def check(space: Space, config: Config) -> None:
    """Raise ConfigError where the space has no such paths as `supernet.path` and `supernet.shrinking` ask for."""
    rng = numpy_rng(config.seed, "supernet", "check")
    if config.supernet.path == "fair":
        space.fair_paths(rng, 1)
    if config.supernet.path == "sandwich":
        _extremes(space)
    if config.supernet.shrinking:
        space.restrict(space.sample(rng), ())


def sampled_path(space: Space, config: Config, cells: int, step: int, index: int = 0) -> SupernetPath:
    """The sampled path of one training step; of several, the one with this index."""
    keys = (step, index) if index else (step,)
    rng = numpy_rng(config.seed, "supernet", "path", *keys)
    return space.sample_path(rng, cells, per_cell=config.supernet.path == "per-cell")


def step_paths(space: Space, config: Config, cells: int, step: int, steps: int) -> list[SupernetPath]:
    """Choose all paths that step `step` of `steps` trains.

    - `shared`, `per-cell`: `paths_per_step` sampled ones.
    - `fair`: as many as there are operations, each once on every (cell, edge).
    - `sandwich`: the largest, the smallest and `paths_per_step` sampled ones.

    With `shrinking`, dimensions not yet elastic are put at their largest in all of them.

    Returns:
        Distinct paths; under the sandwich rule the largest is the first.
    """
    settings = config.supernet
    paths: list[SupernetPath]
    if settings.path == "fair":
        paths = list(space.fair_paths(numpy_rng(config.seed, "supernet", "path", step), cells))
    else:
        sandwich = settings.path == "sandwich"
        count = settings.paths_per_step or (SANDWICH_PATHS if sandwich else 1)
        paths = [sampled_path(space, config, cells, step, index) for index in range(count)]
        if sandwich:
            smallest, largest = _extremes(space)
            paths = [largest, smallest, *paths]
    if settings.shrinking:
        dimensions = elastic(settings, step, steps)
        paths = [_restricted(space, path, dimensions) for path in paths]
    return [path for index, path in enumerate(paths) if path not in paths[:index]]


def elastic(settings: SupernetConfig, step: int, steps: int) -> tuple[str, ...]:
    """The dimensions that are elastic in a step: none in the first of equal parts, one more in each later one."""
    return settings.shrinking[: step * (len(settings.shrinking) + 1) // steps]


def sorts_channels(settings: SupernetConfig, step: int, steps: int) -> bool:
    """Whether this is the step in front of which channels are sorted: the first one with elastic expansion."""
    if "expansion" not in elastic(settings, step, steps):
        return False
    return "expansion" not in elastic(settings, step - 1, steps)


def _restricted(space: Space, path: SupernetPath, dimensions: tuple[str, ...]) -> SupernetPath:
    if isinstance(path, Genotype):
        return space.restrict(path, dimensions)
    return [space.restrict(genotype, dimensions) for genotype in path]


def _extremes(space: Space) -> tuple[Genotype, Genotype]:
    found = space.extremes()
    if found is None:
        raise ConfigError(
            f"supernet.path=sandwich needs a space with a smallest and a largest network, which {space.name} has not; "
            "use shared or per-cell, or another space"
        )
    return found
