"""An executor in virtual time: the real dispatcher over workers that are slow, lost and come back as they are told.

Candidates are scored in the calling process when their answer is due, so that thousands of workers cost nothing but the
arithmetic. `benchmarks/dispatch_simulation.py` measures the dispatcher by it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any

import numpy as np

from lowland.execution.executor import MeasureFunction, register
from lowland.execution.pool import Answer, Broken, Event, Lost, Pool, Ready
from lowland.execution.room import Room
from lowland.execution.tasks import TaskFunction
from lowland.execution.tickets import Ending
from lowland.execution.worker import attempt


@dataclass(frozen=True, kw_only=True)
class Weather:
    """What happens to workers; all times in seconds.

    Attributes:
        seconds: Mean time of an attempt.
        variation: Its standard deviation over its mean (a gamma distribution).
        slow: Share of attempts that take `factor` times as long.
        factor: See `slow`.
        loss: Share of attempts during which the worker is lost, at any moment of it.
        restart: Time until another worker is in the place of a lost one.
        seed: Of all draws.
    """

    seconds: float = 1.0
    variation: float = 0.0
    slow: float = 0.0
    factor: float = 8.0
    loss: float = 0.0
    restart: float = 60.0
    seed: int = 0


@dataclass
class _Worker:
    queue: deque[tuple[int, Any, Any]] = field(default_factory=deque)
    busy: float = 0.0


@register
class Simulated(Pool):
    """Workers in virtual time, each on a machine of its own."""

    name = "simulated"
    summary = "workers in virtual time, for tests of the dispatcher"
    source = "lowland"
    everywhere = True

    def __init__(
        self,
        room: Room,
        prepare: Callable[[], MeasureFunction | TaskFunction],
        weather: Weather | None = None,
    ) -> None:
        self.weather = weather or Weather()
        self.clock = 0.0
        super().__init__(room, prepare)
        self._numbers, self._order = count(), count()
        self._workers: dict[Hashable, _Worker] = {}
        self._events: list[tuple[float, int, Callable[[], list[Event]]]] = []
        self._rng = np.random.default_rng(self.weather.seed)
        self._measure: MeasureFunction | TaskFunction | None = None
        self.attempts = 0

    def close(self) -> None:
        """Forget the workers."""
        self._workers, self._events = {}, []

    @property
    def _starting(self) -> int:
        return 0

    def _now(self) -> float:
        return self.clock

    def _open(self, left: int) -> None:
        if self._measure is None:
            try:
                self._measure = self._prepare()
            except Exception as error:
                fault = error
                self._at(0.0, lambda: [Broken(fault)])
                return
            for _ in range(self.size):
                self._at(0.0, self._joined)

    def _joined(self) -> list[Event]:
        number = next(self._numbers)
        self._workers[number] = _Worker()
        return [Ready(number, number)]

    def _replace(self, worker: Hashable) -> None:
        self._at(self.weather.restart, self._joined)

    def _end(self, worker: Hashable) -> None:
        self._at(0.0, lambda: self._gone(worker, "ended"))

    def _gone(self, worker: Hashable, how: str) -> list[Event]:
        return [Lost(worker, Ending(how))] if self._workers.pop(worker, None) is not None else []

    def _give(self, worker: Hashable, ticket: int, request: Any, genotype: Any) -> None:
        at = self._workers[worker]
        at.queue.append((ticket, request, genotype))
        if len(at.queue) == 1:
            self._begin(worker, at)

    def _begin(self, worker: Hashable, at: _Worker) -> None:
        """The first of a worker's queue begins; its end is drawn."""
        weather, rng = self.weather, self._rng
        shape = weather.variation**-2 if weather.variation else 0.0
        seconds = rng.gamma(shape, weather.seconds / shape) if shape else weather.seconds
        seconds *= weather.factor if rng.random() < weather.slow else 1.0
        self.attempts += 1
        if rng.random() < weather.loss:
            self._at(seconds * rng.random(), lambda: self._gone(worker, "lost"))
            return
        ticket, request, genotype = at.queue[0]

        def answer() -> list[Event]:
            if worker not in self._workers:
                return []
            at.busy += seconds
            at.queue.popleft()
            if at.queue:
                self._begin(worker, at)
            assert self._measure is not None
            return [Answer(worker, ticket, attempt(self._measure, request, genotype))]

        self._at(seconds, answer)

    def _at(self, seconds: float, happen: Callable[[], list[Event]]) -> None:
        heappush(self._events, (self.clock + seconds, next(self._order), happen))

    def _hear(self, seconds: float | None) -> list[Event]:
        until = self.clock if seconds == 0 else (float("inf") if seconds is None else self.clock + seconds)
        found: list[Event] = []
        while self._events and not found and self._events[0][0] <= until:
            self.clock, _, happen = heappop(self._events)
            found = happen()
        if not found and seconds is not None:
            self.clock = max(self.clock, until)
        return found
