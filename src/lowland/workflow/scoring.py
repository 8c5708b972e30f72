"""Scoring the candidates of a run: in this process, or in worker processes that open the same run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.registry import EXECUTORS
from lowland.core.threads import available_cores
from lowland.execution.executor import Executor
from lowland.execution.outcome import LocalScorer, Outcome, Scorer
from lowland.execution.sequential import Sequential
from lowland.measures.combined import parts_of
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
            parts = parts_of(measures.measure(request))
            # A class of the calling script cannot be imported by another process.
            movable = "__main__" not in {type(needed).__module__ for needed in (*parts, session.space)}
            if not movable and executor.everywhere:
                raise ConfigError(
                    f"compute.executor={executor.name} cannot tell its workers of a space or measure that is defined "
                    "in the script itself; put it into a module and name that by --plugin"
                )
            if not movable or any(part.exclusive for part in parts):
                return local
            return _Executed(executor, request, local)

        yield scorer


def _executor(session: Session, count_images: bool) -> Executor:
    kind: type[Executor] = EXECUTORS.load(session.config.compute.executor)
    size: int | None = processes(session)
    if kind.everywhere:
        size = session.config.search.workers
    elif size == 1:
        kind = Sequential
    if kind is Sequential:
        return Sequential(1, lambda: SessionMeasures(session, count_images))
    # Data that were given in memory lie in the run directory, which workers do not see.
    inside = Path(session.config.data.name).resolve() == (session.run.path / DATA).resolve()
    accelerated = session.compute.device.type == "cuda"
    prepare = prepared(session, with_data=(kind.everywhere or inside) and not accelerated, count_images=count_images)
    return kind(size, prepare, float(accelerated))


def processes(session: Session) -> int:
    """How many processes score: `search.workers`, by default the cores available; 1 except on a CPU."""
    if session.compute.device.type != "cpu" or session.world.size > 1 or not sys.executable:
        return 1
    return session.config.search.workers or available_cores()


@contextmanager
def single_thread() -> Iterator[None]:
    """Within the block torch computes with one thread in this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Executed:
    """The scorer of one request by an executor."""

    executor: Executor
    request: ScoreRequest
    local: LocalScorer

    def scores(self, genotypes: Sequence[Genotype]) -> Generator[Outcome]:
        return self.executor.scores(self.request, genotypes, self.local)

    def groups(self, genotypes: Sequence[Genotype]) -> Generator[list[Outcome]]:
        return self.executor.groups(self.request, genotypes, self.local)
