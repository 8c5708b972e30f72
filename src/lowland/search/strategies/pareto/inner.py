"""The inner search: NSGA-II over genotypes on predicted objectives, and the choice of what to score next.

Variables are whole genotypes, and a space's own `sample`, `mutate` and `crossover` are the operators. So every option
of a gene is reached with the probability that the space gives it (the public code mutates integer genes as floats and
truncates them, which hardly ever reaches the last option), and every child is legal whatever the space.

Array names: N or Q points, M objectives, all minimised.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling
from pymoo.optimize import minimize

from lowland.core.genotype import Genotype
from lowland.search.limits import SizeLimits
from lowland.search.objectives import Array
from lowland.search.strategies.pareto.front import normalised, ranks
from lowland.search.strategies.variation import polynomial, two_point

if TYPE_CHECKING:
    from lowland.spaces.space import Space
    from lowland.spaces.values import Cost

CROSSOVER_PROBABILITY = 0.9
"""As published (MSuNAS, FlatNAS)."""

POLYNOMIAL_ETA = 1.0
"""Distribution index of the polynomial mutation (code of MSuNAS)."""

Draw = Callable[[np.random.Generator], Genotype]
Cross = Callable[["Space", Genotype, Genotype, np.random.Generator], Genotype]


class InnerSettings(Protocol):
    """Settings of the inner search, part of `Pareto.Config`."""

    @property
    def inner_population(self) -> int:
        """NSGA-II population."""

    @property
    def inner_generations(self) -> int:
        """NSGA-II generations."""

    @property
    def crossover(self) -> str:
        """`space` or `two-point`."""

    @property
    def mutation(self) -> str:
        """`space` or `polynomial`."""

    @property
    def mutation_probability(self) -> float:
        """With which each gene of a child changes."""

    @property
    def mutated_genes(self) -> str:
        """`all`, or `first-half` of the genes."""


class GenotypeSampling(Sampling):  # type: ignore[misc]
    """The genotypes given, and random ones up to the number asked for."""

    def __init__(self, draw: Draw, seeds: Sequence[Genotype]) -> None:
        super().__init__()
        self.draw = draw
        self.seeds = list(seeds)

    def _do(
        self, problem: Problem, n_samples: int, *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> Any:
        drawn = [self.draw(random_state) for _ in range(n_samples - len(self.seeds))]
        return _column([*self.seeds[:n_samples], *drawn])


class GenotypeCrossover(Crossover):  # type: ignore[misc]
    """A crossover, by default the space's own, twice per pair of parents."""

    def __init__(self, space: Space, probability: float = CROSSOVER_PROBABILITY, cross: Cross | None = None) -> None:
        super().__init__(n_parents=2, n_offsprings=2, prob=probability)
        self.space = space
        self.cross = (lambda space, a, b, rng: space.crossover(a, b, rng)) if cross is None else cross

    def _do(self, problem: Problem, X: Any, *args: Any, random_state: np.random.Generator, **kwargs: Any) -> Any:
        first, second = X[0, :, 0], X[1, :, 0]
        return np.stack(
            [
                _column([self.cross(self.space, a, b, random_state) for a, b in pairs])
                for pairs in (zip(first, second, strict=True), zip(second, first, strict=True))
            ]
        )


class GenotypeMutation(Mutation):  # type: ignore[misc]
    """The space's mutation: every gene (or every gene in `genes`) changes with `probability`."""

    def __init__(self, space: Space, probability: float, genes: range | None = None) -> None:
        super().__init__()
        self.space = space
        self.probability = probability
        self.genes = genes

    def _do(self, problem: Problem, X: Any, *args: Any, random_state: np.random.Generator, **kwargs: Any) -> Any:
        return _column([self.space.mutate(each, random_state, self.probability, self.genes) for each in X[:, 0]])


class PolynomialMutation(Mutation):  # type: ignore[misc]
    """Every gene moves with `probability` by a polynomial mutation, rounded to the nearest option."""

    def __init__(self, space: Space, probability: float) -> None:
        super().__init__()
        self.space = space
        self.probability = probability

    def _do(self, problem: Problem, X: Any, *args: Any, random_state: np.random.Generator, **kwargs: Any) -> Any:
        def step(value: int, count: int) -> int:
            return polynomial(value, count, POLYNOMIAL_ETA, random_state)

        return _column([self.space.mutate_near(each, random_state, self.probability, step) for each in X[:, 0]])


class IsomorphElimination(DuplicateElimination):  # type: ignore[misc]
    """Keeps one genotype of those that compute the same function: the first."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space

    def _do(self, pop: Any, other: Any, is_duplicate: Any) -> Any:
        seen = {self.space.key(each.X[0]) for each in other} if other is not None else set()
        for index, each in enumerate(pop):
            key = self.space.key(each.X[0])
            is_duplicate[index] = key in seen
            seen.add(key)
        return is_duplicate


class PredictedProblem(Problem):  # type: ignore[misc]
    """Predicted and exact objectives of genotypes, with the size limits as constraints g ≤ 0 on exact sizes.

    Attributes:
        found: Objective values of every genotype within the limits that was looked at, in the order of their coming.
    """

    def __init__(
        self,
        predict: Callable[[Sequence[Genotype]], Array],
        cost: Callable[[Genotype], Cost],
        objectives: int,
        limits: SizeLimits,
    ) -> None:
        excesses: list[Callable[[Cost], float]] = []
        if (most_params := limits.max_params) is not None:
            excesses.append(lambda size: size.parameters / most_params - 1.0)
        if (most_macs := limits.max_macs) is not None:
            excesses.append(lambda size: size.macs / most_macs - 1.0)
        super().__init__(n_var=1, n_obj=objectives, n_ieq_constr=len(excesses))
        self.found: dict[Genotype, Array] = {}
        self._predict = predict
        self._cost = cost
        self._excesses = excesses

    def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        genotypes: list[Genotype] = list(X[:, 0])
        out["F"] = self._predict(genotypes)
        excess = np.zeros((len(genotypes), len(self._excesses)))
        if self._excesses:
            sizes = [self._cost(genotype) for genotype in genotypes]
            excess = np.array([[over(size) for over in self._excesses] for size in sizes])
            out["G"] = excess
        for genotype, values_M, over in zip(genotypes, out["F"], excess, strict=True):
            if (over <= 0.0).all():
                self.found.setdefault(genotype, values_M)


def nsga2(
    space: Space,
    problem: PredictedProblem,
    seeds: Sequence[Genotype],
    settings: InnerSettings,
    seed: int,
    draw: Draw | None = None,
) -> dict[Genotype, Array]:
    """Run NSGA-II (Deb et al., 2002) with constraint domination, beginning with `seeds` and what `draw` gives.

    Returns:
        Objective values of every genotype within the limits that it looked at.
    """
    genes = range(len(space.gene_names) // 2) if settings.mutated_genes == "first-half" else None
    algorithm = NSGA2(
        pop_size=settings.inner_population,
        sampling=GenotypeSampling(space.sample if draw is None else draw, seeds),
        crossover=GenotypeCrossover(space, cross=two_point if settings.crossover == "two-point" else None),
        mutation=PolynomialMutation(space, settings.mutation_probability)
        if settings.mutation == "polynomial"
        else GenotypeMutation(space, settings.mutation_probability, genes),
        eliminate_duplicates=IsomorphElimination(space),
    )
    minimize(problem, algorithm, ("n_gen", settings.inner_generations), seed=seed % 2**32, verbose=False)
    return problem.found


def spread(
    space: Space, found: dict[Genotype, Array], archived_NM: Array, seen: Collection[str], count: int
) -> list[Genotype]:
    """Choose new genotypes that spread over the predicted front.

    The predicted points are ranked by non-domination together with the archive's, and taken front by front. Of the
    front that has more than are wanted, each one taken is the farthest (in objectives normalised over that front) from
    its nearest neighbour among the archive's front and those taken before: gaps are filled, widest first.

    Args:
        space: Gives isomorphism keys.
        found: Predicted objective values (M) by genotype.
        archived_NM: Objective values of the scored candidates.
        seen: Isomorphism keys proposed before.
        count: How many are wanted.

    Returns:
        At most `count` genotypes, one per isomorphism class.
    """
    new = {space.key(genotype): genotype for genotype in reversed(found) if space.key(genotype) not in seen}
    genotypes = list(new.values())
    if not genotypes:
        return []
    values_QM = np.array([found[genotype] for genotype in genotypes])
    rank = ranks(np.concatenate([values_QM, archived_NM]))
    rank_Q, rank_N = rank[: len(genotypes)], rank[len(genotypes) :]
    taken: list[int] = []
    for level in np.unique(rank_Q):
        members = np.flatnonzero(rank_Q == level)
        wanted = count - len(taken)
        if len(members) > wanted:
            around_PM = np.concatenate([archived_NM[rank_N == 0], values_QM[taken]])
            members = members[_gaps(values_QM[members], around_PM, wanted)]
        taken += members.tolist()
        if len(taken) == count:
            break
    return [genotypes[index] for index in taken]


def _gaps(values_QM: Array, around_PM: Array, count: int) -> list[int]:
    """Greedy choice of `count` points, each the farthest from its nearest of `around_PM` and the ones chosen."""
    ideal_M, nadir_M = values_QM.min(axis=0), values_QM.max(axis=0)
    scaled_QM, around_PM = normalised(values_QM, ideal_M, nadir_M), normalised(around_PM, ideal_M, nadir_M)
    distance_Q = np.full(len(values_QM), np.inf)
    for point_M in around_PM:
        distance_Q = np.minimum(distance_Q, np.linalg.norm(scaled_QM - point_M, axis=1))
    chosen: list[int] = []
    for _ in range(count):
        chosen.append(int(np.argmax(distance_Q)))
        distance_Q = np.minimum(distance_Q, np.linalg.norm(scaled_QM - scaled_QM[chosen[-1]], axis=1))
        distance_Q[chosen] = -np.inf
    return chosen


def _column(genotypes: Sequence[Genotype]) -> Any:
    """Genotypes as pymoo's array of variables, (N, 1) objects."""
    column = np.empty((len(genotypes), 1), dtype=object)
    column[:, 0] = genotypes
    return column
