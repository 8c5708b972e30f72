"""Members that a run's settings name and only a plugin brings: said in one sentence, never imported unasked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from lowland.core.config import Config
from lowland.core.errors import RunError
from lowland.core.registry import EXECUTORS, MEASURES, SEARCHERS, SPACES, STRATEGIES, SUITES, Registry
from lowland.measures.expression import split
from lowland.store.run import Run


def _space(config: Config) -> Iterable[str]:
    return [config.space]


def _measures(config: Config) -> Iterable[str]:
    asked = [config.measure.name]
    if config.search.shortlist:
        asked.append(config.search.shortlist_measure)
    return [term.partition("(")[0].strip() for name in asked for term in split(name, "+")]


NAMED: tuple[tuple[Registry[Any], Callable[[Config], Iterable[str]]], ...] = (
    (SPACES, _space),
    (MEASURES, _measures),
    (SEARCHERS, lambda config: [config.search.searcher]),
    (STRATEGIES, lambda config: [config.search.strategy]),
    (SUITES, lambda config: config.evaluate.suites),
    (EXECUTORS, lambda config: [config.compute.executor]),
)
"""For each registry, which of its members the settings name; read from the settings' text, so that none is imported."""


def require(run: Run) -> None:
    """Check that the plugins that a run needs were given again.

    The plugins are known by the run's settings, but these may come from a stranger: a run directory alone never has a
    module imported.

    Raises:
        RunError: it needs a member that only a plugin it was made with brings, and the plugin was not given.
    """
    missing = [module for module in run.config.plugins if module not in sys.modules]
    if not missing:
        return
    for registry, named in NAMED:
        for name in named(run.config):
            if name not in registry.names():
                whose = f"plugin {missing[0]}" if len(missing) == 1 else f"one of the plugins {', '.join(missing)}"
                again = " ".join(f"--plugin {module}" for module in missing)
                raise RunError(f"run {run.path} uses the {registry.kind} {name!r} of {whose}: give {again} again")


def kept(config: Config, earlier: Config) -> Config:
    """The settings with the plugins of `earlier` settings of the same run too: they may still be needed."""
    return config.model_copy(update={"plugins": tuple(dict.fromkeys([*earlier.plugins, *config.plugins]))})
