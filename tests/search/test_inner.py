from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pymoo.core.population import Population

from lowland import spaces
from lowland.core.config import SearchConfig
from lowland.search.strategies.pareto.inner import (
    GenotypeCrossover,
    GenotypeMutation,
    GenotypeSampling,
    IsomorphElimination,
    PredictedProblem,
    nsga2,
    spread,
)
from lowland.search.strategies.pareto.strategy import Pareto


def population(*genotypes) -> Population:
    column = np.empty((len(genotypes), 1), dtype=object)
    column[:, 0] = genotypes
    return Population.new("X", column)


def problem(space, predict, **limits) -> PredictedProblem:
    return PredictedProblem(predict, space.cost, 2, SearchConfig(**limits))


def two(space):
    """(Σ (g − 3)², parameters)."""

    def predict(genotypes):
        errors = [float(sum((gene - 3) ** 2 for gene in genotype.genes)) for genotype in genotypes]
        return np.array([errors, [float(space.cost(genotype).parameters) for genotype in genotypes]]).T

    return predict


def test_fault_3_every_option_of_a_gene_is_reached_with_its_frequency(make_toy) -> None:
    """Fault 3 of the public code: integer genes were mutated as floats and truncated, so the last option was rare."""
    space = make_toy(length=4, choices=6)
    start = space.make(0, 2, 5, 3)
    mutated = GenotypeMutation(space, 1.0)(
        problem(space, two(space)), population(*[start] * 5000), random_state=np.random.default_rng(0)
    )
    for gene, before in enumerate(start.genes):
        counts = Counter(each.X[0].genes[gene] for each in mutated)
        assert set(counts) == set(range(6)) - {before}
        for count in counts.values():
            assert abs(count - 1000) < 4 * (5000 * 0.2 * 0.8) ** 0.5


def test_mutation_changes_every_gene_with_the_configured_probability(make_toy) -> None:
    space = make_toy(length=10, choices=6)
    start = space.make(*[1] * 10)
    operator = GenotypeMutation(space, 0.1, range(5))
    mutated = operator(problem(space, two(space)), population(*[start] * 4000), random_state=np.random.default_rng(0))
    changed = np.mean([[gene != 1 for gene in each.X[0].genes] for each in mutated], axis=0)
    assert np.abs(changed[:5] - 0.1).max() < 4 * (0.09 / 4000) ** 0.5
    assert (changed[5:] == 0).all()


@pytest.mark.parametrize("name", ["nasbench201", "darts"])
def test_operators_are_the_space_s_own_on_every_space(name) -> None:
    space = spaces.get(name)
    rng = np.random.default_rng(0)
    task = PredictedProblem(lambda genotypes: np.zeros((len(genotypes), 2)), lambda genotype: None, 2, SearchConfig())
    seeds = [space.sample(rng) for _ in range(3)]
    sampled = GenotypeSampling(space.sample, seeds)(task, 8, random_state=rng)
    assert [each.X[0] for each in sampled[:3]] == seeds
    pairs = np.array([[0, 1], [2, 3], [4, 5], [6, 7]])
    children = GenotypeCrossover(space)(task, sampled, pairs, random_state=rng)
    children = GenotypeMutation(space, 0.3)(task, children, random_state=rng)
    assert len(children) == 8
    for each in children:
        space.validate(each.X[0])
    assert len(GenotypeSampling(space.sample, seeds)(task, 2, random_state=rng)) == 2


def test_isomorphs_are_kept_once(toy) -> None:
    first, isomorph, other = toy.make(0, 1, 2, 2, 2), toy.make(1, 0, 2, 2, 2), toy.make(1, 1, 2, 2, 2)
    eliminate = IsomorphElimination(toy)
    kept = eliminate.do(population(first, isomorph, other, other))
    assert [each.X[0] for each in kept] == [first, other]
    assert [each.X[0] for each in eliminate.do(population(first, other), population(isomorph))] == [other]


def test_nsga2_comes_near_the_front_and_is_a_function_of_its_seed(make_toy) -> None:
    space = make_toy(length=8, choices=5)
    config = Pareto.Config(inner_population=40, inner_generations=40, mutation_probability=0.15)
    found = nsga2(space, problem(space, two(space)), [], config, 0)
    best_error = min(values[0] for values in found.values())
    smallest = min(values[1] for values in found.values())
    assert best_error <= 2
    assert smallest <= 20, "the smallest has 10"
    again = nsga2(space, problem(space, two(space)), [], config, 0)
    assert list(again) == list(found)
    assert list(nsga2(space, problem(space, two(space)), [], config, 1)) != list(found)


def test_limits_are_constraints_not_penalties(make_toy) -> None:
    """Even where a random genotype is never within them; whatever is found is, and its values are as predicted."""
    space = make_toy(length=12, choices=6)
    config = Pareto.Config(inner_population=30, inner_generations=25)
    task = problem(space, two(space), max_params=60, max_macs=2500)
    found = nsga2(space, task, [space.make(*[0] * 12)], config, 0)
    assert len(found) > 20
    for genotype, values in found.items():
        assert space.cost(genotype).parameters <= 60
        assert space.cost(genotype).macs <= 2500
        assert values[1] == space.cost(genotype).parameters
    assert task.n_ieq_constr == 2


def test_proposals_fill_the_gaps_of_the_front_widest_first(make_toy) -> None:
    space = make_toy(length=2, choices=100)
    # A straight front from (0, 90) to (90, 0), scored at its ends and near one of them, and dominated points off it.
    found = {space.make(x, 0): np.array([x, 90.0 - x]) for x in range(91)}
    found |= {space.make(x, 50): np.array([x + 5.0, 95.0 - x]) for x in range(51, 91)}
    archived = np.array([[0.0, 90.0], [90.0, 0.0], [10.0, 80.0]])
    seen = {space.key(space.make(x, 0)) for x in (0, 10, 90)}
    chosen = spread(space, found, archived, seen, 3)
    assert chosen[0].genes == (50, 0)
    assert {genotype.genes for genotype in chosen[1:]} == {(30, 0), (70, 0)}
    everything = spread(space, found, archived, seen, 1000)
    keys = {space.key(genotype) for genotype in everything}
    assert len(everything) == len(keys) == len({space.key(g) for g in found} - seen)
    assert [genotype.genes[1] for genotype in everything[:88]] == [0] * 88, "front by front"
    assert spread(space, found, archived, {space.key(g) for g in found}, 3) == []
