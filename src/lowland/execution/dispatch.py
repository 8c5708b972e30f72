"""Dispatch: which worker scores what next, and what follows when one is lost, slow or short of memory.

Policy without I/O and without a clock: executors tell it who joined, what was answered, who is gone and what time it
is, and carry out what it says. So every executor keeps the same rules, and a simulation tests the rules themselves:

- The earliest candidate goes first, and no further ahead of the one wanted next than a window.
- Only the candidate that was running is blamed for the loss of its worker. A loss is nobody's failure: the candidate is
  scored again, after `TRIES` losses with nothing else being scored on that machine, and after `ALONE` more the search
  stops. Workers that crash by themselves (a fault of memory or arithmetic in native code) over one candidate
  `CRASHES` times make it a failed one.
- A candidate that takes longer than a deadline is given to a second worker too, sooner where one has nothing else to
  do, and the first answer counts. (They are the same: a score is a function of keys.)
- Where memory ran short, a candidate is scored once more, alone on its machine. (Not at half the batch: the batch is a
  part of what a score means, for batch norm takes its statistics of one.)
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heappop, heappush
from typing import Any

from lowland.execution.outcome import Attempt, Gave, Scored, ScoringFailure, Shortage
from lowland.execution.tickets import Assignment, Counts, Ending, Settled, Task, Worker
from lowland.execution.times import Times

WINDOW = 8
"""Candidates that may be handed out beyond the one wanted next, for each worker."""

TRIES = 2
"""Workers that may be lost over one candidate beside others, before it is scored with nothing else on its machine."""

ALONE = 4
"""Workers that may be lost over it then. At 5 % loss of each attempt six in a row are one in 6·10⁷ candidates."""

CRASHES = 2
"""Workers that crash by themselves over one candidate before it counts as failed."""

_COPIES = 3
"""Workers that may score one candidate at the same time."""


class Dispatcher:
    """The state of one executor's workers, and of the batch of candidates that they score."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._workers: dict[Hashable, Worker] = {}
        self._hosts: dict[Hashable, set[Hashable]] = {}
        self._idle: dict[Hashable, None] = {}
        self._single: dict[Hashable, None] = {}
        self._tickets = 0
        self._of: dict[int, int] = {}
        self._kind: Any = None
        self._doing = "scoring"
        self._times = Times()
        self._started: list[tuple[float, int, Hashable]] = []
        self._early: list[tuple[float, int, Hashable]] = []
        self._overtaken: list[tuple[float, int, Hashable]] = []
        self._clear(0)

    def _clear(self, count: int) -> None:
        self._tasks = [Task() for _ in range(count)]
        self._waiting: list[int] = list(range(count))  # sorted, hence a heap
        self._copies: list[int] = []
        self._alone: set[int] = set()
        self._settled: dict[int, Settled] = {}
        self._done = [False] * count
        self._wanted = 0
        self._reserved: dict[Hashable, int] = {}
        self._lone: set[int] = set()

    # --- the batch ---------------------------------------------------------------------------------------------------

    def begin(self, count: int, kind: Any, doing: str = "scoring") -> None:
        """A batch of candidates; answers to an earlier one that was left are not taken for this one's.

        Args:
            count: How many there are.
            kind: What is asked of them: times of another kind say nothing of theirs.
            doing: What is done with one, for messages.
        """
        self._of = {}
        self._early = []
        self._doing = doing
        self._clear(count)
        if self._kind is None or kind != self._kind:
            self._kind = kind
            self._times.clear()
        self._times.begin()
        if count:
            self._times.expect(None)

    def extend(self, kind: Hashable = None) -> None:
        """One more candidate, or other task, at the end of the batch; of a kind of its own within the batch."""
        heappush(self._waiting, len(self._tasks))
        self._tasks.append(Task(kind=kind))
        self._times.expect(kind)
        self._done.append(False)

    @property
    def wanted(self) -> int:
        """The earliest that is not settled, or was not asked for yet; the batch's length at its end."""
        return self._wanted

    def take(self, index: int) -> bool:
        """Whether a candidate waits untried, and so is scored by the caller from now on."""
        task = self._tasks[index]
        if not self._waiting or self._waiting[0] != index or self._done[index] or task.losses or task.crashes:
            return False
        heappop(self._waiting)
        return True

    def give_back(self, index: int) -> None:
        """The caller does not score what it took."""
        heappush(self._waiting, index)

    def settled(self) -> Iterator[tuple[int, Settled]]:
        """The candidates from the one wanted next that are settled, without a gap, each once."""
        while self._wanted in self._settled:
            self._wanted += 1
            yield self._wanted - 1, self._settled.pop(self._wanted - 1)

    def settled_in_any_order(self) -> Iterator[tuple[int, Settled]]:
        """All that are settled, each once."""
        for index in sorted(self._settled):
            yield index, self._settled.pop(index)
        while self._wanted < len(self._done) and self._done[self._wanted]:
            self._wanted += 1

    def settle(self, index: int, found: Attempt | BaseException) -> None:
        """The caller scored a candidate that it took."""
        self._settle(index, found)

    # --- workers -----------------------------------------------------------------------------------------------------

    @property
    def alive(self) -> int:
        """Workers that are ready."""
        return len(self._workers)

    @property
    def reserved(self) -> bool:
        """Whether some machine is kept free for one candidate alone."""
        return bool(self._reserved)

    @property
    def running(self) -> int:
        """Workers that are scoring."""
        return len(self._workers) - len(self._idle)

    def knows(self, worker: Hashable) -> bool:
        """Whether a worker was ready, and is not gone."""
        return worker in self._workers

    def join(self, worker: Hashable, host: Hashable) -> None:
        """A worker is ready; workers of one `host` share its memory."""
        self._workers[worker] = Worker(host)
        self._hosts.setdefault(host, set()).add(worker)
        self._idle[worker] = None

    def lost(self, worker: Hashable, ending: Ending) -> None:
        """A worker is gone: what it had is handed out again, and the candidate it was scoring is blamed.

        That is the one under the ticket it began last, where its end tells that: answers to earlier ones may have been
        lost with it. Else it is the first that it has not answered.
        """
        self.counts.lost += 1
        if worker not in self._workers:
            return
        gone = self._workers.pop(worker)
        self._idle.pop(worker, None)
        self._single.pop(worker, None)
        self._hosts[gone.host].discard(worker)
        if not self._hosts[gone.host]:
            del self._hosts[gone.host]
            self._reserved.pop(gone.host, None)
        running = ending.began if ending.began is not None else next(iter(gone.tickets), None)
        for ticket in gone.tickets:
            index = self._of.pop(ticket, None)
            if index is None or self._done[index]:
                continue
            task = self._tasks[index]
            task.runners.discard(worker)
            if ticket == running:
                self._blame(index, ending)
            elif task.first is not None:
                self._alone.add(index)
            elif not task.runners:
                heappush(self._waiting, index)

    def _blame(self, index: int, ending: Ending) -> None:
        task = self._tasks[index]
        self.counts.retried += 1
        if ending.own:
            task.crashes += 1
            if task.crashes >= CRASHES:
                self._settle(
                    index, ScoringFailure(f"{task.crashes} worker processes crashed {self._doing} it ({ending.how})")
                )
                return
        else:
            task.losses += 1
        died = Shortage(f"{task.losses} worker processes died {self._doing} it ({ending.how})")
        if task.losses >= TRIES + ALONE:
            self._settle(index, died)
        elif task.losses >= TRIES or task.first is not None:
            task.first = task.first or died
            self._alone.add(index)
        elif not task.runners:
            heappush(self._waiting, index)

    def answered(self, worker: Hashable, ticket: int, found: Attempt | BaseException, now: float) -> None:
        """A worker answered under a ticket."""
        at = self._workers.get(worker)
        if at is None or ticket not in at.tickets:
            return
        seconds, head = now - at.since, at.tickets[0] == ticket
        at.tickets.remove(ticket)
        if head:
            at.late = False
            self._head(worker, at, now)
        self._free(worker, at)
        index = self._of.pop(ticket, None)
        if index is None or self._done[index]:
            return
        task = self._tasks[index]
        task.runners.discard(worker)
        if isinstance(found, Shortage) and ticket not in self._lone:
            if task.first is None:
                task.first = found
                self.counts.retried += 1
                self._alone.add(index)
            return
        if isinstance(found, Scored | Gave) and head:
            self._times.add(seconds, task.kind)
        for other in task.runners:  # overtaken; one that does not even come back is ended after a while
            heappush(self._overtaken, (now + self._times.deadline(), self._workers[other].tickets[0], other))
        self._settle(index, found)

    def _settle(self, index: int, found: Attempt | BaseException) -> None:
        task = self._tasks[index]
        self._done[index] = True
        self.counts.answered += 1
        self._settled[index] = Settled(found, task.first)
        for host in [host for host, held in self._reserved.items() if held == index]:
            del self._reserved[host]

    # --- what to do now ----------------------------------------------------------------------------------------------

    def assignments(self, now: float) -> Iterator[Assignment]:
        """What to hand out now, each once."""
        self._overdue(now)
        yield from self._alone_ones(now)
        yield from self._late_ones(now)
        yield from self._next_ones(now)
        yield from self._slow_ones(now)

    def _late_ones(self, now: float) -> Iterator[Assignment]:
        """Candidates past the deadline, to a second worker before all others."""
        while self._copies and self._idle:
            index = heappop(self._copies)
            if not self._done[index] and len(self._tasks[index].runners) < _COPIES:
                self.counts.copied += 1
                yield self._assign(next(iter(self._idle)), index, now)

    def _next_ones(self, now: float) -> Iterator[Assignment]:
        """Candidates that wait, in their order."""
        within = self._wanted + WINDOW * len(self._workers)
        for free in (self._idle, self._single) if self._times.short() else (self._idle,):
            for worker in list(free):
                while self._waiting and self._done[self._waiting[0]]:
                    heappop(self._waiting)
                if not self._waiting or self._waiting[0] >= within:
                    return
                at = self._workers[worker]
                if at.host in self._reserved or at.late:
                    continue
                yield self._assign(worker, heappop(self._waiting), now)

    def _slow_ones(self, now: float) -> Iterator[Assignment]:
        """Candidates that only seem slow, to workers that have nothing else to do."""
        idle = [worker for worker in self._idle if self._workers[worker].host not in self._reserved]
        while idle and self._early and self._times.known and self._early[0][0] + self._times.seems_slow() <= now:
            _, ticket, worker = heappop(self._early)
            at = self._workers.get(worker)
            index = self._of.get(ticket)
            if at is None or not at.tickets or at.tickets[0] != ticket or index is None or ticket in self._lone:
                continue
            if not self._done[index] and len(self._tasks[index].runners) == 1:
                self.counts.copied += 1
                yield self._assign(idle.pop(), index, now)

    def _alone_ones(self, now: float) -> Iterator[Assignment]:
        """Candidates that must be scored with nothing else on their machine: it is reserved until it has drained."""
        for index in sorted(self._alone):
            if self._done[index]:
                self._alone.discard(index)
                continue
            host = next((host for host, held in self._reserved.items() if held == index), None)
            if host is None:  # perhaps all are reserved for others, which must have their turn
                free = [each for each in self._hosts if each not in self._reserved and any(self._fit(each))]
                if not free:
                    continue
                host = min(free, key=self._load)
                self._reserved[host] = index
            if self._load(host):  # one machine after the other drains
                return
            worker = next(self._fit(host), None)
            if worker is None:  # none is heard of any more: another machine, next time
                del self._reserved[host]
                continue
            self._alone.discard(index)
            yield self._assign(worker, index, now, alone=True)

    def _fit(self, host: Hashable) -> Iterator[Hashable]:
        """Workers of a machine that are heard of."""
        return (each for each in self._hosts[host] if not self._workers[each].late)

    def _load(self, host: Hashable) -> int:
        """Candidates being scored on a machine by workers that are heard of."""
        return sum(len(self._workers[each].tickets) for each in self._fit(host))

    def _assign(self, worker: Hashable, index: int, now: float, *, alone: bool = False) -> Assignment:
        at, task = self._workers[worker], self._tasks[index]
        self._tickets += 1
        ticket = self._tickets
        self._of[ticket] = index
        at.tickets.append(ticket)
        task.runners.add(worker)
        self._idle.pop(worker, None)
        self._single.pop(worker, None)
        if len(at.tickets) == 1:
            self._single[worker] = None
            self._head(worker, at, now)
        if alone:
            self._lone.add(ticket)
        return Assignment(worker, ticket, index)

    def _head(self, worker: Hashable, at: Worker, now: float) -> None:
        """The first of a worker's candidates begins."""
        at.since = now
        if at.tickets:
            heappush(self._started, (now, at.tickets[0], worker))
            heappush(self._early, (now, at.tickets[0], worker))

    def _free(self, worker: Hashable, at: Worker) -> None:
        self._idle.pop(worker, None)
        self._single.pop(worker, None)
        if not at.tickets:
            self._idle[worker] = None
        elif len(at.tickets) == 1:
            self._single[worker] = None

    def _overdue(self, now: float) -> None:
        """Candidates past the deadline want another worker; what is queued behind them goes elsewhere."""
        if not self._times.known:
            return
        patience = self._times.deadline()
        while self._started and self._started[0][0] + patience <= now:
            _, ticket, worker = heappop(self._started)
            at = self._workers.get(worker)
            if at is None or not at.tickets or at.tickets[0] != ticket:
                continue
            at.late = True
            for behind in list(at.tickets)[1:]:
                index = self._of.pop(behind, None)
                if index is not None and not self._done[index]:
                    self._tasks[index].runners.discard(worker)
                    heappush(self._waiting, index)
            head = self._of.get(ticket)
            if head is None or self._done[head]:  # of a batch that was left, or overtaken
                heappush(self._overtaken, (now + patience, ticket, worker))
            else:
                heappush(self._copies, head)

    def stuck(self, now: float) -> list[Hashable]:
        """Workers to end, each once: what they score was answered by others, and a whole deadline later not by them."""
        found: dict[Hashable, None] = {}  # one candidate may be overtaken, and past its deadline too
        while self._overtaken and self._overtaken[0][0] <= now:
            _, ticket, worker = heappop(self._overtaken)
            at = self._workers.get(worker)
            if at is not None and at.tickets and at.tickets[0] == ticket:
                found[worker] = None
        return list(found)

    def wake(self) -> float | None:
        """When to ask again, even if nothing is heard until then; None: no need."""
        times = [self._overtaken[0][0]] if self._overtaken else []
        if self._started and self._times.known:
            times.append(self._started[0][0] + self._times.deadline())
        if self._early and self._idle and self._times.known and not self._reserved:
            times.append(self._early[0][0] + self._times.seems_slow())
        return min(times, default=None)
