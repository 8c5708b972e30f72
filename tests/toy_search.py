"""Searches of toy spaces: a strategy by its name and own settings, and the problem it is given."""

from __future__ import annotations

from typing import Any

from lowland.core.config import SearchConfig
from lowland.search import Evaluator, SearchProblem, SearchResult, Strategy
from lowland.search.strategies import strategy as strategies

LIMITS = ("max_params", "max_macs")


def strategy(name: str, **own: Any) -> Strategy:
    """The strategy called `name` with its own settings."""
    return strategies.chosen(SearchConfig(strategy=name, options={name: own}))


def searched(name: str, space: Any, score: Any, seed: int = 0, own: Any = None, **given: Any) -> SearchResult:
    """What a strategy finds in a toy space; `given`: limits, report, … of the problem."""
    problem = SearchProblem(space=space, score=score, seed=seed, **{"cost": space.cost, **given})
    found = strategy(name, **(own or {})).search(problem)
    if isinstance(score, Evaluator):
        score.require_success()
    return found
