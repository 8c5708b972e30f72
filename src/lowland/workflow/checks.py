"""What can be wrong with the settings of a run, found before its first step and before anything is written."""

from __future__ import annotations

import torch

from lowland import spaces
from lowland.core.config import Config
from lowland.core.device import resolve
from lowland.core.errors import ConfigError
from lowland.core.registry import EXECUTORS
from lowland.core.seeds import numpy_rng
from lowland.data import Arrays, DataSet, load
from lowland.evaluation.suite import suites
from lowland.training import network as network_training
from lowland.training import paths as supernet_paths
from lowland.training import supernet as supernet_training
from lowland.workflow import beginning, room, rungs, searchers
from lowland.workflow.network_size import check_limits, network_shape


def check(config: Config, arrays: Arrays | None = None) -> DataSet:
    """Check all that can be wrong, before the first step and before anything is written.

    Each part says itself what it needs: the searcher and what it asks, the suites, the space.

    Args:
        config: The settings of a run.
        arrays: What the run is going to keep as its data, if that was given in memory.

    Returns:
        The data set.

    Raises:
        ConfigError: a setting is wrong, or does not go with another.
        DataError: the data cannot be used.
    """
    space = spaces.get(config.space)
    searcher = searchers.chosen(config.search)
    beginning.require(config)
    if searcher.supernet:
        supernet_paths.check(space, config)
    searcher.require(config)
    rungs.require(config)
    EXECUTORS.load(config.compute.executor).require()
    judges = suites(config)
    compute = resolve(config.compute)
    room.require(config, compute)
    data = load(config.data, seed=config.seed, device=compute.device, arrays=arrays)
    for judge in judges:
        judge.require(config, data)
    if searcher.supernet:
        space.check(supernet_training.shape(config, data))
    searcher.check(config, data)
    check_limits(config, data)
    genotype = space.sample(numpy_rng(config.seed))
    shape = network_shape(config, data, genotype)
    with torch.device("meta"):  # what the recipe asks of the network, such as an auxiliary head, without its weights
        network_training.build(genotype, shape, config.retrain, config.seed)
    if config.retrain.inherit and not searcher.supernet:
        raise ConfigError(
            f"retrain.inherit needs a supernet, but search.searcher={searcher.name} trains none; leave retrain.inherit "
            "out"
        )
    network_training.check_inheritance(
        config.retrain, config.network.channels, shape, supernet_training.shape(config, data)
    )
    return data
