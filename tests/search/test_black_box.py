"""Regularized evolution, local search and neighbourhood means on toy spaces."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from lowland.core.config import SearchConfig
from lowland.core.errors import ConfigError
from lowland.search import Candidate, Proposal
from lowland.search.aggregation import neighbourhood_mean
from lowland.search.strategies import strategy as strategies
from lowland.testing.strategies import Scores
from lowland.testing.toys import ToySpace
from toy_search import searched

SPACE = ToySpace(length=8, choices=6)


class Summed(Scores):
    """Scores of two parts, which agree."""

    def __call__(self, proposals: Sequence[Proposal]) -> Iterator[Candidate]:
        for each in super().__call__(proposals):
            part = {"value": each.value, "weight": 1.0}
            yield dataclasses.replace(each, details={"one": part, "other": part})


def best(name: str, seed: int, **own: Any) -> float:
    value = searched(name, SPACE, Scores(SPACE), seed, own).ranking[0].value
    assert value is not None
    return value


@pytest.mark.parametrize("name", ["regularized-evolution", "local"])
def test_they_find_better_ones_than_chance(name: str) -> None:
    ours, chance = (sum(best(each, seed, candidates=150) for seed in range(5)) / 5 for each in (name, "random"))
    assert ours > chance + 0.01


def test_an_ensemble_finds_better_ones_than_chance() -> None:
    ours, chance = (sum(best(each, seed, candidates=60) for seed in range(2)) / 2 for each in ("bananas", "random"))
    assert ours > chance + 0.03


def test_an_ensemble_scores_mutants_of_the_best_in_rounds() -> None:
    scores = Scores(SPACE)
    searched("bananas", SPACE, scores, 0, {"candidates": 33, "initial": 12, "proposals": 10, "parents": 2, "models": 2})
    origins = [origin for _, _, origin in scores.calls]
    assert origins == ["random"] * 12 + ["surrogate"] * 21
    known = [genotype for genotype, _, _ in scores.calls[:12]]
    for genotype, _, _ in scores.calls[12:22]:
        assert any(genotype in set(SPACE.neighbours(each)) for each in known)


def test_local_search_climbs_to_an_optimum_and_begins_anew() -> None:
    scores = Scores(SPACE)
    found = searched("local", SPACE, scores, 0, {"candidates": 600})
    assert found.ranking[0].value == 1.0, "the toy has one optimum"
    origins = [origin for _, _, origin in scores.calls]
    assert origins.count("random") > 1
    assert len(origins) == 600


def test_a_child_differs_by_one_gene_from_a_member() -> None:
    scores = Scores(SPACE)
    searched("regularized-evolution", SPACE, scores, 0, {"candidates": 60})
    seen = []
    for genotype, _, origin in scores.calls:
        if origin == "mutation":
            assert any(genotype in set(SPACE.neighbours(each)) for each in seen)
        seen.append(genotype)
    assert [origin for _, _, origin in scores.calls[:10]] == ["random"] * 10


def test_a_tournament_of_all_is_greedier() -> None:
    with pytest.raises(ConfigError, match=r"tournament \(11\) must not exceed population \(10\)"):
        strategies.chosen(
            SearchConfig(strategy="regularized-evolution", options={"regularized-evolution": {"tournament": 11}})
        )


def test_a_neighbourhood_is_worth_its_mean() -> None:
    scores = Scores(SPACE)
    found = searched("neighbourhood", SPACE, scores, 3, {"centres": 4})
    values = {SPACE.key(each.genotype): each.value for each in scores(scores.calls.copy())}
    centres = found.ranking[:4]
    assert [each.value for each in centres] == sorted((each.value for each in centres), reverse=True)
    for centre in centres:
        around = [centre.genotype, *SPACE.neighbours(centre.genotype)]
        assert centre.value == pytest.approx(sum(values[SPACE.key(each)] for each in around) / len(around))
    alone = [each.value for each in found.ranking[4:]]
    assert alone == sorted(alone, reverse=True)


def test_few_neighbours_cost_less() -> None:
    scores = Scores(SPACE)
    searched("neighbourhood", SPACE, scores, 3, {"centres": 4, "neighbours": 5})
    assert len(scores.calls) <= 4 * 6


def test_the_mean_leaves_out_what_has_no_score() -> None:
    assert neighbourhood_mean([1.0, None, 4.0]) == 2.5
    with pytest.raises(ValueError, match="none of a genotype and its neighbours"):
        neighbourhood_mean([None])


@pytest.mark.parametrize("name", ["regularized-evolution", "local", "neighbourhood"])
def test_sums_by_rank_are_compared_by_what_they_are_at_the_moment(name: str) -> None:
    own = {"centres": 2} if name == "neighbourhood" else {"candidates": 300}
    scores = Summed(SPACE)
    found = searched(name, SPACE, scores, 0, own, combine="log-rank")
    values = [each.value for each in found.ranking]
    assert all(value is not None and value <= 0 for value in values)
    if name == "local":
        assert found.ranking[0].genotype.genes.count(2) >= 6
