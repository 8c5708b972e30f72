"""Scoring the candidates of a run: in this process, or in worker processes that open the same run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.threads import threads_of
from lowland.execution.executor import Executor
from lowland.execution.outcome import LocalScorer, Outcome, Scorer
from lowland.execution.sequential import Sequential
from lowland.measures.combined import parts_of
from lowland.measures.measure import Measure
from lowland.workflow.measuring import SessionMeasures, prepared
from lowland.workflow.requests import ScoreRequest
from lowland.workflow.room import chosen, sends_data
from lowland.workflow.session import Session


@contextmanager
def scorers(session: Session, *, count_images: bool = False) -> Iterator[Callable[[ScoreRequest], Scorer]]:
    """Score by measures, within the block, all sharing one executor, that of `compute.executor`.

    On a CPU every process computes with one thread, so that scores do not depend on `search.workers` and
    `compute.threads`. Where each has a GPU, of the same kind and driver, they do not depend on them either
    (docs/how-it-works/scale.md). Which runs score in this process: `workflow.room`.

    Args:
        session: The run, its supernet trained.
        count_images: Note in each score's details how many images went through the supernet.

    Yields:
        The scorer for every measure asked for.

    Raises:
        ConfigError: The executor cannot be used, or a member of the run cannot be told to its workers.
    """
    measures = SessionMeasures(session, count_images)
    with ExitStack() as stack:
        if session.compute.device.type == "cpu":
            stack.enter_context(single_thread())
        executor = stack.enter_context(_executor(session, count_images))
        session.monitor.follow(executor.facts)
        stack.callback(session.monitor.follow, None)

        def scorer(request: ScoreRequest) -> Scorer:
            local = LocalScorer(lambda genotype: measures(request, genotype))
            if not movable(session, measures.measure(request), type(executor)):
                return local
            return _Executed(executor, request, local)

        yield scorer


def _executor(session: Session, count_images: bool) -> Executor:
    kind, room = chosen(session)
    if kind is Sequential:
        return Sequential(room, lambda: SessionMeasures(session, count_images))
    prepare = prepared(session, with_data=sends_data(session, kind), count_images=count_images)
    return kind(room, prepare)


def movable(session: Session, measure: Measure, kind: type[Executor]) -> bool:
    """Whether other processes may compute a measure; raises ConfigError where they have to and cannot."""
    parts = parts_of(measure)
    return importable(session, parts, kind) and not any(part.exclusive for part in parts)


def importable(session: Session, members: Iterable[object], kind: type[Executor]) -> bool:
    """Whether other processes can import a run's space and these members; raises ConfigError where they have to."""
    # A class of the calling script cannot be imported by another process.
    found = "__main__" not in {type(member).__module__ for member in (*members, session.space)}
    if not found and kind.everywhere:
        raise ConfigError(
            f"compute.executor={kind.name} cannot tell its workers of a space, measure or suite that is defined in the "
            "script itself; put it into a module and name that by --plugin"
        )
    return found


def single_thread() -> AbstractContextManager[None]:
    """Within the block torch computes with one thread in this process."""
    return threads_of(1)


@dataclass(frozen=True)
class _Executed:
    """The scorer of one request by an executor."""

    executor: Executor
    request: ScoreRequest
    local: LocalScorer

    def scores(self, genotypes: Sequence[Genotype]) -> Generator[Outcome]:
        return self.executor.scores(self.request, genotypes, self.local)

    def stream(self, more: Callable[[], Sequence[Genotype]]) -> Generator[list[Outcome]]:
        return self.executor.stream(self.request, more, self.local)
