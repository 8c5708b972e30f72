"""The searcher: how networks are found, from the data, and perhaps a trained supernet, to a ranking."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from lowland.core.config import Config as RunConfig
from lowland.core.config import SearchConfig
from lowland.core.device import Compute
from lowland.core.errors import ConfigError
from lowland.core.options import own_settings
from lowland.core.recipe import LongConfig
from lowland.core.registry import SEARCHERS
from lowland.core.settings import NoSettings, Section
from lowland.data import DataSet
from lowland.search.record import SearchRecord
from lowland.workflow.session import Session

Timer = Callable[[Callable[[int], object]], float]
"""(piece of work) → its seconds on this machine."""


class Searcher(ABC):
    """Finds networks. It looks at training and search images, never at test images.

    Args:
        options: Its own settings, an instance of its `Config`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]

    Config: ClassVar[type[Section]] = NoSettings
    """Its own settings, `search.options.<name>`."""

    supernet: ClassVar[bool] = False
    """Whether the stage `supernet` trains a one-shot supernet first, which the session then has."""

    trains: ClassVar[bool] = False
    """Whether `search` itself trains something for `supernet.epochs`."""

    def __init__(self, options: Section) -> None:
        self.options = options

    def require(self, config: RunConfig) -> None:
        """Raise ConfigError where the settings of a run do not go with this searcher. By default all do."""
        del config

    def check(self, config: RunConfig, data: DataSet) -> None:
        """Raise ConfigError where data or sizes do not go with this searcher. By default all do."""
        del config, data

    def planned(self, config: RunConfig, data: DataSet) -> Sequence[tuple[str, LongConfig, int]]:
        """Trainings that `search` is going to do: (name, recipe, images). By default none."""
        del config, data
        return ()

    def epoch_seconds(self, config: RunConfig, data: DataSet, compute: Compute, timed: Timer) -> float | None:
        """Time one of `supernet.epochs` epochs of `search` on this machine.

        Args:
            config: Settings of the run.
            data: The images.
            compute: Where the arithmetic runs.
            timed: Times a piece of work, which may be done several times, on throw-away weights.

        Returns:
            Seconds; None where `search` trains nothing.
        """
        del config, data, compute, timed
        return None

    def other_pieces(self, config: RunConfig, data: DataSet, compute: Compute, timed: Timer) -> Mapping[str, float]:
        """Time what `search` does beside its epochs on this machine, as `epoch_seconds` does.

        Returns:
            Seconds by names that `other_seconds` knows; by default none.
        """
        del config, data, compute, timed
        return {}

    def other_seconds(self, config: RunConfig, data: DataSet, pieces: Mapping[str, float]) -> float:
        """What `search` takes beside its epochs with these settings, which may be shorter or longer than those timed.

        Args:
            config: Settings of the run.
            data: The images.
            pieces: What `other_pieces` found; empty where nothing was timed.

        Returns:
            Seconds; by default 0.
        """
        del config, data, pieces
        return 0.0

    def of_length(self, config: RunConfig, epochs: int) -> dict[str, Any]:
        """Settings, beside `supernet.epochs`, that follow the length of the training; by default none."""
        del config, epochs
        return {}

    @abstractmethod
    def search(self, session: Session) -> SearchRecord:
        """Find networks within `search.max_params` and `search.max_macs`.

        A search that was stopped is begun again: what is to be kept of it must be in the run directory by then.

        Args:
            session: Settings, data, device, space and run directory; `session.monitor` is told how it goes, and asked
                by `check()` whether to stop.

        Raises:
            InterruptedRun: the monitor asked for a stop.
            LowlandError: no network can be found.
        """


register = SEARCHERS.register
"""Class decorator: make a searcher available by its `name` (`core.registry`)."""


def chosen(config: SearchConfig) -> Searcher:
    """Make the searcher that `search.searcher` names.

    Returns:
        The searcher, with its own settings.

    Raises:
        ConfigError: there is none, with the nearest name and all others; or a setting of it is wrong.
    """
    cls: type[Searcher] = SEARCHERS.load(config.searcher)
    return cls(own_settings(SEARCHERS, config.searcher, config.options, "search.options"))


def require_no_lag(config: RunConfig) -> None:
    """Raise ConfigError where `search.lag` is set; for searchers that have no proposals and scores."""
    if config.search.lag is not None:
        raise ConfigError(
            f"search.lag={config.search.lag} says which scores a proposal may see, and search.searcher="
            f"{config.search.searcher} scores none; leave search.lag out, or choose the searcher one-shot"
        )
