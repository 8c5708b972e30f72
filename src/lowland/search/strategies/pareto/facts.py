"""What a search with several objectives tells: its rounds, all candidates under one k, and the front with its pick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from lowland.search.archive import Candidate
from lowland.search.limits import SizeLimits
from lowland.search.objectives import Objectives
from lowland.search.strategies.pareto.front import Reference, feasible, hypervolume, knee, normalised, ranks
from lowland.search.strategies.pareto.surrogates import Surrogate

HYPERVOLUME = (
    "volume dominated by the feasible candidates, all under the final k, normalised by the best and worst feasible "
    "value of each objective among the initial random candidates, reference point: those worst values"
)
"""How the hypervolumes of the facts are to be read."""


@dataclass(kw_only=True)
class Round:
    """What one iteration did; iteration 0 is the random sample."""

    iteration: int
    k: float | None = None
    surrogates: dict[str, Surrogate] = field(default_factory=dict)
    proposed: int = 0
    archive: int = 0

    def facts(self, volume: float) -> dict[str, Any]:
        """JSON; `volume`: hypervolume of all candidates up to the end of the round."""
        return {
            "iteration": self.iteration,
            "proposed": self.proposed,
            "scored": self.archive,
            "k": self.k,
            "hypervolume": volume,
            "surrogates": [
                {
                    "objective": label,
                    "kind": surrogate.kind,
                    "tau": None if surrogate.tau is None else surrogate.tau.mean,
                    "tau_std": None if surrogate.tau is None else surrogate.tau.std,
                    "tried": {kind: asdict(agreement) for kind, agreement in surrogate.agreement.items()},
                }
                for label, surrogate in self.surrogates.items()
            ],
        }


def ranked(
    scored: Sequence[Candidate], objectives: Objectives, k: float | None, rule: Literal["knee", "best"]
) -> list[Candidate]:
    """Candidates, all within the limits: the pick by `rule`, the rest of the front, then the others by rank."""
    # The order of a draw between equal points: fewer parameters, then genes.
    candidates = sorted(scored, key=lambda candidate: (candidate.parameters, candidate.genotype.genes))
    values_NM = objectives.values(candidates, k)
    rank_N = ranks(values_NM)
    front_NM = values_NM[rank_N == 0]
    scaled_NM = normalised(values_NM, front_NM.min(axis=0), front_NM.max(axis=0))
    pick = knee(front_NM) if rule == "knee" else int(np.lexsort(front_NM.T[::-1])[0])
    distance_N = np.linalg.norm(scaled_NM - scaled_NM[rank_N == 0][pick], axis=1)
    return [candidates[index] for index in np.lexsort((distance_N, rank_N))]


def describe(
    limits: SizeLimits,
    rule: Literal["knee", "best"],
    objectives: Objectives,
    scored: Sequence[Candidate],
    rounds: Sequence[Round],
    k: float | None,
) -> dict[str, Any]:
    """Describe the search; everything is under the final `k`, but what an iteration used.

    Returns:
        JSON:

        - `objectives`: label, kind, unit, whether exact, α.
        - `measure`: the expression behind them; `k`.
        - `reference`: ideal and nadir of the initial sample, and `hypervolume`: how hypervolumes are taken.
        - `iterations`: candidates proposed, and scored up to then, the k used, hypervolume, and per objective the kind
          of surrogate and its cross-validated Kendall τ (`tried`: of every kind).
        - `candidates`, in the order they were scored: genes, generation, origin, objective values and their standard
          errors, non-domination rank, whether within the limits.
        - `front`: positions in `candidates` of the feasible front, by the first objective.
        - `pick`: position of the one that is delivered; `rule`: what made it so, `knee` or `best`.
    """
    initial = [candidate for candidate in scored if candidate.generation == 0]
    reference = Reference.of(initial or scored, objectives, limits, k)
    values_NM = objectives.values(scored, k)
    errors = objectives.standard_errors(scored, k)
    rank_N = ranks(values_NM)
    front = sorted(np.flatnonzero(rank_N == 0).tolist(), key=lambda index: tuple(values_NM[index]))
    best = ranked(scored, objectives, k, rule)[0]
    return {
        "objectives": [objective.facts for objective in objectives.every],
        "measure": objectives.measure.name,
        "k": k,
        "reference": {
            "ideal": list(reference.ideal),
            "nadir": list(reference.nadir),
            "hypervolume": HYPERVOLUME,
        },
        "iterations": [
            each.facts(hypervolume(scored[: each.archive], objectives, limits, reference)) for each in rounds
        ],
        "candidates": [
            {
                "genes": list(candidate.genotype.genes),
                "generation": candidate.generation,
                "origin": candidate.origin,
                "objectives": values,
                "standard_errors": error,
                "rank": int(rank),
                "feasible": feasible(candidate, limits),
            }
            for candidate, values, error, rank in zip(scored, values_NM.tolist(), errors, rank_N, strict=True)
        ],
        "front": front,
        "pick": next(index for index, candidate in enumerate(scored) if candidate is best),
        "rule": rule,
    }
