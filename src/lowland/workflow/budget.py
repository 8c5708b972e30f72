"""A time budget: how long trainings may be, so that a whole run ends in so many seconds on this machine."""

from __future__ import annotations

from typing import Any

from lowland.core.amounts import clock
from lowland.core.config import Config
from lowland.core.errors import BudgetError
from lowland.core.settings import merge
from lowland.data import DataSet
from lowland.workflow import searchers
from lowland.workflow.timing import Costs, seconds

SHORTEST = {"supernet": 2, "retrain": 3}
"""Epochs below which a training is not worth its time."""

LONGEST = 50.0
"""No training gets more than this many times the epochs of its preset."""


def within(config: Config, data: DataSet, piece: Costs, last: str) -> Config:
    """Lengthen or shorten trainings to fill `budget`: those of the supernet, of the rungs and of the networks, alike.

    The number of candidates, the images they are scored on and the judging of the result stay as they are.

    Args:
        config: Its `budget` is in seconds.
        data: The images.
        piece: What single pieces of work take here (`timing.costs`).
        last: The last stage.

    Returns:
        The settings with other epochs; as they are where there is no budget.

    Raises:
        BudgetError: The shortest trainings take longer; says how long.
    """
    if config.budget is None:
        return config

    def takes(share: float) -> float:
        return sum(seconds(scaled(config, share), data, piece, last).values())

    least = takes(0.0)
    if least > config.budget:
        raise BudgetError(
            f"budget={clock(config.budget)} is too short for this machine and these settings: the shortest plan takes "
            f"about {clock(least)}; allow at least {clock(1.1 * least)}, or leave out suites (evaluate.suites), "
            "finalists (search.finalists) or candidates"
        )
    low, high = 0.0, LONGEST
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if takes(middle) <= config.budget else (low, middle)
    return scaled(config, low)


def scaled(config: Config, share: float) -> Config:
    """The settings with that share of their epochs, at least the shortest."""
    retrain = max(min(SHORTEST["retrain"], config.retrain.epochs), round(share * config.retrain.epochs))
    changes: dict[str, Any] = {"retrain": {"epochs": retrain, "min_steps": 0}}
    if config.search.finalists and config.search.finalist_epochs is not None:
        longer = retrain / config.retrain.epochs
        changes["search"] = {"finalist_epochs": config.search.finalist_epochs * longer}
    if config.retrain.warmup_epochs:
        changes["retrain"]["warmup_epochs"] = min(config.retrain.warmup_epochs, retrain / 4)
    searcher = searchers.chosen(config.search)
    if searcher.supernet or searcher.trains:
        least = min(SHORTEST["supernet"], config.supernet.epochs)
        epochs = max(least, round(share * config.supernet.epochs))
        changes["supernet"] = {
            "epochs": epochs,
            "min_steps": 0,
            "warmup_epochs": min(config.supernet.warmup_epochs, epochs / 4),
        }
        changes = merge(changes, searcher.of_length(config, epochs))
    return Config.model_validate(merge(config.model_dump(), changes))
