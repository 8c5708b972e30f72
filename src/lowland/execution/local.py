"""Worker processes: several candidates scored at a time, one core each, with the same results as in one process.

A worker is a fresh interpreter that is told over its standard input what to prepare, then answers one genotype after
the other. (Not a `multiprocessing` process: that would run the caller's script again.) Outcomes are given back in the
order of the genotypes. A worker holds nothing that would be missed, so it may be ended, or die, at any time.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from io import BufferedReader, RawIOBase
from itertools import count
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

from lowland.core.errors import LowlandError
from lowland.core.files import plain
from lowland.core.genotype import Genotype
from lowland.execution.executor import Executor, MeasureFunction, register
from lowland.execution.outcome import Attempt, LocalScorer, Outcome, Scored, ScoringFailure, Shortage, settled

WORTH_SECONDS = 5.0
"""Workers are started when a search has spent, and its batch will spend, this long: starting takes a few seconds."""

_AHEAD = 2
"""Genotypes handed to a worker at a time, so that it need not wait while a score is written to the archive."""

_TRIES = 2
"""Workers that may die over one genotype beside others, before it is tried once more with nothing else being scored."""

_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from lowland.execution.local import serve; serve()"


@register
class Workers(Executor):
    """Processes of this machine that score genotypes, started where they are worth it."""

    name = "local"
    summary = "worker processes on this machine, one core each"
    source = "lowland"

    def __init__(self, size: int, prepare: Callable[[], MeasureFunction]) -> None:
        super().__init__(size, prepare)
        self._started = False
        self._workers: list[_Worker] = []
        self._messages: SimpleQueue[tuple[_Worker, Any]] = SimpleQueue()
        self._batches = count()
        self._spent = 0.0
        self._scored = 0

    def close(self) -> None:
        """End all workers, at once where one is scoring; calling it again does nothing."""
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            worker.ended()
        self._workers = []

    @property
    def processes(self) -> list[int]:
        """Process numbers of the workers that are alive."""
        return [worker.process.pid for worker in self._workers]

    def scores(self, request: Any, genotypes: Sequence[Genotype], local: LocalScorer) -> Generator[Outcome]:
        """Score genotypes.

        Until the workers have started, and where they are not worth it, `local` scores in this process.

        Args:
            request: What to measure; goes to the function that each worker prepared.
            genotypes: What to score.
            local: Scores as a worker does.

        Yields:
            The outcome of every genotype, in their order.

        Raises:
            LowlandError: No worker could start, or a fault that is no single candidate's, as in `LocalScorer.score`.
        """
        batch = _Batch(next(self._batches), request, genotypes)
        for index in range(len(genotypes)):
            while index not in batch.outcomes:
                self._start_if_worth(len(batch.waiting))
                self._hand_out(batch, index)
                here = index in batch.waiting and not batch.losses[index]
                if here and not self._hear(batch, wait=False):
                    batch.waiting.remove(index)
                    batch.outcomes[index] = self._here(local, genotypes[index])
                elif not here:
                    self._hear(batch, wait=True)
            outcome = batch.outcomes.pop(index)
            if isinstance(outcome, Shortage):
                outcome = self._alone(batch, index, local, outcome)
            if isinstance(outcome, BaseException) and not isinstance(outcome, ScoringFailure):
                raise outcome
            yield outcome

    def _alone(self, batch: _Batch, index: int, local: LocalScorer, first: Shortage) -> Outcome:
        """Score a genotype once more, when nothing else is being scored.

        Here; but where workers died over it, in a worker: it might end this process just as well.

        Returns:
            The outcome.
        """
        while any(worker.tasks for worker in self._workers):
            self._hear(batch, wait=True)
        if not batch.losses[index]:
            return local.again(batch.genotypes[index], first)
        while not any(worker.ready for worker in self._workers):
            self._hear(batch, wait=True)
        next(worker for worker in self._workers if worker.ready).give(batch, index)
        while index not in batch.outcomes:
            self._hear(batch, wait=True)
        second = batch.outcomes.pop(index)
        if isinstance(second, BaseException) and not isinstance(second, ScoringFailure | Shortage):
            raise second
        return settled(batch.genotypes[index], first, second)

    def _here(self, local: LocalScorer, genotype: Genotype) -> Attempt:
        outcome = local.outcome(genotype)
        self._spent += outcome.seconds
        self._scored += 1
        return outcome

    def _start_if_worth(self, left: int) -> None:
        if self._started or not self._scored:
            return
        if self._spent + left * self._spent / self._scored < WORTH_SECONDS:
            return
        self._started = True
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        # Fewer workers than cores are left to the scheduler: two searches would else pin theirs to the same cores.
        pinned = self.size >= len(cores) > 0
        for index in range(self.size):
            self._start(cores[index % len(cores)] if pinned else None)

    def _start(self, core: int | None) -> None:
        self._workers.append(_Worker(self._prepare, core, self._messages))

    def _hand_out(self, batch: _Batch, index: int) -> None:
        """Give waiting genotypes to workers, not too far beyond the one that is wanted next."""
        for _ in range(_AHEAD):
            for worker in self._workers:
                within = batch.waiting and batch.waiting[0] < index + 2 * _AHEAD * self.size
                if worker.ready and len(worker.tasks) < _AHEAD and within:
                    worker.give(batch, batch.waiting.popleft())

    def _hear(self, batch: _Batch, *, wait: bool) -> bool:
        """Take in one message, waiting for it where asked; whether there was one."""
        if not wait and self._messages.empty():
            return False
        worker, message = self._messages.get()
        if message is None:
            self._lost(worker, batch)
        elif message == _READY:
            worker.ready = True
        elif message[0] == _BROKEN:
            raise message[1]
        else:
            number, index, outcome = message
            worker.tasks.popleft()
            if number == batch.number:  # not of a batch that was closed before its end
                batch.outcomes[index] = outcome
        return True

    def _lost(self, worker: _Worker, batch: _Batch) -> None:
        """A worker has died: what it had is handed out again, and its first genotype at most once more."""
        self._workers.remove(worker)
        ending = worker.ended()
        left = [index for number, index in worker.tasks if number == batch.number]
        if left and worker.tasks[0] == (batch.number, left[0]):
            batch.losses[left[0]] += 1
            if batch.losses[left[0]] >= _TRIES:
                index = left.pop(0)
                batch.outcomes[index] = Shortage(f"{batch.losses[index]} worker processes died scoring it ({ending})")
        batch.waiting = deque(sorted([*left, *batch.waiting]))
        if worker.ready:
            self._start(worker.core)
        elif not self._workers:
            raise LowlandError(
                f"no worker process could start (the last one: {ending}); every earlier score is kept: lower "
                f"search.workers, or set it to 1, and resume the run"
            )


class _Batch:
    """Genotypes being scored, by their place."""

    def __init__(self, number: int, request: Any, genotypes: Sequence[Genotype]) -> None:
        self.number = number
        self.request = request
        self.genotypes = genotypes
        self.waiting = deque(range(len(genotypes)))
        self.outcomes: dict[int, Attempt] = {}
        self.losses: Counter[int] = Counter()


class _Worker:
    """One process, seen from the parent."""

    def __init__(
        self, prepare: Callable[[], MeasureFunction], core: int | None, messages: SimpleQueue[tuple[_Worker, Any]]
    ) -> None:
        self.core = core
        self.ready = False
        self.tasks: deque[tuple[int, int]] = deque()
        # In a session of its own, Ctrl-C in the terminal reaches the parent alone, which knows when it is safe.
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin, self.process.stdout
        Thread(target=self._listen, args=(messages,), daemon=True).start()
        self._send((prepare, core))

    def give(self, batch: _Batch, index: int) -> None:
        """Ask for the score of a genotype."""
        self.tasks.append((batch.number, index))
        self._send((batch.number, index, batch.request, batch.genotypes[index]))

    def end(self) -> None:
        """End the process: by closing its input where it waits for work, else at once."""
        if self.tasks or not self.ready:
            self.process.kill()
        with suppress(OSError):
            self._in.close()

    def ended(self) -> str:
        """Wait for the end and say how it ended."""
        try:
            code = self.process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        with suppress(OSError):
            self._in.close()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def _send(self, message: Any) -> None:
        # Where the process is gone, the listener says so, and its tasks are handed out again.
        with suppress(BrokenPipeError):
            pickle.dump(message, self._in)
            self._in.flush()

    def _listen(self, messages: SimpleQueue[tuple[_Worker, Any]]) -> None:
        with self._out, suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                messages.put((self, pickle.load(self._out)))
        messages.put((self, None))


# --- inside a worker -------------------------------------------------------------------------------------------------

_FAREWELL = 1.0
_READY = ("ready",)
_BROKEN = "broken"


def serve() -> None:
    """What a worker process does: prepare, then answer until its input is closed."""
    import torch

    # The parent alone decides when to stop; when it is gone, the input ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # What a library prints must not mix with the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    warnings.simplefilter("ignore")  # the parent prepares the same and has said them
    torch.set_num_threads(1)
    with suppress(BrokenPipeError):
        answer(BufferedReader(_Ahead(sys.stdin.fileno())), answers)


class _Ahead(RawIOBase):
    """What comes from the parent, read by a thread of its own, so that its end is noticed while a candidate is scored.

    When the parent is gone, however it ended, nobody wants the score: the process ends within `_FAREWELL` seconds.
    """

    def __init__(self, handle: int) -> None:
        self._chunks: SimpleQueue[bytes] = SimpleQueue()
        self._left = b""
        Thread(target=self._listen, args=(handle,), daemon=True).start()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left = self._left or self._chunks.get()
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)

    def _listen(self, handle: int) -> None:
        while chunk := os.read(handle, 2**16):
            self._chunks.put(chunk)
        self._chunks.put(b"")
        time.sleep(_FAREWELL)  # a worker that waits for work ends by itself
        os._exit(1)


def answer(tasks: IO[bytes], answers: IO[bytes]) -> None:
    """Prepare as the first message asks, then answer every further one with its outcome."""

    def say(message: Any) -> None:
        pickle.dump(message, answers)
        answers.flush()

    try:
        prepare, core = pickle.load(tasks)
        if core is not None:
            os.sched_setaffinity(0, {core})
        measure = prepare()
    except Exception as error:
        say((_BROKEN, _sendable(error)))
        return
    say(_READY)
    while True:
        try:
            number, index, request, genotype = pickle.load(tasks)
        except EOFError:
            return
        say((number, index, _outcome(measure, request, genotype)))


def _outcome(measure: MeasureFunction, request: Any, genotype: Genotype) -> Attempt | Exception:
    try:
        outcome = LocalScorer(lambda wanted: measure(request, wanted)).outcome(genotype)
        # In JSON's own types, as the archive keeps them: no tensor travels between processes.
        return replace(outcome, details=plain(outcome.details)) if isinstance(outcome, Scored) else outcome
    except Exception as error:
        return _sendable(error)


def _sendable(error: Exception) -> Exception:
    """The error, or where it cannot be told to another process one that says the same."""
    error.add_note(f"In a worker process:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__} in a worker process: {error}")
    return error
