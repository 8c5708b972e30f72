"""The writer lock: one process at a time may write a folder, and a killed one leaves no lock behind."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import sys
import time
from pathlib import Path

from lowland.core.errors import RunError
from lowland.core.files import explained
from lowland.store import inside

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PATIENCE = 0.3
"""Seconds a writer keeps trying: a `held` probe holds the lock for microseconds and must not turn a writer away."""

_BYTE = 1 << 20
"""Windows locks this byte, far behind the owner's name, which must stay readable to others."""

_MOST_BYTES = 4096

_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class Lock:
    """An exclusive lock of the operating system on a file, which names its owner (process id and host).

    The operating system releases it when the process ends, however it ends. Forked children, such as data-loading
    workers, close their copy at once, so that one that outlives its parent does not keep the lock.

    Raises:
        RunError: Another process holds the lock (the message names it), or the file system has no locks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained(path):
            self._handle = _opened(path, os.O_RDWR | os.O_CREAT)
        try:
            self._acquire()
        except BaseException:
            os.close(self._handle)
            raise
        _HELD.add(self._handle)
        with explained(path):
            os.ftruncate(self._handle, 0)
            os.lseek(self._handle, 0, os.SEEK_SET)
            os.write(self._handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())

    def _acquire(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not _try_lock(self._handle, self.path):
            if time.monotonic() > deadline:
                raise RunError(
                    f"{self.path.parent} is in use by {owner(self.path) or 'another process'}; wait until it has "
                    f"finished, or stop it and try again"
                )
            time.sleep(0.02)

    def release(self) -> None:
        """Give the lock back; calling it again does nothing."""
        if self._handle >= 0:
            _HELD.discard(self._handle)
            os.close(self._handle)
            self._handle = -1


def held(path: Path) -> bool:
    """Whether some process holds the lock at `path` (none is created)."""
    try:
        handle = _opened(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _try_lock(handle, path, shared=True)
    finally:
        os.close(handle)


def owner(path: Path) -> str:
    """Who last held the lock at `path`, as `process 123 on host`; empty where the file does not say."""
    with contextlib.suppress(OSError, RunError, ValueError, KeyError, TypeError, RecursionError):
        content = json.loads(inside.read(path.parent, path.name, _MOST_BYTES))
        host = str(content["host"])
        return f"process {int(content['pid'])} on {host}" if host.isprintable() else ""
    return ""


def _opened(path: Path, flags: int) -> int:
    """Open the lock file itself: a link would have its target emptied, and a pipe would wait for ever."""
    inside.require(path.parent, [path.name])
    handle = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # changed since it was looked at
        os.close(handle)
        raise RunError(f"{path} is no regular file; delete it")
    return handle


def _try_lock(handle: int, path: Path, *, shared: bool = False) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(handle, _BYTE, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        raise RunError(
            f"the file system of {path} cannot lock files ({error.strerror}); choose one on a local disk with --out"
        ) from error
    return True


_HELD: set[int] = set()


def _close_in_child() -> None:
    for handle in _HELD:
        os.close(handle)
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
