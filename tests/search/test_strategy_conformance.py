"""What every strategy promises: it replays from its seed, keeps the limits, and ranks what is scored."""

from __future__ import annotations

from typing import Any

import pytest

from lowland.core.config import Config, MeasureConfig, SearchConfig
from lowland.core.errors import ConfigError
from lowland.core.registry import SEARCHERS, STRATEGIES
from lowland.search import Candidate, SearchResult
from lowland.search.strategies import strategy as strategies
from toy_search import searched

FEW: dict[str, dict[str, Any]] = {
    "evolution": {"population": 8, "generations": 4, "parents": 3, "mutations": 3, "crossovers": 3},
    "random": {"candidates": 32},
    "pareto": {
        "objectives": ["error", "params"],
        "initial": 8,
        "iterations": 2,
        "proposals": 4,
        "surrogate": "rbf",
        "inner_population": 8,
        "inner_generations": 3,
    },
}
"""Settings of a short search; a strategy that is not here has none."""

every_strategy = pytest.mark.parametrize("name", STRATEGIES.names())


class Scores:
    """Scores as an accuracy in [0, 1], best at genes of 2; notes what is asked for."""

    def __init__(self, space: Any) -> None:
        self.space = space
        self.calls: list[tuple[Any, int, str]] = []

    def __call__(self, proposals: Any) -> Any:
        for genotype, generation, origin in proposals:
            self.calls.append((genotype, generation, origin))
            size = self.space.cost(genotype)
            yield Candidate(
                genotype=genotype, key=self.space.key(genotype), measure="toy", generation=generation, origin=origin,
                status="scored", value=1 - sum((gene - 2) ** 2 for gene in genotype.genes) / 100,
                parameters=size.parameters, macs=size.macs,
            )  # fmt: skip


def search(name: str, space: Any, seed: int = 0, **given: Any) -> tuple[SearchResult, list[Any]]:
    scores = Scores(space)
    return searched(name, space, scores, seed, FEW.get(name, {}), **given), scores.calls


@every_strategy
def test_a_search_is_a_function_of_its_seed(name: str, toy: Any) -> None:
    assert search(name, toy) == search(name, toy)


@every_strategy
def test_every_candidate_is_new_within_the_limits_reported_and_ranked(name: str, toy: Any) -> None:
    told: list[Any] = []
    found, calls = search(name, toy, max_params=30, max_macs=2000, report=lambda *each: told.append(each))
    assert len({toy.key(genotype) for genotype, *_ in calls}) == len(calls) == len(told) > 10
    assert all(toy.cost(each).parameters <= 30 and toy.cost(each).macs <= 2000 for each, *_ in calls)
    assert [done for done, *_ in told] == list(range(1, len(calls) + 1))
    assert {each.genotype for each in found.ranking} == {genotype for genotype, *_ in calls}
    assert found.summary.strategy == name
    assert found.summary.proposed == found.summary.scored == len(calls)


@every_strategy
def test_settings_and_other_settings_are_its_own_to_check(name: str) -> None:
    strategy = strategies.chosen(SearchConfig(strategy=name))
    strategy.require(Config())
    assert strategy.measure(MeasureConfig()).name
    with pytest.raises(ConfigError, match=f"search.options.{name}.nosuch"):
        strategies.chosen(SearchConfig(strategy=name, options={name: {"nosuch": 1}}))


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
