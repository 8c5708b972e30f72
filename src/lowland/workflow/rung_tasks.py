"""The designs of a rung side by side: their trainings are handed to the run's executor, leg by leg.

A leg takes the state of one design's training and gives back the state some seconds later; the driver keeps it in the
run before the next leg begins, anywhere. So a lost worker costs a leg, and every leg is about as long, however long
trainings are: what takes longer is stuck. When all are trained they are judged, a task each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lowland.core.errors import NotFiniteError
from lowland.core.registry import outside_modules
from lowland.core.threads import threads_of
from lowland.execution.executor import Executor
from lowland.execution.outcome import Gave, ScoringFailure
from lowland.execution.sequential import Sequential
from lowland.execution.snapshot import Snapshot
from lowland.execution.tasks import LocalTasks, TaskFunction
from lowland.store.artifacts import INITIAL, TRAINED
from lowland.store.tensors import from_safetensors, to_safetensors
from lowland.training.legs import HERE_SECONDS, LEG_SECONDS, Baton, Leg, Trained, one_leg
from lowland.workflow.designs import Design
from lowland.workflow.measuring import opened, snapshot_of
from lowland.workflow.room import chosen, sends_data
from lowland.workflow.rung_training import RungTraining, averaged_weights, row_of
from lowland.workflow.rungs import Rung, task_threads
from lowland.workflow.scoring import movable
from lowland.workflow.session import Session


@dataclass(frozen=True)
class Request:
    """What is asked: to train (or to judge) designs at a rung of so many steps. Tasks of one take about as long."""

    what: str
    steps: int


@dataclass(frozen=True, kw_only=True)
class RungTask:
    """One leg of a design's training, or its judging.

    Attributes:
        design: Which.
        state: Where its training stands, None: at its beginning; to be judged, its averaged weights.
        seconds: Of training in this leg.
    """

    design: Design
    state: bytes | None
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"the training of {self.design.key}"


class RungWork(TaskFunction):
    """Carries out tasks of rungs, in any process."""

    def __init__(self, training: RungTraining) -> None:
        self.training = training

    def __call__(self, request: Request, task: RungTask) -> Trained | dict[str, Any]:
        """What a leg gave; of a judging the figures, or `failed`."""
        if request.what == "judge":
            assert task.state is not None
            try:
                return self.training.judge(task.design, from_safetensors(task.state)[0])
            except NotFiniteError as error:
                return {"failed": str(error)}
        train = partial(self.training.train, task.design, request.steps)
        return one_leg(train, task.state, Leg(task.seconds))


@dataclass(frozen=True)
class PrepareRungs:
    """What a worker does first."""

    snapshot: Snapshot
    modules: tuple[str, ...]

    def __call__(self) -> RungWork:
        """Load the data, where they do not come along; sets the number of threads."""
        training = RungTraining(opened(self.snapshot, self.modules))
        _ = training.context  # before the first task, so that a fault is no task's
        return RungWork(training)


class SideBySide:
    """The designs of a run's rungs, several at a time.

    Args:
        session: The run.
        training: Of its designs, in this process.
        executor: Where they train.
    """

    def __init__(self, session: Session, training: RungTraining, executor: Executor) -> None:
        self.session = session
        self.executor = executor
        self._work = RungWork(training)

    def rows(self, designs: Sequence[Design], rung: Rung) -> Iterator[tuple[Design, dict[str, Any]]]:
        """Train and judge designs at a rung; the checkpoint of each is kept in the run leg by leg.

        Yields:
            Designs with what they are worth, as soon as it is known.

        Raises:
            InterruptedRun: The monitor asked for a stop; every design goes on from its last leg.
        """
        seconds: dict[str, float] = {}
        for design, found in self._carried_out(designs, Request("train", rung.steps), self._begun, self._next):
            if isinstance(found, str):
                yield design, {"steps": rung.steps, "failed": found}
            elif found.whole:
                seconds[design.key] = found.seconds
        trained = [design for design in designs if design.key in seconds]
        for design, judged in self._carried_out(trained, Request("judge", rung.steps), self._to_judge, lambda *_: None):
            if isinstance(judged, str):
                judged = {"failed": judged}
            if "failed" in judged:
                yield design, {"steps": rung.steps, "failed": judged["failed"]}
            else:
                yield design, row_of(rung.steps, seconds[design.key], judged)

    def _carried_out(
        self,
        designs: Sequence[Design],
        request: Request,
        first: Callable[[Design], RungTask],
        following: Callable[[Design, Any], RungTask | None],
    ) -> Iterator[tuple[Design, Any]]:
        """What every task gives, or why a design failed."""

        def after(chain: int, found: Gave | ScoringFailure) -> RungTask | None:
            return following(designs[chain], found.value) if isinstance(found, Gave) else None

        local = LocalTasks(lambda task: self._work(request, replace(task, seconds=min(task.seconds, HERE_SECONDS))))
        tasks = [first(design) for design in designs]
        for chain, found in self.executor.chains(request, tasks, after, local):
            value = found.value if isinstance(found, Gave) else str(found)
            if isinstance(value, Trained) and value.failed is not None:
                value = value.failed
            yield designs[chain], value
            self.session.monitor.check()

    def _begun(self, design: Design) -> RungTask:
        """From the checkpoint that the run has, if any."""
        kept = self.session.run.load_checkpoint(design.checkpoint)
        baton = Baton(None)
        if kept is not None:
            baton.save_checkpoint(design.checkpoint, *kept)
        return self._leg(design, baton.content)

    def _next(self, design: Design, found: Trained) -> RungTask | None:
        """Keep the state in the run, and go on from it."""
        if found.failed is not None:
            return None
        kept = Baton(found.state).load_checkpoint(design.checkpoint)
        assert kept is not None
        self.session.run.save_checkpoint(design.checkpoint, *kept)
        return None if found.whole else self._leg(design, found.state)

    def _leg(self, design: Design, state: bytes | None) -> RungTask:
        most = min(LEG_SECONDS, self.session.config.compute.checkpoint_seconds)
        return RungTask(design=replace(design, entry=None), state=state, seconds=most)

    def _to_judge(self, design: Design) -> RungTask:
        kept = self.session.run.load_checkpoint(design.checkpoint)
        assert kept is not None
        return RungTask(design=replace(design, entry=None), state=to_safetensors(averaged_weights(kept[0]), {}))


@contextmanager
def side_by_side(session: Session, training: RungTraining) -> Iterator[SideBySide | None]:
    """Within the block, designs may train beside one another; None where one after the other is all there is.

    Each has `rungs.task_threads` CPU threads (by default one), however many there are at a time, so
    that figures do not depend on that.

    Yields:
        Who trains them, or None: one process is all that settings and cores allow.

    Raises:
        ConfigError: The executor cannot be used, or a member of the run cannot be told to its workers.
    """
    threads = task_threads(session.config, session.compute)
    with threads_of(threads):
        kind, room = chosen(session, threads)
        if kind is Sequential or not movable(session, training.measure, kind):
            yield None
            return
        files = (INITIAL, TRAINED) if session.config.retrain.inherit else ()
        snapshot = snapshot_of(session, with_data=sends_data(session, kind), files=files, threads=threads)
        prepare = PrepareRungs(snapshot, outside_modules())
        with kind(room, prepare) as executor:
            session.monitor.follow(executor.facts)
            try:
                yield SideBySide(session, training, executor)
            finally:
                session.monitor.follow(None)
