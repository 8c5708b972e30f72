"""How far a network is beyond the limits: at most 1 exactly where it has no more than either allows."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from lowland.search.limits import excess
from lowland.spaces.values import Cost

counts = st.integers(1, 10**12)


@dataclass(frozen=True)
class Asked:
    max_params: int | None
    max_macs: int | None


@given(counts, counts, st.none() | counts, st.none() | counts)
def test_at_most_one_is_within_both_limits(
    parameters: int, macs: int, max_params: int | None, max_macs: int | None
) -> None:
    found = excess(Asked(max_params, max_macs), Cost(parameters=parameters, macs=macs))
    within = (max_params is None or parameters <= max_params) and (max_macs is None or macs <= max_macs)
    assert (found <= 1.0) == within


def test_it_is_the_larger_of_both() -> None:
    assert excess(Asked(100, 1000), Cost(parameters=50, macs=3000)) == 3.0
    assert excess(Asked(100, None), Cost(parameters=50, macs=3000)) == 0.5
    assert excess(Asked(None, None), Cost(parameters=50, macs=3000)) == 0.0
