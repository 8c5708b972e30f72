"""Scoring the candidates of a run: in this process, or in worker processes that open the same run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.registry import EXECUTORS
from lowland.core.threads import available_cores, threads_of
from lowland.execution.executor import Executor
from lowland.execution.outcome import LocalScorer, Outcome, Scorer
from lowland.execution.sequential import Sequential
from lowland.measures.combined import parts_of
from lowland.measures.measure import Measure
from lowland.store.run import DATA
from lowland.workflow.measuring import SessionMeasures, prepared
from lowland.workflow.requests import ScoreRequest
from lowland.workflow.session import Session


@contextmanager
def scorers(session: Session, *, count_images: bool = False) -> Iterator[Callable[[ScoreRequest], Scorer]]:
    """Score by measures, within the block, all sharing one executor, that of `compute.executor`.

    On a CPU every process computes with one thread, so that scores do not depend on `search.workers` and
    `compute.threads`. Accelerators, torchrun and `search.workers=1` score in this process, unless the executor's
    workers may be anywhere.

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
    kind, size = chosen(session)
    if kind is Sequential:
        return Sequential(1, lambda: SessionMeasures(session, count_images))
    prepare = prepared(session, with_data=sends_data(session, kind), count_images=count_images)
    return kind(size, prepare, gpus(session))


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


def chosen(session: Session, threads: int = 1) -> tuple[type[Executor], int | None]:
    """The executor of a run, and how many processes of so many threads it gets (None: as many as there is room for)."""
    kind: type[Executor] = EXECUTORS.load(session.config.compute.executor)
    if kind.everywhere:
        return kind, session.config.search.workers
    size = processes(session)
    if threads > 1:
        size = min(size, max(1, available_cores() // threads))
    return (Sequential if size == 1 else kind), size


def sends_data(session: Session, kind: type[Executor]) -> bool:
    """Whether images that are held in memory go along to workers, which else read them from where the settings say."""
    # Data that were given in memory lie in the run directory, which workers do not see.
    inside = Path(session.config.data.name).resolve() == (session.run.path / DATA).resolve()
    return (kind.everywhere or inside) and not gpus(session)


def gpus(session: Session) -> float:
    """GPUs of each worker."""
    return float(session.compute.device.type == "cuda")


def processes(session: Session) -> int:
    """How many processes score: `search.workers`, by default the cores available; 1 except on a CPU."""
    if session.compute.device.type != "cpu" or session.world.size > 1 or not sys.executable:
        return 1
    return session.config.search.workers or available_cores()


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
