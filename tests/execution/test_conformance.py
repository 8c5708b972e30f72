"""Every built-in executor keeps every promise of `Executor`."""

from __future__ import annotations

import pytest

from lowland.core.registry import EXECUTORS
from lowland.execution import local as local_module
from lowland.testing import ExecutorSuite


class TestSequential(ExecutorSuite):
    name = "sequential"


class TestLocal(ExecutorSuite):
    name = "local"

    @pytest.fixture(autouse=True)
    def eager(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Start worker processes after the first candidate, and wait for them instead of scoring in this process."""
        monkeypatch.setattr(local_module, "WORTH_SECONDS", 0.0)
        here = local_module.Workers._here

        def patient(workers: local_module.Workers, local: object, genotype: object) -> object:
            return None if workers._started else here(workers, local, genotype)  # type: ignore[arg-type]

        monkeypatch.setattr(local_module.Workers, "_here", patient)


def test_every_built_in_executor_is_tested_here() -> None:
    tested = {case.name for case in ExecutorSuite.__subclasses__()}
    assert tested >= {entry.name for entry in EXECUTORS.built_in()}
