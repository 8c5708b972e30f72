"""Rank aggregation: one order from several measures, without units, weights or labels.

Array names: N genotypes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _mid_ranks(values_N: Array) -> Array:
    # Imported here: a report reads the names of aggregations, and scipy.stats would be a third of its time.
    from scipy import stats

    ranks_N: Array = stats.rankdata(values_N)
    return ranks_N


def rank_sum(measures: Sequence[Array]) -> Array:
    """Sum of the mid-ranks (1 is worst) that the measures give each genotype: no units, no weights, no labels."""
    total: Array = np.sum([_mid_ranks(values_N) for values_N in measures], axis=0)
    return total


def log_rank_sum(measures: Sequence[Array]) -> Array:
    """Sum logarithms of ranks, with r_m the mid-rank from 1 (worst) to n (best) that measure m gives.

    Like the rank sum it has no units, weights or labels, but the logarithm punishes a low rank by any one measure: it
    is the logarithm of the product of ranks. AZ-NAS (Lee and Ham, CVPR 2024) combines its four measures this way.

    Returns:
        Σ_m log(r_m/n) of every genotype (n,), ≤ 0.
    """
    total: Array = np.sum([np.log(_mid_ranks(values_N) / len(values_N)) for values_N in measures], axis=0)
    return total


AGGREGATIONS: Mapping[str, Callable[[Sequence[Array]], Array]] = {"rank": rank_sum, "log-rank": log_rank_sum}
"""By the name that `measure.combine` gives them."""
