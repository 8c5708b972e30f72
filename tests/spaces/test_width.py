"""Width fitting against brute force over all widths, and closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowland import spaces
from lowland.core.errors import BudgetError, ConfigError
from lowland.core.registry import SPACES
from lowland.spaces import Cost, Shape
from lowland.spaces.width import WIDEST, fitted, widest
from lowland.testing.spaces.cases import samples

NAMES = sorted(entry.name for entry in SPACES.built_in())
CELLS = {"nasbench201": 2, "darts": 3}


def shape_of(name: str, **changes: object) -> Shape:
    return Shape(**{"image_size": 32, "cells": CELLS.get(name, 1), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", ["parameters", "macs", "both"])
def test_the_width_is_the_one_brute_force_finds(name: str, budget: str) -> None:
    space = spaces.get(name)
    for seed, genotype in enumerate(samples(space, 3, seed=2)):
        middle = space.cost(genotype, shape_of(name, channels=14 + 2 * seed))
        limits = {
            "parameters": middle.parameters + seed - 1 if budget != "macs" else None,
            "macs": int(middle.macs * 0.9) if budget == "both" else middle.macs if budget == "macs" else None,
        }
        widths = range(space.width_step, 33, space.width_step)
        costs = {width: space.cost(genotype, shape_of(name, channels=width)) for width in widths}
        best = max(
            width
            for width, cost in costs.items()
            if cost.parameters <= (limits["parameters"] or 10**12) and cost.macs <= (limits["macs"] or 10**15)
        )
        found = fitted(space, genotype, shape_of(name, channels=7), **limits)
        assert found == shape_of(name, channels=best, growth=found.growth)
        if not space.grows:
            assert found.growth == 2
            continue
        finer = {
            growth: space.cost(genotype, shape_of(name, channels=best, growth=growth))
            for growth in (round(2 + step / 100, 2) for step in range(math.ceil(200 * space.width_step / best)))
        }
        within = [
            growth
            for growth, cost in finer.items()
            if cost.parameters <= (limits["parameters"] or 10**12) and cost.macs <= (limits["macs"] or 10**15)
        ]
        most = finer[max(within)]
        assert space.cost(genotype, found) == most
        assert found.growth == min(growth for growth, cost in finer.items() if cost.parameters == most.parameters)


def test_later_stages_get_what_a_coarse_step_leaves() -> None:
    """Of 8 and 9 channels parameters differ by a quarter."""
    space = spaces.get("nasbench201")
    cell = space.parse("3,3,3,3,3,3")
    for parameters in (30_000, 50_000, 100_000, 300_000):
        found = fitted(space, cell, Shape(cells=1), parameters=parameters)
        coarse = space.cost(cell, replace(found, growth=2.0)).parameters
        assert coarse <= space.cost(cell, found).parameters <= parameters
        assert space.cost(cell, found).parameters > 0.95 * parameters
        assert 2 <= found.growth < 2 * (1 + 1 / found.channels)
    wide = fitted(space, cell, Shape(cells=1, growth=4.0), parameters=300_000)
    assert wide.growth == 4  # the greatest that is built
    plain = fitted(space, cell, Shape(cells=1), parameters=100_000, fill=False)
    assert (plain.channels, plain.growth) == (8, 2)


def test_every_width_of_a_cell_space_comes_back_from_its_own_cost() -> None:
    space = spaces.get("nasbench201")
    (genotype,) = samples(space, 1)
    for width in (2, 4, 18, 64):
        shape = shape_of("nasbench201", channels=width)
        cost = space.cost(genotype, shape)
        assert fitted(space, genotype, shape, parameters=cost.parameters) == shape
        assert fitted(space, genotype, shape, macs=cost.macs) == shape
        assert fitted(space, genotype, shape, parameters=cost.parameters - 1).channels == width - space.width_step


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(0, 50),
    st.integers(1, 10**9),
    st.one_of(st.none(), st.integers(1, 10**9)),
)
def test_closed_form(step: int, offset: int, parameters: int, macs: int | None) -> None:
    """Costs of a + C² parameters and 3·C MACs: C = min(⌊√(P − a)⌋, ⌊M / 3⌋), rounded down to a multiple of s."""

    def cost(width: int) -> Cost:
        return Cost(offset + width * width, 3 * width)

    best = 0
    for width in range(step, WIDEST + 1, step):
        if cost(width).parameters > parameters or (macs is not None and cost(width).macs > macs):
            break
        best = width
    if best == 0:
        with pytest.raises(BudgetError, match="at its narrowest"):
            widest(cost, step, "it", parameters=parameters, macs=macs)
    else:
        assert widest(cost, step, "it", parameters=parameters, macs=macs) == best


def test_the_widest_is_bounded_where_costs_do_not_grow() -> None:
    assert widest(lambda width: Cost(1, 1), 2, "it", parameters=1) == WIDEST
    assert widest(lambda width: Cost(1, 1), 3, "it", parameters=1) == WIDEST - WIDEST % 3


def test_a_budget_below_the_narrowest_says_what_it_needs() -> None:
    space = spaces.get("nasbench201")
    (genotype,) = samples(space, 1)
    shape = shape_of("nasbench201")
    least = space.cost(genotype, replace(shape, channels=space.width_step))
    with pytest.raises(BudgetError) as error:
        fitted(space, genotype, shape, parameters=least.parameters - 1, macs=least.macs)
    assert f"allow at least {least.parameters:,} parameters" in str(error.value)
    assert "MACs" not in str(error.value)
    with pytest.raises(BudgetError, match=f"allow at least {least.parameters:,} parameters and {least.macs:,} MACs"):
        fitted(space, genotype, shape, parameters=1, macs=1)
    with pytest.raises(ConfigError, match="give a number of parameters or of MACs"):
        fitted(space, genotype, shape)
