"""Every built-in executor keeps every promise of `Executor`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lowland.core.registry import EXECUTORS
from lowland.execution import local as local_module
from lowland.testing import ExecutorSuite, simulated


class TestSequential(ExecutorSuite):
    name = "sequential"


class TestSimulated(ExecutorSuite):
    name = simulated.Simulated.name


class TestLocal(ExecutorSuite):
    name = "local"
    kills = True

    @pytest.fixture(autouse=True)
    def eager(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Start worker processes after the first candidate, and wait for them instead of scoring in this process."""
        monkeypatch.setattr(local_module, "WORTH_SECONDS", 0.0)
        here = local_module.Workers._here

        def patient(workers: local_module.Workers, local: object, genotype: object) -> object:
            return None if workers._started else here(workers, local, genotype)  # type: ignore[arg-type]

        monkeypatch.setattr(local_module.Workers, "_here", patient)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One Ray cluster on this machine for all tests, with room for five workers."""
    ray = pytest.importorskip("ray")
    from lowland.execution.ray import join

    join(ray, 5)
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
class TestRay(ExecutorSuite):
    name = "ray"
    kills = True


def test_every_built_in_executor_is_tested_here() -> None:
    tested = {case.name for case in ExecutorSuite.__subclasses__()}
    assert tested >= {entry.name for entry in EXECUTORS.built_in()}
