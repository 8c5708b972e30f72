"""What can be wrong with the settings of a run, found before its first step and before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lowland import measures as measuring
from lowland import spaces
from lowland.core.config import Config
from lowland.core.device import resolve
from lowland.core.errors import ConfigError
from lowland.core.seeds import numpy_rng
from lowland.data import DataSet, load
from lowland.evaluation.suite import suites
from lowland.measures.combined import combination, parts_of
from lowland.measures.measure import Measure
from lowland.measures.subnet import SubnetMeasure
from lowland.training import network as network_training
from lowland.training import paths as supernet_paths
from lowland.training import supernet as supernet_training
from lowland.workflow import finalists
from lowland.workflow.session import check_limits, network_shape
from lowland.workflow.stages.search import objectives_of


def check(config: Config) -> DataSet:
    """Everything that can be wrong before the first step, found before anything is written; gives the data set."""
    space = spaces.get(config.space)
    supernet_paths.check(space, config)
    check_measures(config)
    judges = suites(config)
    compute = resolve(config.compute)
    data = load(config.data, seed=config.seed, device=compute.device)
    for judge in judges:
        judge.require(config, data)
    space.check(supernet_training.shape(config, data))
    check_limits(config, data)
    genotype = space.sample(numpy_rng(config.seed))
    with torch.device("meta"):  # what the recipe asks of the network, such as an auxiliary head, without its weights
        network_training.build(genotype, network_shape(config, data, genotype), config.retrain, config.seed)
    network_training.check_inheritance(
        config.retrain,
        config.network.channels,
        network_shape(config, data, genotype),
        supernet_training.shape(config, data),
    )
    return data


def check_measures(config: Config) -> None:
    """Raise ConfigError for a measure or an objective that does not exist or cannot judge these candidates."""
    objectives = objectives_of(config)
    asked = config.measure if objectives is None else objectives.measure
    parts = parts_of(measuring.get(asked))
    if config.search.racing is not None:
        check_racing(config, any(isinstance(part, SubnetMeasure) for part in parts))
    check_angle(config, asked.name, parts)
    if config.search.shortlist:
        second = finalists.shortlist_measure(config)
        check_angle(config, second.name, parts_of(measuring.get(second)))


def check_angle(config: Config, name: str, parts: Sequence[Measure]) -> None:
    """Raise ConfigError where `parts` of the measure `name` hold an angle that these candidates do not have.

    It compares each weight of the supernet with its own initial value.
    """
    if not any(part.name == "angle" for part in parts):
        return
    if config.finetune.epochs:
        raise ConfigError(
            f"measure {name!r}: the angle does not exist for fine-tuned candidates; choose another measure, or "
            "set finetune.epochs=0"
        )
    if config.supernet.shrinking:
        raise ConfigError(
            f"measure {name!r}: the angle means nothing where supernet.shrinking sorts the channels; choose "
            "another measure or leave supernet.shrinking out"
        )


def check_racing(config: Config, looks: bool) -> None:
    """Raise ConfigError where `search.racing` could save nothing; `looks`: whether a part of the measure does."""
    if not looks:
        raise ConfigError(
            f"search.racing={config.search.racing:g} needs a measure that looks at images, such as flatness, but "
            f"measure.name={config.measure.name!r} does not; leave search.racing out"
        )
    if combination(config.measure) != "sum":
        raise ConfigError(
            f"search.racing={config.search.racing:g} compares values, but measure.combine={config.measure.combine} "
            "orders by ranks; set measure.combine=sum or leave search.racing out"
        )
    if config.finetune.epochs:
        raise ConfigError(
            f"search.racing={config.search.racing:g} would fine-tune every candidate for its first look already; set "
            "finetune.epochs=0 or leave search.racing out"
        )
