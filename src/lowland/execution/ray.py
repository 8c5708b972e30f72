"""Ray: workers on the machines of a Ray cluster, each an actor with a core, or a share of a GPU, of its own.

Of Ray only its core is used: actors and the object store, which holds one copy of the supernet for each machine. Actors
are never restarted by Ray itself: while it restarts one, calls to it fail at once, and candidates would be blamed for
that. Neither is a run directory needed on the cluster, nor a shared one (`execution.snapshot`).
"""

from __future__ import annotations

import faulthandler
import os
import platform
import socket
import sys
import tempfile
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

from lowland._version import __version__
from lowland.core.errors import ConfigError, LowlandError
from lowland.core.threads import available_cores
from lowland.execution.executor import MeasureFunction, register
from lowland.execution.outcome import Attempt
from lowland.execution.pool import Answer, Broken, Event, Lost, Pool, Ready
from lowland.execution.room import Room
from lowland.execution.tasks import TaskFunction
from lowland.execution.tickets import Ending
from lowland.execution.worker import attempt, sendable

_ANSWER_SECONDS = 5.0
"""How long the address of a cluster may take to take a connection."""

_NOTE_SECONDS = 30.0
"""How long a machine may take to say how its worker ended: a process may have to be started for it."""

_TICKET_BYTES = 20
"""Room for a ticket at the beginning of a note; what Python writes at a crash stands behind it."""

_START_SECONDS = 600.0
"""How long the first worker may take to start: a cluster that grows needs some minutes."""


@register
class Ray(Pool):
    """Actors on the cluster that RAY_ADDRESS names, or where it names none on this machine."""

    name = "ray"
    summary = "workers on the Ray cluster of RAY_ADDRESS, or on this machine; needs lowland[ray]"
    source = "Ray (Moritz et al., OSDI 2018)"
    everywhere = True

    def __init__(self, room: Room, prepare: Callable[[], MeasureFunction | TaskFunction]) -> None:
        self._ray = connected()
        self._own = not self._ray.is_initialized()
        size, gpus, threads = room.size, room.gpus, room.threads
        if self._own:
            if size is not None and threads > 1 and _of_this_machine():
                size = min(size, max(1, available_cores() // threads))
            join(self._ray, None if size is None else size * threads)
        found = self._ray.cluster_resources()
        usual = found.get("GPU", 0.0) / gpus + 1e-9 if gpus else found.get("CPU", 1.0) / threads
        size = size or max(1, int(usual))
        super().__init__(replace(room, size=size), prepare)
        self._numbers = count()
        self._actors: dict[Hashable, Any] = {}
        self._pending: dict[Any, tuple[int, int | None]] = {}
        self._notes: dict[Hashable, tuple[str, str]] = {}
        self._snapshot: Any = None
        if gpus and self._own and _of_this_machine() and size > int(usual):
            self.close()  # it cannot grow: workers would wait for ever
            raise ConfigError(
                f"there is no room for {size} workers (search.workers): Ray found {found.get('GPU', 0):g} GPUs on this "
                f"machine, and each needs {gpus:g} (compute.gpus_per_worker); ask for fewer, or name a cluster by "
                "RAY_ADDRESS"
            )

    @classmethod
    def require(cls) -> None:
        """Raise ConfigError where Ray is not installed, or nobody answers at RAY_ADDRESS."""
        connected()

    def close(self) -> None:
        """End all actors, and the cluster where it was started for this run; calling it again does nothing."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        self._actors, self._pending, self._snapshot = {}, {}, None
        if self._own and self._ray.is_initialized():
            self._ray.shutdown()
        self._own = False

    @property
    def _starting(self) -> int:
        return sum(ticket is None for _, ticket in self._pending.values())

    def _open(self, left: int) -> None:
        if self._snapshot is None:
            self._snapshot = self._ray.put(self._prepare)
            for _ in range(self.size):
                self._replace(None)

    def _replace(self, worker: Hashable) -> None:
        number = next(self._numbers)
        kind = self._ray.remote(
            max_restarts=0, max_task_retries=0, num_cpus=self.room.threads, num_gpus=self.room.gpus
        )(_Scorer)
        self._actors[number] = kind.remote()
        asked = self._actors[number].begin.remote(self._snapshot, versions())
        self._pending[asked] = (number, None)

    def _give(self, worker: Hashable, ticket: int, request: Any, genotype: Any) -> None:
        assert isinstance(worker, int)
        self._pending[self._actors[worker].score.remote(ticket, request, genotype)] = (worker, ticket)

    def _end(self, worker: Hashable) -> None:
        self._ray.kill(self._actors[worker])

    def _hear(self, seconds: float | None) -> list[Event]:
        asked = list(self._pending)
        if not asked:
            return []
        if not self.dispatcher.alive and (seconds is None or seconds > 0):
            seconds = _START_SECONDS
        ready, _ = self._ray.wait(asked, num_returns=1, timeout=seconds)
        if not ready and not self.dispatcher.alive and seconds == _START_SECONDS:
            raise LowlandError(
                f"no worker of the Ray cluster started within {_START_SECONDS:.0f} seconds; look at `ray status`: each "
                f"needs {self.room.threads} CPU and {self.room.gpus:g} GPU, and may be waiting for it"
            )
        if ready:
            ready, _ = self._ray.wait(asked, num_returns=len(asked), timeout=0)
        return [event for each in ready for event in self._event(each)]

    def _event(self, reference: Any) -> list[Event]:
        number, ticket = self._pending.pop(reference, (-1, None))
        if number not in self._actors:  # another call to it told of its end
            return []
        try:
            found = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            return [Broken(LowlandError(_failed(error)))]
        except self._ray.exceptions.RayError as error:  # it died, its machine did, or it cannot be reached
            self._ray.kill(self._actors.pop(number))
            return [Lost(number, self._ending(number, error))]
        if ticket is not None:
            return [Answer(number, ticket, found)]
        if isinstance(found, BaseException):
            return [Broken(found)]
        self._notes[number] = found
        return [Ready(number, found[0])]

    def _ending(self, number: int, error: Exception) -> Ending:
        """How an actor ended: by a fault of its own where it left a note of one on its machine.

        The note also tells what it began last: an answer on its way is lost with the process.

        Returns:
            Its ending.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node, note = self._notes.pop(number, ("", ""))
        began, said = None, ""
        if note:
            strategy = NodeAffinitySchedulingStrategy(node, soft=False)
            read = self._ray.remote(num_cpus=0, max_retries=0)(_note).options(scheduling_strategy=strategy)
            with suppress(self._ray.exceptions.RayError):
                began, said = self._ray.get(read.remote(note), timeout=_NOTE_SECONDS)
        if said:
            return Ending(said, own=True, began=began)
        return Ending(f"gone, or its machine is: {type(error).__name__}", began=began)


class _Scorer:
    """One worker, inside an actor."""

    def begin(
        self, prepare: Callable[[], MeasureFunction | TaskFunction], wanted: dict[str, str]
    ) -> tuple[str, str] | Exception:
        """Prepare; gives its machine and where it notes a crash, or why it cannot."""
        import ray
        import torch

        found = versions()
        for what, wants in wanted.items():
            if found[what] != wants:
                return ConfigError(
                    f"worker on {platform.node()} has {what} {found[what]}, but this run {what} {wants}; install the "
                    f"same version on every machine of the cluster"
                )
        torch.set_num_threads(1)
        # Open as long as the actor lives; Python writes into it where native code crashes.
        self._note, note = tempfile.mkstemp(prefix="lowland-crash-")
        os.lseek(self._note, _TICKET_BYTES, os.SEEK_SET)
        faulthandler.enable(self._note, all_threads=False)
        try:
            self._measure = prepare()
        except Exception as error:
            return sendable(error)
        return ray.get_runtime_context().get_node_id(), note

    def score(self, ticket: int, request: Any, genotype: Any) -> Attempt | Exception:
        """What became of a genotype, or of another task; notes its ticket first."""
        os.lseek(self._note, 0, os.SEEK_SET)
        os.write(self._note, f"{ticket:>{_TICKET_BYTES}}".encode())  # behind it is the place for a crash
        return attempt(self._measure, request, genotype)


def _note(path: str) -> tuple[int | None, str]:
    """On the machine of an actor that is gone: the ticket it began last, and what Python said of a crash."""
    file = Path(path)
    text = file.read_bytes() if file.exists() else b""
    file.unlink(missing_ok=True)
    ticket, said = text[:_TICKET_BYTES].strip(b"\0 "), text[_TICKET_BYTES:].decode(errors="replace")
    return int(ticket) if ticket else None, said.partition("\n")[0]


def versions() -> dict[str, str]:
    """What must be the same on all machines."""
    return {"lowland": __version__, "Python": platform.python_version(), "torch": version("torch")}


def connected() -> Any:
    """The module `ray`; raises ConfigError where it is not installed, or nobody answers at RAY_ADDRESS."""
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "compute.executor=ray needs Ray, which is not installed: pip install 'lowland[ray]', or choose "
            "compute.executor=local"
        ) from error
    address = os.environ.get("RAY_ADDRESS", "")
    if ray.is_initialized() or address in ("", "local", "auto"):
        return ray
    host, colon, port = address.rpartition(":")
    if "/" in address or not colon or not port.isdecimal():
        raise ConfigError(
            f"RAY_ADDRESS={address!r} is not HOST:PORT; give the address of the cluster's head, such as 10.0.0.1:6379, "
            f"or start lowland on the cluster with `ray job submit`"
        )
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({error}); start one there with `ray start --head`, or "
            f"unset RAY_ADDRESS to use this machine"
        ) from error
    return ray


def _of_this_machine() -> bool:
    """Whether RAY_ADDRESS names no cluster, so that one is started here."""
    return os.environ.get("RAY_ADDRESS", "") in {"", "local"}


def join(ray: Any, size: int | None) -> None:
    """Connect to the cluster of RAY_ADDRESS, or start one on this machine."""
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        if not _of_this_machine():
            ray.init(address=address, **quiet)
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a run tells nobody of itself
        paths = {"PYTHONPATH": os.pathsep.join(each or str(Path.cwd()) for each in sys.path)}
        ray.init(address="local", num_cpus=size, include_dashboard=False, runtime_env={"env_vars": paths}, **quiet)
    except (RuntimeError, ConnectionError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"the Ray cluster {address or 'of this machine'} cannot be joined ({reason}); it must have the Ray and "
            f"Python of this process (Ray {ray.__version__}, Python {platform.python_version()}), or choose "
            f"compute.executor=local"
        ) from error


def _failed(error: Exception) -> str:
    reason = " ".join(str(getattr(error, "cause", error) or error).split())[:300]
    return (
        f"a worker of the Ray cluster cannot run lowland ({reason}); install lowland {__version__} and this run's "
        f"plugins on every machine of it, for Python {platform.python_version()}"
    )
