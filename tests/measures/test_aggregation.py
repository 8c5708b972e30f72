"""Rank aggregation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lowland.core.genotype import Genotype
from lowland.measures.aggregation import log_rank_sum, rank_sum
from lowland.search import Candidate
from lowland.search.aggregation import aggregated


def test_rank_sums_have_no_units() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 50))
    total = rank_sum([first, second])
    np.testing.assert_array_equal(total, rank_sum([np.exp(first), 1e6 * second + 3]))
    np.testing.assert_array_equal(rank_sum([np.array([1.0, 1.0, 5.0])]), [1.5, 1.5, 3.0])


def test_log_rank_sums_are_logarithms_of_products_of_ranks() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 50))
    total = log_rank_sum([first, second])
    ranks = stats.rankdata(first) * stats.rankdata(second)
    np.testing.assert_allclose(np.exp(total), ranks / 50**2)
    np.testing.assert_array_equal(total, log_rank_sum([np.exp(first), 1e6 * second + 3]))
    # Best by both measures gives 0; one low rank costs more than two middling ones, unlike in a rank sum.
    first, second = np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 2.0, 1.0, 4.0])
    assert log_rank_sum([first, second]).tolist() == pytest.approx(np.log([3 / 16, 4 / 16, 3 / 16, 1]))
    assert rank_sum([first, second]).tolist() == [4.0, 4.0, 4.0, 8.0]


def candidate(gene: int, **parts: float) -> Candidate:
    details = {label: {"value": value, "weight": 1.0} for label, value in parts.items()}
    return Candidate(
        genotype=Genotype("toy", (gene,)),
        key=str(gene),
        measure="toy",
        generation=0,
        origin="random",
        status="scored",
        value=sum(parts.values()),
        details=details,
        parameters=1,
        macs=1,
        seconds=0.0,
    )


def test_candidates_are_ordered_by_the_ranks_of_parts_not_by_their_sum() -> None:
    # The sum is dominated by the part of the large unit; its ranks are not.
    found = [
        candidate(0, small=1.0, large=3000.0),
        candidate(1, small=3.0, large=2000.0),
        candidate(2, small=2.0, large=1000.0),
    ]
    order = aggregated(found, "rank")
    assert [each.genotype.genes for each in order] == [(1,), (0,), (2,)]
    assert [each.value for each in order] == [5.0, 4.0, 3.0]
    values = [each.value for each in aggregated(found, "log-rank")]
    assert values == pytest.approx(np.log([6 / 9, 3 / 9, 2 / 9]))
    assert all(each.standard_error is None for each in order)


def test_nothing_to_order_is_no_fault_but_a_single_measure_is() -> None:
    assert aggregated([], "rank") == []
    single = candidate(0)
    with pytest.raises(ValueError, match="needs a sum of measures"):
        aggregated([single], "rank")
