"""The public suites find members that break a promise, and say what they compared."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import lowland.testing
import toy_suite
from lowland.core.genotype import Genotype
from lowland.core.registry import EXECUTORS, MEASURES, STRATEGIES, SUITES
from lowland.execution.sequential import Sequential
from lowland.measures.accuracy import Accuracy
from lowland.search.strategies.random import Random
from lowland.testing import EvaluationSuite, ExecutorSuite, MeasureSuite, StrategySuite
from lowland.testing.evaluation import Parts, made_up_data
from lowland.testing.tiny import SHAPE, TinyNetwork, case
from lowland.testing.toys import ToySpace


@pytest.mark.parametrize("name", lowland.testing.__all__)
def test_each_suite_shows_the_three_lines_a_user_writes(name: str) -> None:
    said = getattr(lowland.testing, name).__doc__
    assert f'class TestMine({name}):\n            name = "mine"' in said


def of(suite: type, registry: Any, member: type, patch: pytest.MonkeyPatch, **traits: Any) -> Any:
    """The suite of a member that is there for one test."""
    member.name = "careless"  # type: ignore[attr-defined]
    patch.setitem(registry._classes, "careless", member)
    return type("Careless", (suite,), {"name": "careless", **traits})()


def test_a_measure_that_trains_the_supernet_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Careless(Accuracy):
        def judge(self, path: Any) -> Any:
            with torch.no_grad():
                next(path.supernet.parameters()).add_(1.0)
            return super().judge(path)

    with pytest.raises(AssertionError):
        of(MeasureSuite, MEASURES, Careless, monkeypatch).test_leaves_the_supernet_bit_identical(case(steps=2), "batch")


def test_a_strategy_that_draws_from_elsewhere_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Careless(Random):
        def search(self, problem: Any) -> Any:
            return super().search(type(problem)(**{**vars(problem), "seed": random.randrange(10**6)}))

    suite = of(StrategySuite, STRATEGIES, Careless, monkeypatch, options={"candidates": 20})
    with pytest.raises(AssertionError):
        suite.test_a_search_is_a_function_of_its_seed(ToySpace())


def test_an_executor_that_mixes_up_the_order_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Careless(Sequential):
        def scores(self, request: Any, genotypes: Any, local: Any) -> Iterator[Any]:  # type: ignore[override]
            return super().scores(request, genotypes[::-1], local)

    with pytest.raises(AssertionError):
        of(ExecutorSuite, EXECUTORS, Careless, monkeypatch).test_rows_are_those_of_the_calling_process_in_order(
            2, tmp_path
        )


def test_a_suite_with_two_parts_of_one_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Careless(toy_suite.Darkness):
        def run(self, networks: Any, context: Any) -> Any:
            context.part("1", lambda: 0)
            return super().run(networks, context)

    suite = of(EvaluationSuite, SUITES, Careless, monkeypatch)
    parts = Parts(kept={"1": {"1": 100.0}})
    data, networks = made_up_data(), {"1": TinyNetwork(Genotype("tiny", (1, 2)), SHAPE).eval()}
    found = suite.suite().run(networks, suite.context(data, parts))
    with pytest.raises(AssertionError, match="a name of its own"):
        suite.test_parts_are_taken_from_before_a_stop((found, parts), networks, data)


def test_a_failure_in_somebody_elses_project_says_what_was_compared(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "from lowland.testing import StrategySuite\n\nclass TestMine(StrategySuite):\n"
        '    name = "random"\n    options = {"candidates": 20}\n    proposes = 21\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "assert 20 > 21" in done.stdout
    assert "2 failed, 5 passed" in done.stdout
