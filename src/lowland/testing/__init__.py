"""Conformance suites for what others add: subclass one in a test of your own, and pytest does the rest.

    from lowland.testing import MeasureSuite

    class TestMine(MeasureSuite):
        name = "mine"

Needs the extra `test` (pytest and hypothesis). Each suite is imported on first use, so that worker processes, which
import `lowland.testing.processes`, import no other.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

# Before the suites are imported, so that their assertions say what they compared.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))

_HOMES = {
    "EvaluationSuite": "evaluation",
    "ExecutorSuite": "executors",
    "MeasureSuite": "measures",
    "SearcherSuite": "searchers",
    "SpaceSuite": "spaces",
    "StrategySuite": "strategies",
}

if TYPE_CHECKING:
    from lowland.testing.evaluation import EvaluationSuite
    from lowland.testing.executors import ExecutorSuite
    from lowland.testing.measures import MeasureSuite
    from lowland.testing.searchers import SearcherSuite
    from lowland.testing.spaces import SpaceSuite
    from lowland.testing.strategies import StrategySuite

__all__ = ["EvaluationSuite", "ExecutorSuite", "MeasureSuite", "SearcherSuite", "SpaceSuite", "StrategySuite"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lowland.testing' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
