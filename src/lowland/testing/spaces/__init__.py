"""The conformance suite of search spaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from lowland import spaces
from lowland.spaces import Space
from lowland.testing.spaces.cases import CELLS
from lowland.testing.spaces.features import FeatureTests
from lowland.testing.spaces.genotypes import GenotypeTests
from lowland.testing.spaces.networks import NetworkTests
from lowland.testing.spaces.sizes import SizeTests
from lowland.testing.spaces.supernets import SupernetTests


class SpaceSuite(GenotypeTests, SizeTests, SupernetTests, NetworkTests, FeatureTests):
    """Every promise of `Space`, `Supernet` and `FeatureNetwork`, as tests of one space.

        class TestMine(SpaceSuite):
            name = "mine"

    Attributes:
        name: Of the space, which must be registered when the test runs.
        cells: A small depth that still shows everything the space has, such as a reduction.
    """

    name: ClassVar[str]
    cells: ClassVar[int] = 3

    @pytest.fixture(scope="class")
    @classmethod
    def space(cls) -> Iterator[Space]:
        """The space under test."""
        CELLS[cls.name] = cls.cells
        yield spaces.get(cls.name)
        del CELLS[cls.name]
