"""Tasks that are no scoring: a function of what is asked and of the task, whose value a worker gives back as it is.

What a task raises is no failure of its own but a fault of all, unless memory ran short. A task that can fail says so in
what it gives.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from lowland.core.memory import memory_short
from lowland.execution.outcome import Gave, Shortage, free_memory, line, settled


class TaskFunction(ABC):
    """What a process prepares for tasks, in place of a function that measures."""

    @abstractmethod
    def __call__(self, request: Any, task: Any) -> Any:
        """(what kind of task, the task) → a value that can be pickled."""


class LocalTasks:
    """Carries out tasks in this process.

    Args:
        work: (task) → its value.
    """

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._work = work

    def result(self, task: Any) -> Gave:
        """What a task gives, at the second attempt where memory ran short at the first; raises what it raises."""
        found = self.outcome(task)
        return self.again(task, found) if isinstance(found, Shortage) else found

    def outcome(self, task: Any) -> Gave | Shortage:
        """What a task gives, or that memory ran short; raises everything else that it raises."""
        start = time.perf_counter()
        try:
            return Gave(value=self._work(task), seconds=time.perf_counter() - start)
        except (RuntimeError, MemoryError) as error:
            if not memory_short(error):
                raise
            found = Shortage(line(error))
            found.seconds = time.perf_counter() - start
            return found

    def again(self, task: Any, first: Shortage) -> Gave:
        """Carry out a task once more, with nothing else running, after a first attempt that ran short.

        Returns:
            What it gave.

        Raises:
            LowlandError: It ran short again.
        """
        free_memory()
        found = settled(task, first, self.outcome(task))
        assert isinstance(found, Gave)
        return found
