"""Chains of tasks under way: each next task is made by the driver of what the one before gave.

So a training is handed out in parts, and nothing but the last part is lost with a worker. Chains may be added at any
time, and the driver may do other things between two turns while workers go on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from lowland.execution.outcome import Gave, ScoringFailure
from lowland.execution.tasks import LocalTasks

Following = Callable[[int, Gave | ScoringFailure], Any]
"""(number of a chain, what its last task came to) → its next task; None: the chain is at its end."""


class Chains(ABC):
    """What one executor carries out beside its driver; an executor has one such set at a time.

    Args:
        following: Called here for everything that a task gave, before it is returned.
        local: Carries out a task in this process as a worker does.
    """

    def __init__(self, following: Following, local: LocalTasks) -> None:
        self.following = following
        self.local = local

    @abstractmethod
    def add(self, request: Any, task: Any) -> int:
        """One more chain, to be carried out in turn with those that are there.

        Args:
            request: What kind of tasks it has, hashable; goes to the function that each process prepared. Tasks of one
                kind take about as long.
            task: Its first.

        Returns:
            Its number, counted from 0.
        """

    @property
    @abstractmethod
    def left(self) -> int:
        """Chains that are not at their end."""

    @abstractmethod
    def turn(self, *, wait: bool = True) -> list[tuple[int, Gave | ScoringFailure]]:
        """Take in what was given, and hand out what can be.

        Args:
            wait: Until a task has given something, which is done here where no worker can take it; otherwise return at
                once.

        Returns:
            Numbers of chains and what their tasks gave; a failure where worker processes crashed over a task.

        Raises:
            LowlandError: A fault that is no single task's; all that was given before it was returned.
        """


class InTurn(Chains):
    """Chains in the calling process, one after the other: nothing goes on between two turns."""

    def __init__(self, following: Following, local: LocalTasks) -> None:
        super().__init__(following, local)
        self._waiting: dict[int, Any] = {}
        self._added = 0

    def add(self, request: Any, task: Any) -> int:
        """One more chain, after those that are there."""
        del request
        self._waiting[self._added] = task
        self._added += 1
        return self._added - 1

    @property
    def left(self) -> int:
        """Chains that are not at their end."""
        return len(self._waiting)

    def turn(self, *, wait: bool = True) -> list[tuple[int, Gave | ScoringFailure]]:
        """The next task of the first chain; see `Chains.turn`."""
        if not wait or not self._waiting:
            return []
        chain = next(iter(self._waiting))
        found = self.local.result(self._waiting[chain])
        after = self.following(chain, found)
        if after is None:
            del self._waiting[chain]
        else:
            self._waiting[chain] = after
        return [(chain, found)]
