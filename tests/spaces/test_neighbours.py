"""Neighbours: legal, distinct, one decision away, and of one another."""

from __future__ import annotations

import pytest

from lowland import spaces
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.spaces import Space
from lowland.testing.tiny import TinySpace

COUNTS = {"nasbench201": 24, "darts": 120}


@pytest.mark.parametrize("name", spaces.registered())
def test_neighbours_are_legal_distinct_and_others(name: str) -> None:
    space = spaces.get(name)
    for seed in range(5):
        genotype = space.sample(numpy_rng(seed))
        found = list(space.neighbours(genotype))
        assert len(set(found)) == len(found)
        assert genotype not in found
        for each in found:
            space.validate(each)
        if name in COUNTS:
            assert len(found) == COUNTS[name]


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_neighbours_are_mutual(name: str) -> None:
    space = spaces.get(name)
    genotype = space.sample(numpy_rng(1))
    assert all(genotype in set(space.neighbours(each)) for each in space.neighbours(genotype))


def test_a_deeper_stage_repeats_its_last_block() -> None:
    space = spaces.get("mobilenetv3-small")
    smallest, _ = space.extremes() or pytest.fail("it is elastic")
    deeper = [each for each in space.neighbours(smallest) if each.genes[0] > smallest.genes[0]]
    assert deeper
    for each in deeper:
        stage = space.format(each).split("|")[0].split(",")
        assert stage == [stage[0]] * each.genes[0]


def test_a_space_that_lists_none_says_so() -> None:
    space = TinySpace()
    with pytest.raises(ConfigError, match="does not list the neighbours of a genotype"):
        Space.neighbours(space, Genotype(space.name, (0, 0)))
