"""Worker processes of this machine: several candidates scored at a time, with the same results as in one process.

Each has a core, or a GPU that it alone sees (`execution.gpus`).

A worker is a fresh interpreter that is told over its standard input what to prepare, then answers one genotype after
the other. (Not a `multiprocessing` process: that would run the caller's script again.) A worker holds nothing that
would be missed, so it may be ended, or die, at any time.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from lowland.execution import gpus
from lowland.execution.executor import MeasureFunction, register
from lowland.execution.outcome import Attempt, LocalScorer, free_memory
from lowland.execution.pool import Answer, Broken, Event, Lost, Pool, Ready
from lowland.execution.room import Room
from lowland.execution.tasks import LocalTasks, TaskFunction
from lowland.execution.tickets import Ending
from lowland.execution.worker import BROKEN, READY

WORTH_SECONDS = 5.0
"""Workers are started when a search has spent, and its batch will spend, this long: starting takes a few seconds."""

_HOST = "this machine"

_OUTSIDE = {"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGSTOP", "SIGQUIT", "SIGXCPU", "SIGUSR1", "SIGUSR2"}
"""Signals that come from somebody else; a process that ends by another one, or with a status, ended itself."""

_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from lowland.execution.worker import serve; serve()"


@register
class Workers(Pool):
    """Processes of this machine that score genotypes, started where they are worth it."""

    name = "local"
    summary = "worker processes on this machine, one core or one GPU each"
    source = "lowland"

    def __init__(self, room: Room, prepare: Callable[[], MeasureFunction | TaskFunction]) -> None:
        self._gpus: list[str] = []
        if room.gpus:
            self._gpus = gpus.names(room.size or max(1, gpus.places(room.gpus)), room.gpus)
            room = replace(room, size=len(self._gpus))
        super().__init__(room, prepare)
        self._started = 0
        self._workers: dict[int, _Worker] = {}
        self._places: dict[Hashable, _Place] = {}
        self._messages: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        self._spent = 0.0
        self._scored = 0
        self._expected = 0.0

    def close(self) -> None:
        """End all workers, at once where one is scoring; calling it again does nothing."""
        for worker in self._workers.values():
            worker.end()
        for worker in self._workers.values():
            worker.ended()
        self._workers = {}

    @property
    def processes(self) -> list[int]:
        """Process numbers of the workers that are alive."""
        return list(self._workers)

    @property
    def _starting(self) -> int:
        return sum(not worker.ready for worker in self._workers.values())

    def expect(self, seconds: float) -> None:
        """Work of so many seconds is known to come; see `Executor.expect`."""
        self._expected = max(self._expected, seconds)

    def _open(self, left: int) -> None:
        if not self._started and (not (self._scored or self._expected) or self._worth(left) < WORTH_SECONDS):
            return
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        # Fewer workers than cores are left to the scheduler: two searches would else pin theirs to the same cores.
        # What computes on a GPU needs a core now and then, and not always the same.
        pinned = self.size >= len(cores) > 0 and self.room.threads == 1 and not self._gpus
        if self._gpus and not self._started:
            free_memory()  # this process may have trained on a GPU that a worker is about to use
        while self._started < min(self.size, left):
            core = cores[self._started % len(cores)] if pinned else None
            self._start(_Place(core, self._gpus[self._started] if self._gpus else None))
            self._started += 1

    def _worth(self, left: int) -> float:
        """Seconds of all work, as far as is known."""
        measured = self._spent + left * self._spent / self._scored if self._scored else 0.0
        return max(measured, self._expected)

    def _start(self, place: _Place) -> None:
        worker = _Worker(self._prepare, place, self._messages)
        self._workers[worker.process.pid] = worker
        self._places[worker.process.pid] = place

    def _replace(self, worker: Hashable) -> None:
        self._start(self._places.pop(worker))

    @property
    def _gpus_in_use(self) -> float:
        return len({self._places[worker].gpu for worker in self._workers if self.dispatcher.knows(worker)})

    def _here(self, local: LocalScorer | LocalTasks, genotype: Any) -> Attempt | None:
        if self.dispatcher.reserved:  # something is to be scored with nothing else on this machine
            return None
        outcome = local.outcome(genotype)
        self._spent += outcome.seconds
        self._scored += 1
        return outcome

    def _give(self, worker: Hashable, ticket: int, request: Any, genotype: Any) -> None:
        assert isinstance(worker, int)
        self._workers[worker].give((ticket, request, genotype))

    def _end(self, worker: Hashable) -> None:
        assert isinstance(worker, int)
        self._workers[worker].process.kill()

    def _hear(self, seconds: float | None) -> list[Event]:
        found: list[Event] = []
        with suppress(Empty):
            if seconds is None or seconds > 0:
                found += self._event(*self._messages.get(timeout=seconds))
            while True:
                found += self._event(*self._messages.get_nowait())
        return found

    def _event(self, number: int, message: Any) -> list[Event]:
        worker = self._workers.get(number)
        if worker is None:  # closed before
            return []
        if message is None:
            del self._workers[number]
            return [Lost(number, worker.ended())]
        if message[0] == READY:
            worker.ready = True
            return [Ready(number, _HOST)]
        if message[0] == BROKEN:
            return [Broken(message[1])]
        worker.given -= 1
        return [Answer(number, *message)]


@dataclass(frozen=True)
class _Place:
    """Where a worker computes: the core it is kept on, the GPU it sees; None: any core, no GPU of its own."""

    core: int | None
    gpu: str | None

    @property
    def environment(self) -> dict[str, str]:
        """Variables that its process begins with, beside this one's."""
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        return threads if self.gpu is None else threads | {gpus.VISIBLE: self.gpu}


class _Worker:
    """One process, seen from the parent."""

    def __init__(
        self,
        prepare: Callable[[], MeasureFunction | TaskFunction],
        place: _Place,
        messages: SimpleQueue[tuple[int, Any]],
    ) -> None:
        self.ready = False
        self.given = 0
        # In a session of its own, Ctrl-C in the terminal reaches the parent alone, which knows when it is safe.
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **place.environment},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin, self.process.stdout
        Thread(target=self._listen, args=(messages,), daemon=True).start()
        # What it needs to prepare may be large, and a pipe is small: it is read only once the interpreter has started.
        Thread(target=self._send, args=((prepare, place.core),), daemon=True).start()

    def give(self, message: Any) -> None:
        """Ask for the score of a genotype."""
        self.given += 1
        self._send(message)

    def end(self) -> None:
        """End the process: by closing its input where it waits for work, else at once."""
        if self.given or not self.ready:
            self.process.kill()
        with suppress(OSError):
            self._in.close()

    def ended(self) -> Ending:
        """Wait for the end and say how it ended."""
        try:
            code = self.process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        with suppress(OSError):
            self._in.close()
        if code >= 0:
            return Ending(f"exit status {code}", own=True)
        signalled = signal.Signals(-code).name
        return Ending(f"killed by {signalled}", own=signalled not in _OUTSIDE)

    def _send(self, message: Any) -> None:
        # Where the process is gone, the listener says so, and its tasks are handed out again.
        with suppress(BrokenPipeError, ValueError):
            pickle.dump(message, self._in)
            self._in.flush()

    def _listen(self, messages: SimpleQueue[tuple[int, Any]]) -> None:
        number = self.process.pid
        with self._out, suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                messages.put((number, pickle.load(self._out)))
        messages.put((number, None))
