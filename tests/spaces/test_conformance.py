"""Every registered space keeps every promise of `Space` and `Supernet`."""

from __future__ import annotations

from lowland.core.registry import SPACES
from lowland.testing import SpaceSuite


class TestNasBench201(SpaceSuite):
    name = "nasbench201"
    cells = 1


class TestDarts(SpaceSuite):
    name = "darts"


class TestOpenDarts(SpaceSuite):
    name = "darts-open"


class TestMobileNetV3(SpaceSuite):
    name = "mobilenetv3"
    cells = 1


class TestSmallMobileNetV3(SpaceSuite):
    name = "mobilenetv3-small"
    cells = 1


def test_every_built_in_space_is_tested_here() -> None:
    tested = {case.name for case in SpaceSuite.__subclasses__()}
    assert tested >= {entry.name for entry in SPACES.built_in()}
