"""A training of two threads gives the same bits in the calling process and in a worker, which begins with one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.registry import outside_modules
from lowland.core.threads import threads_of
from lowland.execution import local
from lowland.execution.executor import Executor
from lowland.execution.local import Workers
from lowland.execution.outcome import Gave
from lowland.execution.room import Room
from lowland.execution.sequential import Sequential
from lowland.execution.tasks import LocalTasks
from lowland.store.run import Run
from lowland.store.tensors import from_safetensors
from lowland.training.legs import Trained
from lowland.workflow.designs import Design
from lowland.workflow.measuring import snapshot_of
from lowland.workflow.network_size import network_shape
from lowland.workflow.rung_tasks import PrepareRungs, Request, RungTask
from lowland.workflow.rungs import task_threads
from lowland.workflow.session import Session
from whole_runs import copied

STEPS = 3


def trained(executor: Executor, prepare: PrepareRungs, design: Design) -> dict[str, Tensor]:
    """The state of a design after a few steps."""
    request, task = Request("train", STEPS), RungTask(design=design, state=None, seconds=float("inf"))

    def here(task: RungTask) -> Trained:
        found = prepare()(request, task)
        assert isinstance(found, Trained)
        return found

    ((_, gave),) = executor.chains(request, [task], lambda *_: None, LocalTasks(here))
    assert isinstance(gave, Gave)
    assert gave.value.whole
    return from_safetensors(gave.value.state)[0]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_bits_of_two_threads_are_those_of_two_threads_in_a_worker(
    supernet_only: Path, tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(supernet_only, tmp_path / "run")
    with Run.open(run, read_only=True) as opened:
        named = {"task_threads": 2, "precision": precision}
        opened.config = opened.config.model_copy(
            update={
                "compute": opened.config.compute.model_copy(update=named),
                # Of fewer channels there is so little to do that one thread does it, whatever torch is told.
                "network": opened.config.network.model_copy(update={"channels": 16}),
            }
        )
        session = Session(opened, Monitor())
        genotype = Genotype("nasbench201", (3, 2, 3, 1, 2, 3))
        design = Design(genotype=genotype, shape=network_shape(session.config, session.data, genotype))
        threads = task_threads(session.config, session.compute)
        prepare = PrepareRungs(snapshot_of(session, with_data=True, files=(), threads=threads), outside_modules())
    found = []
    with threads_of(threads):
        assert torch.get_num_threads() == 2
        with Sequential(Room(1, threads=2), prepare) as executor:
            found.append(trained(executor, prepare, design))
        monkeypatch.setattr(local, "WORTH_SECONDS", 0.0)
        monkeypatch.setattr(Workers, "_here", lambda *_: None)
        with Workers(Room(1, threads=2), prepare) as executor:
            executor.expect(1e6)
            found.append(trained(executor, prepare, design))
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
