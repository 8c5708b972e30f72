"""Scores that are only an order: places instead of numbers without a unit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lowland.core.config import Config
from lowland.report.search_facts import sample
from lowland.search import order
from lowland.store.artifacts import Ranked, Searched
from lowland.workflow.presets import assemble

RANKS = assemble({"measure": {"name": "angle+macs", "combine": "log-rank"}})
SUM = assemble({"measure": {"name": "angle+flatness", "combine": "sum"}})


def entry(number: int, value: float, **more: Any) -> Ranked:
    facts = {"genotype": str(number), "genes": (number,), "parameters": 5, "macs": 5, "standard_error": None}
    return Ranked(**facts, value=value, **more)


def found(*entries: Ranked, **more: Any) -> Searched:
    facts: dict[str, Any] = {"candidates": (), "summary": {"scored": 50}, "measure": "m", "images": 1}
    return Searched(ranking=entries, **facts | more)


def test_a_sum_has_scores_and_no_places() -> None:
    assert order.combined(SUM, found(entry(1, 2.0))) == "sum"
    assert order.standings(SUM, found(entry(1, 2.0, place=1))) is None


def test_what_was_recorded_counts_and_else_what_the_settings_say() -> None:
    assert order.combined(RANKS, found(entry(1, 2.0))) == "log-rank"
    assert order.combined(RANKS, found(entry(1, 2.0), combine="sum")) == "sum"  # a searcher of somebody's own
    assert order.combined(RANKS, found(entry(1, 2.0), measure=None)) == "sum"
    front = assemble({"search": {"strategy": "pareto"}})
    assert order.following(front) == "sum"


def test_places_of_before_follow_from_the_values_that_a_shortlist_left() -> None:
    shortlisted = config(shortlist=2, finalists=0)
    searched = found(entry(1, 1.0), entry(2, 3.0), entry(3, 2.0))
    assert order.standings(shortlisted, searched) == [3, 1, 2]
    assert order.standings(config(shortlist=9, finalists=0), searched) == [None] * 3
    recorded = found(*(replace(each, place=place) for each, place in zip(searched.ranking, (7, 8, 9), strict=True)))
    assert order.standings(shortlisted, recorded) == [7, 8, 9]


def test_places_on_a_shortlist_of_ranks() -> None:
    values = [{"measure": "a+b", "value": value, "standard_error": None} for value in (0.5, -1.0)]
    searched = found(entry(1, 1.0, shortlist=values[0]), entry(2, 2.0, shortlist=values[1]), entry(3, 0.0))
    assert order.shortlist_standings(config(shortlist=2, shortlist_measure="loss"), searched) is None
    ranks = config(shortlist=2, shortlist_measure="angle+macs")
    assert order.shortlist_standings(ranks, searched) == [(1, 2), (2, 2), None]


def config(**search: Any) -> Config:
    return RANKS.model_copy(update={"search": RANKS.search.model_copy(update=search)})


@pytest.mark.parametrize("seed", range(3))
def test_a_sample_keeps_improvements_and_the_winner(seed: int) -> None:
    values_N = np.random.default_rng(seed).normal(size=5000)
    chosen = sample(values_N, 77, 200)
    assert len(chosen) == len(set(chosen)) == 200
    assert chosen == sorted(chosen)
    assert chosen == sample(values_N, 77, 200)
    assert {77, 0, int(values_N.argmax())} <= set(chosen)
    best = np.maximum.accumulate(values_N)
    assert np.maximum.accumulate(values_N[chosen]).tolist() == best[chosen].tolist()
    assert sample(values_N, 77, 5000) == list(range(5000))


def test_a_sample_of_nothing_but_improvements_is_no_larger() -> None:
    chosen = sample(np.arange(5000.0), 4999, 200)
    assert len(chosen) <= 200
    assert chosen[-1] == 4999
