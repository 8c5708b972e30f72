"""The Pareto front: domination, hypervolume against a fixed reference, and the knee.

Array names: N points, M objectives, all minimised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowland.search.archive import Candidate
from lowland.search.limits import SizeLimits
from lowland.search.objectives import Array, Objectives


def ranks(values_NM: Array) -> NDArray[np.int64]:
    """Sort points by non-domination.

    A point dominates another that it does not exceed in any objective and undercuts in one, so that equal points share
    a rank.

    Returns:
        The rank of every point (N,): 0 for the front, 1 for what is the front without it, and so on.
    """
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    rank_N = np.zeros(len(values_NM), dtype=np.int64)
    if len(values_NM):
        for rank, members in enumerate(NonDominatedSorting().do(values_NM)):
            rank_N[members] = rank
    return rank_N


def normalised(values_NM: Array, ideal_M: Array, nadir_M: Array) -> Array:
    """(values − ideal) / (nadir − ideal); an objective without a span keeps its unit."""
    span_M = nadir_M - ideal_M
    return (values_NM - ideal_M) / np.where(span_M > 0.0, span_M, 1.0)


def knee(values_NM: Array) -> int:
    """Find the point with the greatest trade-off of a front: one that gains little by giving up much.

    The front is normalised to [0, 1] per objective. The knee is the point farthest towards the ideal from the
    hyperplane Σ x = M − 1 through the corners in which one objective is best and all others are worst (for two
    objectives: from the line through the front's ends), which is the point of least Σ x. Where the front bends the
    other way it is one of its ends; ties go to the point given first.

    Returns:
        Its index.

    Raises:
        ValueError: There is no point.
    """
    if not len(values_NM):
        raise ValueError("an empty front has no knee")
    scaled_NM = normalised(values_NM, values_NM.min(axis=0), values_NM.max(axis=0))
    # Rounding must not decide between points of equal distance.
    return int(np.argmin(scaled_NM.sum(axis=1).round(12)))


def feasible(candidate: Candidate, limits: SizeLimits) -> bool:
    """Whether a scored candidate is within `search.max_params` and `search.max_macs`; a failed one never is."""
    return (
        candidate.status == "scored"
        and (limits.max_params is None or candidate.parameters <= limits.max_params)
        and (limits.max_macs is None or candidate.macs <= limits.max_macs)
    )


@dataclass(frozen=True, slots=True)
class Reference:
    """What makes hypervolumes compare: the scale of every objective, the reference point and the k of `flatnas`.

    Attributes:
        ideal: Best value of every objective in the sample it was made of.
        nadir: Worst value of every objective in that sample (or the quantile asked for): the reference point.
        k: The k under which all objective values are taken.
    """

    ideal: tuple[float, ...]
    nadir: tuple[float, ...]
    k: float | None

    @classmethod
    def of(
        cls,
        candidates: Sequence[Candidate],
        objectives: Objectives,
        limits: SizeLimits,
        k: float | None,
        quantile: float = 1.0,
    ) -> Reference:
        """The reference that the feasible ones of `candidates` give, usually the random ones a search began with.

        A worst value may be an outlier, such as the error of a network that did not learn; nearly all of the box is
        then dominated by any front, and hypervolumes hardly differ. The `quantile` 0.5 takes the median instead.

        Returns:
            The ideal and the nadir of the feasible ones.

        Raises:
            ValueError: None of them is feasible.
        """
        chosen = [candidate for candidate in candidates if feasible(candidate, limits)]
        if not chosen:
            raise ValueError("a reference for the hypervolume needs a feasible scored candidate")
        values_NM = objectives.values(chosen, k)
        nadir_M = np.quantile(values_NM, quantile, axis=0)
        return cls(tuple(values_NM.min(axis=0).tolist()), tuple(nadir_M.tolist()), k)


def hypervolume(
    candidates: Sequence[Candidate], objectives: Objectives, limits: SizeLimits, reference: Reference
) -> float:
    """Measure the volume that the feasible ones of `candidates` dominate.

    Objectives are normalised with the reference's ideal and nadir and the reference point is the nadir, (1, …, 1).
    Points that exceed it in an objective add nothing; points beyond the ideal make volumes above 1 possible.
    Infeasible and failed candidates play no part, neither as points nor with a penalty. Two searches compare where the
    reference is the same.

    Returns:
        The volume in units of the box between ideal and nadir, ≥ 0.
    """
    from pymoo.indicators.hv import HV

    chosen = [candidate for candidate in candidates if feasible(candidate, limits)]
    if not chosen:
        return 0.0
    values_NM = objectives.values(chosen, reference.k)
    scaled_NM = normalised(values_NM, np.array(reference.ideal), np.array(reference.nadir))
    return float(HV(ref_point=np.ones(len(objectives)))(scaled_NM))
