"""The pool of an evaluation: trainings of references and judgements under corruption, side by side on one executor.

A training that was begun goes on in workers while the driver waits for something else, or judges by itself and attends
to the pool now and then. The driver keeps the state of every training after each leg, so that a stop, or the loss of a
worker, costs a leg.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Protocol, TypeVar

from lowland.core.errors import LowlandError
from lowland.core.monitor import STEP, Monitor
from lowland.core.threads import threads_of
from lowland.evaluation.tasks import JUDGING, LEG, EvaluationWork, JudgingTask, LegTask, ReferenceTraining
from lowland.execution.chains import Chains
from lowland.execution.executor import Executor
from lowland.execution.outcome import Gave, ScoringFailure
from lowland.execution.tasks import LocalTasks
from lowland.training.legs import HERE_SECONDS, LEG_SECONDS, Baton, Leg, Trained
from lowland.training.loop import Checkpoints, DivergedError
from lowland.training.network import total_steps

Key = TypeVar("Key", bound=Hashable)


class _Chain(Protocol):
    """What follows in a chain of tasks."""

    def following(self, found: Gave | ScoringFailure) -> LegTask | JudgingTask | None:
        """The next task, when this was given."""


class EvaluationPool:
    """Use it as a context manager. Workers are asked for with the first task.

    Args:
        opened: Makes the executor.
        work: Carries out tasks in this process, as its workers do.
        monitor: Hears how it goes, and asks for a stop.
        threads: CPU threads of each task.
        checkpoint_seconds: Most time between two states of a training.
        training_seconds: What a training takes, as far as is known; tells whether workers are worth starting for it.
    """

    def __init__(
        self,
        opened: Callable[[], Executor],
        work: EvaluationWork,
        monitor: Monitor,
        *,
        threads: int,
        checkpoint_seconds: float,
        training_seconds: float = 0.0,
    ) -> None:
        self._opened, self._work, self.monitor, self.threads = opened, work, monitor, threads
        self._training_seconds = training_seconds
        self.leg_seconds = min(LEG_SECONDS, checkpoint_seconds)
        self._stack = ExitStack()
        self._executor: Executor | None = None
        self._chains: Chains | None = None
        self._of: dict[int, _Chain] = {}
        self._trainings: dict[Hashable, _Training] = {}
        self._after: list[tuple[list[_Training], Callable[[], None]]] = []
        self._judgements: dict[Hashable, dict[str, Any] | LowlandError | None] = {}
        self._shown: list[_Training] = []
        self._told = 0

    def __enter__(self) -> EvaluationPool:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        self._executor = self._chains = None

    def begin(
        self,
        key: Hashable,
        of: ReferenceTraining,
        checkpoints: Checkpoints,
        finish: Callable[[Trained], None],
    ) -> None:
        """Begin a training, or go on with it, unless that was done before.

        Args:
            key: Which one it is.
            of: What it is.
            checkpoints: Where its state is kept.
            finish: Keeps what it gave when it is whole; called once.
        """
        if key in self._trainings:
            return
        training = _Training(of, checkpoints, finish, self.leg_seconds, total_steps(of.recipe, self._work.data))
        self._trainings[key] = training
        self._running.expect(len(self._trainings) * self._training_seconds)
        self._add(LEG, training, training.first())
        self.attend()

    def trained(self, keys: Sequence[Hashable]) -> None:
        """Wait for trainings that were begun.

        Args:
            keys: Which.

        Raises:
            InterruptedRun: the monitor asked for a stop; every training goes on from its last leg.
            LowlandError: one diverged, or ended its workers.
        """
        wanted = [self._trainings[key] for key in keys]
        if not wanted:
            return
        title = wanted[0].of.reference.name if len(wanted) == 1 else f"{len(wanted)} references"
        self._shown, self._told = wanted, sum(each.step for each in wanted)
        self.monitor.start(title, sum(each.total for each in wanted), STEP, self._told)
        try:
            while not all(each.whole for each in wanted):
                for each in wanted:
                    each.require()
                if self._turn():
                    self._tell(wanted)
                self.monitor.check()
        finally:
            self._shown = []
        self.monitor.finish()

    def after(self, keys: Sequence[Hashable], then: Callable[[], None]) -> None:
        """Do something as soon as trainings that were begun are whole; with none, or where all are, now."""
        self._after.append(([self._trainings[key] for key in keys], then))
        self._then()

    def begin_judging(
        self,
        tasks: Mapping[Key, JudgingTask],
        keep: Callable[[Key, dict[str, Any]], None] = lambda key, row: None,
    ) -> None:
        """Begin judgements that `judged` will be asked for, unless they are begun, to go on beside something else.

        Args:
            tasks: By keys that differ from those of all other judgements that are not yet taken.
            keep: Called with every row, as soon as it is known.
        """
        waiting = deque((key, task) for key, task in tasks.items() if key not in self._judgements)
        self._judgements |= dict.fromkeys(key for key, _ in waiting)

        def given(key: Any, row: dict[str, Any] | LowlandError) -> None:
            self._judgements[key] = row
            if not isinstance(row, LowlandError):
                keep(key, row)

        # As many at a time as there are workers, so that the next leg of a training waits for none of the rest.
        for _ in range(min(len(waiting), self._running.size)):
            lane = _Lane(waiting, given)
            first = lane.next()
            assert first is not None
            self._add(JUDGING, lane, first)

    def judged(self, tasks: Mapping[Key, JudgingTask]) -> Iterator[tuple[Key, dict[str, Any]]]:
        """Carry out judgements, beside trainings that were begun; those that were begun are waited for.

        Yields:
            Key and row of each, as soon as it is known.

        Raises:
            InterruptedRun: the monitor asked for a stop.
            LowlandError: one ended its workers, or a fault of all.
        """
        self.begin_judging(tasks)
        left = dict.fromkeys(tasks)
        while left:
            for key in [key for key in left if self._judgements[key] is not None]:
                row = self._judgements.pop(key)
                if isinstance(row, LowlandError):
                    raise row
                assert row is not None
                del left[key]
                yield key, row
            if left:
                self._turn()
                self.monitor.check()

    def attend(self) -> None:
        """Take in what workers have given, and hand out what follows, without waiting."""
        if self._chains is not None:
            self._chains.turn(wait=False)
            self._then()

    def _then(self) -> None:
        """Do what was to be done after trainings that are whole by now."""
        due = [each for each in self._after if all(training.whole for training in each[0])]
        self._after = [each for each in self._after if each not in due]
        for _, then in due:
            then()

    @property
    def _running(self) -> Executor:
        if self._executor is None:
            self._executor = self._stack.enter_context(self._opened())
            self.monitor.follow(self._executor.facts)
            self._stack.callback(self.monitor.follow, None)
            self._chains = self._executor.open_chains(self._following, LocalTasks(self._here))
        return self._executor

    def _add(self, kind: str, chain: _Chain, task: LegTask | JudgingTask) -> None:
        _ = self._running
        assert self._chains is not None
        self._of[self._chains.add(kind, task)] = chain

    def _turn(self) -> bool:
        assert self._chains is not None
        given = bool(self._chains.turn())
        self._then()
        return given

    def _following(self, chain: int, found: Gave | ScoringFailure) -> LegTask | JudgingTask | None:
        after = self._of[chain].following(found)
        if after is None:
            del self._of[chain]
        return after

    def _here(self, task: LegTask | JudgingTask) -> Any:
        with threads_of(self.threads):
            if isinstance(task, JudgingTask):
                return self._work.judged(task, heard=lambda _: self.monitor.check())
            training = next(each for each in self._trainings.values() if each.of is task.of)
            return self._work.leg(task, _Heard(min(task.seconds, HERE_SECONDS), self.monitor, training, self._tell))

    def _tell(self, of: Sequence[_Training], **facts: Any) -> None:
        """Where the trainings stand that are shown now, if these are among them."""
        done = sum(each.step for each in self._shown)
        if done != self._told and any(each in self._shown for each in of):
            self._told = done
            self.monitor.advance(done, **(facts or _loss(self._shown)))


class _Training:
    """A training, leg by leg."""

    def __init__(
        self,
        of: ReferenceTraining,
        checkpoints: Checkpoints,
        finish: Callable[[Trained], None],
        seconds: float,
        total: int,
    ) -> None:
        self.of, self.total = of, total
        self._checkpoints, self._finish, self._seconds = checkpoints, finish, seconds
        self.step = 0
        self.loss: float | None = None
        self.whole = False
        self._fault: LowlandError | None = None

    def require(self) -> None:
        """Raise the error that it ended with, if any."""
        if self._fault is not None:
            raise self._fault

    def first(self) -> LegTask:
        """From the state that is kept, if any."""
        baton = Baton(None)
        kept = self._checkpoints.load_checkpoint(self.of.name)
        if kept is not None:
            baton.save_checkpoint(self.of.name, *kept)
            self._stand(kept[1])
        return self._leg(baton.content)

    def following(self, found: Gave | ScoringFailure) -> LegTask | None:
        """The next leg, from the state that is kept first."""
        if isinstance(found, ScoringFailure):
            self._fault = LowlandError(f"the training of {self.of.reference.name} cannot go on: {found}")
            return None
        trained: Trained = found.value
        if trained.failed is not None:
            self._fault = DivergedError(trained.failed)
            return None
        if trained.whole:
            self._finish(trained)
            self.step, self.whole = self.total, True
            return None
        kept = Baton(trained.state).load_checkpoint(self.of.name)
        assert kept is not None
        self._checkpoints.save_checkpoint(self.of.name, *kept)
        self._stand(kept[1])
        return self._leg(trained.state)

    def _stand(self, state: Mapping[str, Any]) -> None:
        self.step = state["step"]
        self.loss = state["loss"][-1] if state["loss"] else None

    def _leg(self, state: bytes | None) -> LegTask:
        return LegTask(of=self.of, state=state, seconds=self._seconds)


class _Lane:
    """Judgements, one after the other, of those that wait."""

    def __init__(
        self,
        waiting: deque[tuple[Key, JudgingTask]],
        given: Callable[[Any, dict[str, Any] | LowlandError], None],
    ) -> None:
        self._waiting: deque[tuple[Any, JudgingTask]] = waiting
        self._given = given
        self._at: tuple[Any, JudgingTask] | None = None

    def next(self) -> JudgingTask | None:
        """The next that waits."""
        self._at = self._waiting.popleft() if self._waiting else None
        return None if self._at is None else self._at[1]

    def following(self, found: Gave | ScoringFailure) -> JudgingTask | None:
        """Pass on what was given, or that it cannot be done, and take the next."""
        assert self._at is not None
        key, task = self._at
        self._given(
            key, LowlandError(f"{task} cannot be done: {found}") if isinstance(found, ScoringFailure) else found.value
        )
        return self.next()


class _Heard(Leg):
    """A leg in this process: what it tells is heard at once, and a stop that is asked for too."""

    def __init__(self, seconds: float, outer: Monitor, training: _Training, tell: Callable[..., None]) -> None:
        super().__init__(seconds)
        self._outer, self._training, self._tell = outer, training, tell

    @property
    def stopping(self) -> bool:  # type: ignore[override]
        """Whether the seconds are over, or a stop was asked for."""
        return self._outer.stopping or super().stopping

    def advance(self, done: int, **facts: Any) -> None:
        """Tell where the training stands."""
        self._training.step = done
        self._tell([self._training], **facts)


def _loss(trainings: Sequence[_Training]) -> dict[str, float]:
    """The latest loss of a single training."""
    (loss,) = [each.loss for each in trainings] if len(trainings) == 1 else [None]
    return {} if loss is None else {"loss": loss}
