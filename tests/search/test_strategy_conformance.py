"""Every built-in strategy keeps every promise of `Strategy`."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from lowland.core.config import SearchConfig
from lowland.core.errors import ConfigError
from lowland.core.registry import SEARCHERS, STRATEGIES
from lowland.search.strategies import strategy as strategies
from lowland.testing import StrategySuite


class TestEvolution(StrategySuite):
    name = "evolution"
    options: ClassVar[dict[str, Any]] = {
        "population": 8,
        "generations": 4,
        "parents": 3,
        "mutations": 3,
        "crossovers": 3,
    }


class TestRandom(StrategySuite):
    name = "random"
    options: ClassVar[dict[str, Any]] = {"candidates": 32}


class TestExhaustive(StrategySuite):
    name = "exhaustive"


class TestBananas(StrategySuite):
    name = "bananas"
    options: ClassVar[dict[str, Any]] = {"candidates": 32, "models": 2}


class TestRegularizedEvolution(StrategySuite):
    name = "regularized-evolution"
    options: ClassVar[dict[str, Any]] = {"candidates": 40}


class TestLocal(StrategySuite):
    name = "local"
    options: ClassVar[dict[str, Any]] = {"candidates": 40}


class TestNeighbourhood(StrategySuite):
    name = "neighbourhood"
    options: ClassVar[dict[str, Any]] = {"centres": 3}


class TestPareto(StrategySuite):
    name = "pareto"
    options: ClassVar[dict[str, Any]] = {
        "objectives": ["error", "params"],
        "initial": 8,
        "iterations": 2,
        "proposals": 4,
        "surrogate": "rbf",
        "inner_population": 8,
        "inner_generations": 3,
    }


def test_every_built_in_strategy_is_tested_here() -> None:
    tested = {case.name for case in StrategySuite.__subclasses__()}
    assert tested >= {entry.name for entry in STRATEGIES.built_in()}


def test_searchers_and_strategies_share_no_name() -> None:
    """Both have their own settings in `search.options`."""
    assert not {*SEARCHERS.names()} & {*STRATEGIES.names()}


@pytest.mark.parametrize(
    ("own", "words"),
    [({"parents": 21}, r"parents \(21\) must not exceed"), ({"mutations": 16}, r"mutations \+ crossovers \(21\) must")],
)
def test_several_settings_at_odds_are_named_with_their_place(own: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=f"setting search.options.evolution: {words}"):
        strategies.chosen(SearchConfig(options={"evolution": own}))
