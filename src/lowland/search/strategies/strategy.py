"""The strategy: which candidates a search proposes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from lowland.core.errors import ConfigError
from lowland.core.options import own_settings
from lowland.core.registry import STRATEGIES
from lowland.core.settings import NoSettings, Section

if TYPE_CHECKING:
    from lowland.core.config import Config as RunConfig
    from lowland.core.config import MeasureConfig, SearchConfig
    from lowland.search.problem import SearchProblem
    from lowland.search.strategies.state import SearchResult


class Strategy(ABC):
    """Chooses candidates; a deterministic function of the run seed and of the scores.

    Resuming is replaying: every draw depends only on the seed, the generation and the slot, and the scores of earlier
    generations come from the archive, so that a search begun again makes the same proposals and scores what is missing.

    Args:
        options: Its own settings, an instance of its `Config`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]

    Config: ClassVar[type[Section]] = NoSettings
    """Its own settings, `search.options.<name>`."""

    lags: ClassVar[bool] = False
    """Whether it can go without generations: with `SearchProblem.lag`, proposals see all scores but the latest."""

    def __init__(self, options: Section) -> None:
        self.options = options

    @property
    def objectives(self) -> tuple[str, ...]:
        """What it trades off, as written; empty where it orders candidates by one score."""
        return ()

    def measure(self, config: MeasureConfig) -> MeasureConfig:
        """Choose the measure that its candidates are scored by.

        Returns:
            That of the settings, or what its objectives need.

        Raises:
            ConfigError: an objective is wrong.
        """
        return config

    def candidates(self) -> int | None:
        """How many it will have scored, about; None: that is not known beforehand."""
        return None

    def require(self, config: RunConfig) -> None:
        """Raise ConfigError where the other settings of a run do not go with this strategy. By default all do."""
        del config

    @abstractmethod
    def search(self, problem: SearchProblem) -> SearchResult:
        """Propose candidates, have them scored and rank them.

        Raises:
            BudgetError: No network of the space is within the limits.
            ConfigError: The space does not allow it.
            LowlandError: No candidate could be scored; the commonest reason is named.
        """


register = STRATEGIES.register
"""Class decorator: make a strategy available by its `name` (`core.registry`)."""


def chosen(config: SearchConfig) -> Strategy:
    """Make the strategy that `search.strategy` names.

    Returns:
        The strategy, with its own settings.

    Raises:
        ConfigError: there is none, with the nearest name and all others; or a setting of it is wrong.
    """
    cls: type[Strategy] = STRATEGIES.load(config.strategy)
    return cls(own_settings(STRATEGIES, config.strategy, config.options, "search.options"))


def require_lag(strategy: Strategy, config: SearchConfig) -> None:
    """Raise ConfigError where `search.lag` is set and means nothing to a strategy."""
    if config.lag is None or strategy.lags:
        return
    able = ", ".join(name for name in STRATEGIES.names() if STRATEGIES.load(name).lags)
    raise ConfigError(
        f"search.lag={config.lag} says which scores a proposal may see, but search.strategy={strategy.name} looks at "
        f"none, or cannot go without generations; leave search.lag out, or set search.strategy to one of {able}"
    )
