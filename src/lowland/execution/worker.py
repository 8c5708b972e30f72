"""Inside a worker process: prepare as the parent says, then answer one candidate after the other.

The parent speaks over the standard input and listens to the standard output; messages are pickles of values that both
sides know.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
import traceback
import warnings
from contextlib import suppress
from dataclasses import replace
from io import BufferedReader, RawIOBase
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

from lowland.core.files import plain
from lowland.execution.executor import MeasureFunction
from lowland.execution.outcome import Attempt, LocalScorer, Scored
from lowland.execution.tasks import LocalTasks, TaskFunction

_FAREWELL = 1.0
READY = "ready"
BROKEN = "broken"


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
        say((BROKEN, sendable(error)))
        return
    say((READY,))
    while True:
        try:
            ticket, request, genotype = pickle.load(tasks)
        except EOFError:
            return
        say((ticket, attempt(measure, request, genotype)))


def attempt(measure: MeasureFunction | TaskFunction, request: Any, genotype: Any) -> Attempt | Exception:
    """The score of a genotype, or why it has none, or what another task gave, as values that travel between processes.

    Returns:
        What became of it; or an error that is no single candidate's.
    """
    try:
        if isinstance(measure, TaskFunction):
            return LocalTasks(lambda wanted: measure(request, wanted)).outcome(genotype)
        outcome = LocalScorer(lambda wanted: measure(request, wanted)).outcome(genotype)
        # In JSON's own types, as the archive keeps them: no tensor travels between processes.
        return replace(outcome, details=plain(outcome.details)) if isinstance(outcome, Scored) else outcome
    except Exception as error:
        return sendable(error)


def sendable(error: Exception) -> Exception:
    """The error, or where it cannot be told to another process one that says the same."""
    error.add_note(f"In a worker process:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__} in a worker process: {error}")
    return error
