"""The pool of a run's evaluation: its executor, and what workers prepare to train references and to judge networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from lowland.core.registry import outside_modules
from lowland.data import CorruptedImages
from lowland.evaluation.pool import EvaluationPool
from lowland.evaluation.shift.suite import CorruptionSuite
from lowland.evaluation.suite import published_root, suite, suites
from lowland.evaluation.tasks import EvaluationWork
from lowland.execution.executor import Executor
from lowland.execution.sequential import Sequential
from lowland.execution.snapshot import Snapshot
from lowland.workflow.measuring import opened, snapshot_of
from lowland.workflow.room import chosen, sends_data
from lowland.workflow.rungs import reference_threads
from lowland.workflow.scoring import importable
from lowland.workflow.session import Materials, Session


@dataclass(frozen=True)
class PrepareEvaluation:
    """What a worker does first."""

    snapshot: Snapshot
    modules: tuple[str, ...]

    def __call__(self) -> EvaluationWork:
        """Load the data, where they do not come along; sets the number of threads."""
        return work_of(opened(self.snapshot, self.modules))


def work_of(materials: Materials) -> EvaluationWork:
    """What carries out tasks with the materials of a run, in any process."""
    config, data = materials.config, materials.data

    def images(name: str) -> CorruptedImages:
        asked = suite(config, name)
        assert isinstance(asked, CorruptionSuite)
        return asked.corrupted(data, config.seed, published_root(config))

    return EvaluationWork(data=data, compute=materials.compute, batch_size=config.evaluate.batch_size, images=images)


@contextmanager
def evaluation_pool(
    session: Session, *, busy: bool = False, training_seconds: float | None = None
) -> Iterator[EvaluationPool | None]:
    """Within the block, references may train and networks be judged beside one another.

    Each task has `rungs.reference_threads` CPU threads, however many there are at a time, so that figures do not depend
    on that.

    Args:
        session: The run.
        busy: Whether the calling process computes all the while, with as many threads as a task: on a CPU it takes the
            room of one.
        training_seconds: What a training takes; None: as long as that of a delivered network took.

    Yields:
        The pool, which starts no worker before it is asked for something; None: one process is all that settings and
        cores allow.

    Raises:
        ConfigError: The executor cannot be used, or a member of the run cannot be told to its workers.
    """
    threads = reference_threads(session.config, session.compute)
    kind, room = chosen(session, threads)
    sent = [each for each in suites(session.config) if isinstance(each, CorruptionSuite)]
    if busy and room.size is not None and session.compute.device.type == "cpu" and not kind.everywhere:
        room = replace(room, size=room.size - 1)
    if kind is Sequential or room.size == 0 or not importable(session, sent, kind):
        yield None
        return
    if training_seconds is None:
        training_seconds = session.run.manifest["stages"]["train"]["seconds"] / session.config.retrain.top

    def executor() -> Executor:
        with_data = sends_data(session, kind)
        snapshot = snapshot_of(session, with_data=with_data, files=(), threads=threads, test=True)
        return kind(room, PrepareEvaluation(snapshot, outside_modules()))

    with EvaluationPool(
        executor,
        work_of(session),
        session.monitor,
        threads=threads,
        checkpoint_seconds=session.config.compute.checkpoint_seconds,
        training_seconds=training_seconds,
    ) as pool:
        yield pool
