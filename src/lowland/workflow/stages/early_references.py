"""References begin their trainings while the delivered network is trained: what they are is known by then.

Small networks gain little from a second thread, so that two trainings of half the threads each are done long before one
after the other would be. What is left of them when the network is there, the stage `evaluate` goes on with.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from lowland.core.errors import LowlandError
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor, Relay
from lowland.delivery.network import Network
from lowland.evaluation.pool import EvaluationPool
from lowland.evaluation.suite import Suite
from lowland.spaces import Shape
from lowland.workflow.evaluation_tasks import evaluation_pool
from lowland.workflow.rungs import with_trainings
from lowland.workflow.session import Session
from lowland.workflow.stages.evaluate import Judging

WATCHED_SECONDS = 2.0
"""The network's own training is watched for so long before references begin: it tells what a training takes."""

ATTENDED_SECONDS = 0.3
"""Between two looks at what workers have given."""


@contextmanager
def early_references(session: Session, genotype: Genotype, shape: Shape) -> Iterator[Monitor]:
    """Within the block references train in other processes, where there is room for them.

    Args:
        session: The run; its stage `train` is running.
        genotype: The first network that it delivers.
        shape: Its size.

    Yields:
        The monitor for that training, which lets them begin and attends to them between its steps; the session's where
        nothing can train beside it, or the evaluation is not asked for now.
    """
    found = with_trainings(session.config, session.data) if "evaluate" in session.asked else []
    if not found or session.world.size > 1:
        yield session.monitor
        return
    with ExitStack() as stack:
        yield _Attending(session, found, _before_training(session, genotype, shape), stack)


def _before_training(session: Session, genotype: Genotype, shape: Shape) -> Network:
    """The network that is to be delivered, of which all but the weights is known."""
    body, data = session.space.network(genotype, shape), session.data
    return Network(body, genotype=genotype, shape=shape, classes=data.classes, mean=data.mean, std=data.std, facts={})


class _Attending(Relay):
    """Hears the steps of one training, and lets others begin beside it once it is known what a training takes."""

    def __init__(self, session: Session, found: list[Suite[Any]], to_come: Network, stack: ExitStack) -> None:
        super().__init__(session.monitor)
        self._session, self._suites, self._to_come, self._stack = session, found, to_come, stack
        self._pool: EvaluationPool | None = None
        self._open = True
        self._total = self._first = 0
        self._since = time.monotonic()

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """Pass on; from now on it is watched."""
        super().start(stage, total, unit, done)
        self._total, self._first, self._since = total, done, time.monotonic()

    def advance(self, done: int, **facts: Any) -> None:
        """Pass on, and attend."""
        super().advance(done, **facts)
        waited = time.monotonic() - self._since
        if not self._open or waited < (WATCHED_SECONDS if self._pool is None else ATTENDED_SECONDS):
            return
        try:
            if self._pool is None:
                self._begin(self._total * waited / (done - self._first))
            else:
                self._pool.attend()
        except LowlandError as error:
            self.note(f"references train when the network is there: {error}")
            self._open = False
            self._stack.close()
        self._since = time.monotonic()

    def _begin(self, training_seconds: float) -> None:
        opened = evaluation_pool(self._session, busy=True, training_seconds=training_seconds)
        self._pool = self._stack.enter_context(opened)
        if self._pool is None:
            self._open = False
            return
        self.detail("references begin their trainings beside it")
        judging = Judging(self._session, self._pool, self._to_come)
        for each in self._suites:
            judging.begin(each)
