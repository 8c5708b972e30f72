from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowland import spaces
from lowland.core.errors import BudgetError, ConfigError
from lowland.core.registry import STRATEGIES
from lowland.spaces.values import Shape
from toy_search import LIMITS, searched

SMALL = {"population": 10, "generations": 6, "parents": 4, "mutations": 4, "crossovers": 4, "mutation_probability": 0.2}


evolution, random, exhaustive = "evolution", "random", "exhaustive"


def run(strategy, space, score, seed=0, **given):
    """`given`: settings of the problem, and of whichever strategy has them."""
    problem = {key: given.pop(key) for key in (*LIMITS, "report", "cost") if key in given}
    own = {**SMALL, **given}
    own = {key: value for key, value in own.items() if key in STRATEGIES.load(strategy).Config.model_fields}
    return searched(strategy, space, score, seed, own, **problem)


def test_evolution_proposes_as_published(make_toy, recorder) -> None:
    space = make_toy(length=12, choices=6)
    score = recorder(space)
    result = run(
        evolution, space, score, population=50, generations=20, parents=10, mutations=25, crossovers=25,
        mutation_probability=0.1,
    )  # fmt: skip
    keys = [space.key(genotype) for genotype, _, _ in score.calls]
    assert len(keys) == len(set(keys)) == 1000
    origins = Counter((generation, origin) for _, generation, origin in score.calls)
    assert origins[0, "random"] == 50
    for generation in range(1, 20):
        assert sum(origins[generation, o] for o in ("mutation", "crossover", "random")) == 50
        assert origins[generation, "mutation"] == 25
    assert result.summary.proposed == result.summary.scored == 1000
    assert result.summary.generations == 20
    assert result.summary.failed == 0
    assert not result.summary.note


def test_evolution_learns(make_toy, recorder, value_of) -> None:
    space = make_toy(length=12, choices=6)
    best = {}
    for strategy in (evolution, random):
        results = [
            run(strategy, space, recorder(space), seed, population=20, generations=10, parents=5, mutations=10,
                crossovers=5, candidates=200)
            for seed in range(3)
        ]  # fmt: skip
        best[strategy] = sum(result.ranking[0].value for result in results) / 3
    assert best[evolution] > best[random] + 3


def test_parents_are_the_best_of_all_generations(make_toy, recorder) -> None:
    space = make_toy(length=6, choices=5)
    given_parents: list[list] = []
    score = recorder(space)
    seen: list = []
    original = space.mutate

    def spy(genotype, rng, probability, genes):
        generation = score.calls[-1][1] + 1
        while len(given_parents) < generation:
            given_parents.append([])
        given_parents[-1].append(genotype)
        return original(genotype, rng, probability, genes)

    space.mutate = spy
    run(evolution, space, score)
    for generation, parents in enumerate(given_parents, 1):
        before = [genotype for genotype, g, _ in score.calls if g < generation]
        seen = sorted(before, key=lambda g: (-sum(-((x - 2) ** 2) for x in g.genes), space.cost(g).parameters, g.genes))
        assert set(parents) <= set(seen[:4])


@pytest.mark.parametrize("strategy", [evolution, random])
def test_same_seed_same_search_other_seed_other_search(strategy, toy, recorder) -> None:
    first, second, other = recorder(toy), recorder(toy), recorder(toy)
    one = run(strategy, toy, first, candidates=60)
    two = run(strategy, toy, second, candidates=60)
    run(strategy, toy, other, seed=1, candidates=60)
    assert first.calls == second.calls
    assert one == two
    assert first.calls != other.calls


def test_a_draw_does_not_depend_on_the_length_of_the_search(toy, recorder) -> None:
    short, long = recorder(toy), recorder(toy)
    run(evolution, toy, short, generations=3)
    run(evolution, toy, long, generations=6)
    assert long.calls[: len(short.calls)] == short.calls


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), max_params=st.integers(14, 55), max_macs=st.integers(1100, 2500))
def test_no_candidate_exceeds_the_limits_and_none_is_proposed_twice(toy, recorder, seed, max_params, max_macs) -> None:
    score = recorder(toy)
    result = run(evolution, toy, score, seed, max_params=max_params, max_macs=max_macs)
    costs = [toy.cost(genotype) for genotype, _, _ in score.calls]
    assert all(cost.parameters <= max_params and cost.macs <= max_macs for cost in costs)
    keys = [toy.key(genotype) for genotype, _, _ in score.calls]
    assert len(keys) == len(set(keys)) == result.summary.proposed
    legal = {toy.key(g) for g in toy.all() if toy.cost(g).parameters <= max_params and toy.cost(g).macs <= max_macs}
    # Isomorphs may differ in size, so that a function can be legal in one of its forms only.
    assert set(keys) <= legal
    assert len(keys) == min(60, len(legal))
    assert bool(result.summary.note) == (len(legal) < 60)


def test_exhausted_space_ends_early_and_says_so(make_toy, recorder) -> None:
    space = make_toy(length=3, choices=3)
    for strategy in (evolution, random):
        score = recorder(space)
        result = run(strategy, space, score, candidates=500)
        assert result.summary.proposed == space.functions == 18
        assert "after 18 candidates" in result.summary.note
        assert len(result.ranking) == 18


def test_exhaustive_scores_every_function_once(toy, recorder) -> None:
    score = recorder(toy)
    result = run(exhaustive, toy, score)
    assert result.summary.proposed == toy.functions
    assert result.summary.isomorphs == toy.size - toy.functions
    assert result.ranking[0].genotype == toy.make(2, 2, 2, 2, 2)
    limited = run(exhaustive, toy, recorder(toy), max_params=20)
    by_hand = {toy.key(g) for g in toy.all() if toy.cost(g).parameters <= 20}
    assert limited.summary.proposed == len(by_hand)
    assert limited.summary.rejected > 0


def test_exhaustive_refuses_a_large_space(make_toy, recorder) -> None:
    space = make_toy(length=20, choices=8)
    with pytest.raises(ConfigError, match="too many to list"):
        run(exhaustive, space, recorder(space))


def test_ranking_breaks_ties_by_size_then_genes(toy, recorder) -> None:
    ranking = run(exhaustive, toy, recorder(toy)).ranking
    ranks = [(-c.value, c.parameters, c.genotype.genes) for c in ranking]
    assert ranks == sorted(ranks)
    assert len({c.value for c in ranking}) < len(ranking) / 4, "the toy must have ties"


def test_failed_candidates_never_rank_and_never_become_parents(toy, recorder) -> None:
    score = recorder(toy, fails=lambda genotype: genotype.genes[0] == 2)
    result = run(evolution, toy, score)
    failed = sum(g.genes[0] == 2 for g, _, _ in score.calls)
    assert result.summary.failed == failed > 0
    assert result.summary.scored == 60 - failed
    assert all(c.genotype.genes[0] != 2 for c in result.ranking)


def test_without_any_score_every_generation_is_random(toy, recorder) -> None:
    score = recorder(toy, fails=lambda genotype: True)
    result = run(evolution, toy, score)
    assert {origin for _, _, origin in score.calls} == {"random"}
    assert result.ranking == ()


def test_first_half_mutates_only_the_first_half(make_toy, recorder) -> None:
    space = make_toy(length=10, choices=6)
    ranges = []
    original = space.mutate

    def spy(genotype, rng, probability, genes):
        ranges.append(genes)
        child = original(genotype, rng, probability, genes)
        assert child.genes[5:] == genotype.genes[5:]
        return child

    space.mutate = spy
    run(evolution, space, recorder(space), mutated_genes="first-half")
    assert set(ranges) == {range(5)}


def test_mutation_rate_is_the_configured_one(make_toy, recorder) -> None:
    space = make_toy(length=20, choices=8)
    changed = []
    original = space.mutate

    def spy(genotype, rng, probability, genes):
        assert probability == 0.1
        child = original(genotype, rng, probability, genes)
        changed.append(sum(a != b for a, b in zip(genotype.genes, child.genes, strict=True)) / 20)
        return child

    space.mutate = spy
    run(evolution, space, recorder(space), population=50, parents=10, mutations=25, crossovers=25,
        generations=20, mutation_probability=0.1)  # fmt: skip
    n = 20 * len(changed)
    assert n > 8000
    assert abs(sum(changed) / len(changed) - 0.1) < 4 * (0.1 * 0.9 / n) ** 0.5


def test_report_is_told_about_every_candidate(toy, recorder) -> None:
    told = []
    run(evolution, toy, recorder(toy), report=lambda *arguments: told.append(arguments))
    assert [done for done, *_ in told] == list(range(1, 61))
    assert {total for _, total, *_ in told} == {60}
    bests = [best.value for *_, best in told]
    assert bests == sorted(bests)


def test_budget_below_the_smallest_network_names_it_exactly(toy, recorder) -> None:
    with pytest.raises(BudgetError) as caught:
        run(evolution, toy, recorder(toy), max_params=9)
    assert "at most 9 parameters" in str(caught.value)
    assert "smallest has 10 parameters" in str(caught.value)
    assert "raise search.max_params to 10" in str(caught.value)
    with pytest.raises(BudgetError, match="nearest has 10 parameters and 1,000 multiply-accumulates"):
        run(exhaustive, toy, recorder(toy), max_params=50, max_macs=999)


def test_budget_of_a_large_space_finds_the_smallest_by_descent(make_toy, recorder) -> None:
    space = make_toy(length=20, choices=8)
    with pytest.raises(BudgetError, match="smallest found has 10 parameters"):
        run(random, space, recorder(space), max_params=9)


def test_rare_legal_networks_of_a_large_space_are_found(make_toy, recorder) -> None:
    # Uniform draws average 10 + 3.5 · 210 = 745 parameters with a standard deviation near 123.
    space = make_toy(length=20, choices=8)
    score = recorder(space)
    result = run(evolution, space, score, max_params=60)
    assert result.summary.proposed == 60
    assert all(space.cost(g).parameters <= 60 for g, _, _ in score.calls)
    again = recorder(space)
    run(evolution, space, again, max_params=60)
    assert again.calls == score.calls


def test_large_space_with_one_legal_network_ends_early(make_toy, recorder) -> None:
    space = make_toy(length=20, choices=8)
    result = run(random, space, recorder(space), max_params=10, candidates=5)
    assert result.summary.proposed == 1
    assert "within the size limits" in result.summary.note


def test_nasbench201_within_limits(recorder) -> None:
    space = spaces.get("nasbench201")
    shape = Shape(channels=16, cells=1)
    cost = lambda genotype: space.cost(genotype, shape)  # noqa: E731
    calls = []

    def score(proposals):
        calls.extend(proposal.genotype for proposal in proposals)
        return recorder(_Costed(space, cost))(proposals)

    result = run(evolution, space, score, 3, cost=cost, max_params=100_000)
    keys = {space.key(g) for g in calls}
    assert len(keys) == len(calls) == result.summary.proposed == 60
    assert all(cost(g).parameters <= 100_000 for g in calls)


class _Costed:
    """A space whose cost is bound to one shape."""

    def __init__(self, space, cost) -> None:
        self.key, self.cost = space.key, cost


def test_nasbench201_exhaustive_finds_the_published_number_of_functions(recorder) -> None:
    space = spaces.get("nasbench201")
    cost = lambda genotype: space.cost(genotype, Shape(channels=16, cells=1))  # noqa: E731
    result = run(exhaustive, space, recorder(_Costed(space, cost)), cost=cost)
    assert result.summary.proposed == 6466
    assert result.summary.isomorphs == 15_625 - 6466
