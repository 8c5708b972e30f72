"""Searches without generations: the same archive under any executor, and workers that do not wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowland.core.config import Config, SearchConfig
from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.genotype import Genotype
from lowland.core.registry import STRATEGIES
from lowland.execution.executor import Executor
from lowland.execution.room import Room
from lowland.execution.sequential import Sequential
from lowland.search import Archive, Evaluator, LocalScorer, Scored, SearchProblem
from lowland.search.strategies import strategy as strategies
from lowland.testing.simulated import Simulated, Weather
from lowland.testing.toys import ToySpace

pytestmark = pytest.mark.filterwarnings("ignore:.* at the second attempt, alone")  # workers are lost

SPACE = ToySpace(length=6, choices=5)

OPTIONS: dict[str, dict[str, Any]] = {
    "evolution": {"population": 8, "generations": 6, "parents": 3, "mutations": 4, "crossovers": 2},
    "regularized-evolution": {"candidates": 48},
    "local": {"candidates": 48},
    "bananas": {"candidates": 30, "models": 2},
    "pareto": {
        "objectives": ["accuracy", "params"],
        "initial": 8,
        "iterations": 6,
        "surrogate": "rbf",
        "inner_population": 8,
        "inner_generations": 2,
    },
}
"""Of every strategy that can go without generations."""

WEATHER = {"seconds": 1.0, "variation": 0.5, "slow": 0.1, "loss": 0.1, "restart": 3.0}


def measured(genotype: Genotype) -> Scored:
    """Best at genes of 2; some fail."""
    if sum(genotype.genes) % 7 == 0:
        raise ValueError("told to fail")
    return Scored(value=1 - sum((gene - 2) ** 2 for gene in genotype.genes) / 100)


def ask(_: object, genotype: Genotype) -> Scored:
    return measured(genotype)


def prepare() -> Callable[[object, Genotype], Scored]:
    return ask


class Scorer:
    """What a run makes of an executor."""

    def __init__(self, executor: Executor) -> None:
        self.executor, self.local = executor, LocalScorer(measured)

    def scores(self, genotypes: Any) -> Any:
        return self.executor.scores("toy", genotypes, self.local)

    def stream(self, more: Any) -> Any:
        return self.executor.stream("toy", more, self.local)


def searched(name: str, lag: int | None, executor: Executor, path: Path, **given: Any) -> Any:
    """Search; gives the result and the archive's rows but for times."""
    strategy = strategies.chosen(SearchConfig(strategy=name, options={name: OPTIONS[name]}))
    with Archive(path) as archive, executor:
        evaluator = Evaluator(SPACE, Scorer(executor), archive, "toy", SPACE.cost)
        problem = SearchProblem(
            space=SPACE, score=evaluator, stream=evaluator.stream, cost=SPACE.cost, seed=1, lag=lag, **given
        )
        result = strategy.search(problem)
        return (result.summary, [each.genotype for each in result.ranking], result.facts), rows(archive)


def rows(archive: Archive) -> list[Any]:
    return [
        (each.genotype, each.key, each.generation, each.origin, each.status, each.reason, each.value, each.macs)
        for each in archive.candidates(order="created")
    ]


def test_every_strategy_that_has_a_lag_is_tested_here() -> None:
    assert {name for name in STRATEGIES.names() if STRATEGIES.load(name).lags} == set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("lag", [0, 4, 40])
def test_the_archive_is_the_same_under_any_executor_and_any_number_of_workers(
    name: str, lag: int, tmp_path: Path
) -> None:
    expected = searched(name, lag, Sequential(Room(1), prepare), tmp_path / "one.sqlite")
    assert {status for *_, status, _, _, _ in expected[1]} == {"scored", "failed"}
    for workers in (1, 2, 5):
        executor = Simulated(Room(workers), prepare, weather=Weather(**WEATHER))
        assert searched(name, lag, executor, tmp_path / f"{workers}.sqlite") == expected


@settings(max_examples=10, deadline=None)
@given(
    name=st.sampled_from(["evolution", "regularized-evolution", "local"]),
    lag=st.integers(0, 20),
    workers=st.integers(1, 30),
    seed=st.integers(0, 1000),
)
def test_the_order_in_which_scores_come_changes_nothing(
    name: str, lag: int, workers: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("lag")
    executor = Simulated(Room(workers), prepare, weather=Weather(**WEATHER, seed=seed))
    expected = searched(name, lag, Sequential(Room(1), prepare), folder / "one.sqlite")
    assert searched(name, lag, executor, folder / "many.sqlite") == expected


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("stops", [[1, 9], [20], [28, 28, 29]])
def test_stopped_in_the_middle_and_begun_again_elsewhere_it_ends_the_same(
    name: str, stops: list[int], tmp_path: Path
) -> None:
    whole = searched(name, 6, Sequential(Room(1), prepare), tmp_path / "whole.sqlite")
    for workers, stop in enumerate(stops, start=1):

        def report(done: int, *_: object, stop: int = stop) -> None:
            if done == stop:
                raise InterruptedRun("stopped")

        with pytest.raises(InterruptedRun):
            searched(
                name,
                6,
                Simulated(Room(workers), prepare, weather=Weather(**WEATHER)),
                tmp_path / "a.sqlite",
                report=report,
            )
    executor = Simulated(Room(5), prepare, weather=Weather(**WEATHER))
    assert searched(name, 6, executor, tmp_path / "a.sqlite") == whole
    assert executor.dispatcher.counts.answered <= len(whole[1]) - stops[-1] + 1, "what was known was not scored again"


@pytest.mark.parametrize("name", ["regularized-evolution", "local", "bananas", "pareto"])
def test_without_generations_a_lag_of_nothing_is_the_default(name: str, tmp_path: Path) -> None:
    found = [searched(name, lag, Sequential(Room(1), prepare), tmp_path / f"{lag}.sqlite") for lag in (None, 0)]
    assert found[0] == found[1]


def test_evolution_learns_with_a_lag_too(tmp_path: Path) -> None:
    result, made = searched("evolution", 3, Sequential(Room(1), prepare), tmp_path / "a.sqlite")
    assert {origin for _, _, _, origin, *_ in made[:8]} == {"random"}
    assert {origin for _, _, _, origin, *_ in made[8:]} == {"random", "mutation", "crossover"}
    assert result[0].generations == 6
    values = [value for *_, value, _ in made if value is not None]
    assert sum(values[-10:]) / 10 > sum(values[:6]) / 6 + 0.015


def test_workers_wait_less_than_for_generations(tmp_path: Path) -> None:
    seconds = {}
    for lag in (None, 16):
        executor = Simulated(Room(8), prepare, weather=Weather(seconds=1.0, variation=0.5))
        searched("evolution", lag, executor, tmp_path / f"{lag}.sqlite")
        seconds[lag] = executor.clock
    assert seconds[16] < 0.75 * seconds[None]


@pytest.mark.parametrize("name", ["random", "exhaustive", "neighbourhood"])
def test_a_strategy_that_looks_at_no_scores_refuses_a_lag(name: str) -> None:
    search = SearchConfig(strategy=name, lag=5)
    with pytest.raises(ConfigError, match=r"search\.lag=5 .* search\.strategy to one of bananas, evolution, .*pareto"):
        strategies.require_lag(strategies.chosen(search), search)


def test_racing_and_a_lag_do_not_go_together() -> None:
    config = Config(search={"lag": 5, "options": {"evolution": {"racing": 0.2}}}, measure={"name": "accuracy"})
    with pytest.raises(ConfigError, match=r"racing=0\.2 compares the candidates of a generation, .* one of the two"):
        strategies.chosen(config.search).require(config)
