"""SHA-256 of every file of a data set, kept in the user's cache folder, so that only new and changed ones are read."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lowland.core.errors import DataError, RunError
from lowland.core.files import write_bytes
from lowland.data.images import parallel

_SETTLED_NS = 2 * 10**9
"""A file that changed this shortly before it was read may change again within the clock's step: it is not kept."""

_CHUNK = 2**20

State = tuple[int, int, int]
"""Size in bytes, time of the last change of the content, and of the file's entry (both in nanoseconds)."""

Known = dict[str, tuple[State, str]]


def cache_folder() -> Path:
    """Where hashes are kept: `lowland/hashes` in $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lowland" / "hashes"


def relative(paths: Sequence[Path], root: Path) -> list[str]:
    """Paths relative to the folder `root`, with forward slashes."""
    above = os.fspath(root).rstrip(os.sep) + os.sep
    texts = [os.fspath(path) for path in paths]
    # relpath takes ten times as long, which is a second of 60,000 files.
    found = [text[len(above) :] if text.startswith(above) else os.path.relpath(text, root) for text in texts]
    return found if os.sep == "/" else [each.replace(os.sep, "/") for each in found]


def hashes(paths: Sequence[Path], root: Path) -> list[str]:
    """Hash files, or take what is known of those with the same size and times as when they were hashed.

    What is known is one file per `root` in the cache folder; where it is missing, damaged or cannot be written, all
    files are read.

    Args:
        paths: The files.
        root: The folder that they are in.

    Returns:
        The SHA-256 of each as hexadecimal digits.

    Raises:
        DataError: A file cannot be read.
    """
    base = os.fspath(root.absolute())
    kept = cache_folder() / f"{hashlib.sha256(os.fsencode(base)).hexdigest()[:24]}.json"
    known = _read(kept, base)
    names = relative(paths, root)
    # Most are known: asking for their state takes microseconds, less than handing it to a thread.
    states = [_state(path) for path in paths]
    new = [
        place
        for place, (name, state) in enumerate(zip(names, states, strict=True))
        if state is None or known.get(name, (None,))[0] != state
    ]
    found = {name: known[name][1] for name in names if name in known}
    if new:
        chunks = range(0, len(new), 64)
        read = parallel(lambda start: [_hashed(paths[place]) for place in new[start : start + 64]], chunks)
        now = time.time_ns()
        for place, (state, digest) in zip(new, (each for chunk in read for each in chunk), strict=True):
            found[names[place]] = digest
            known.pop(names[place], None)
            if max(state[1:]) < now - _SETTLED_NS:
                known[names[place]] = state, digest
        _write(kept, base, known)
    return [found[name] for name in names]


def _state(path: Path) -> State | None:
    try:
        facts = path.stat()
    except OSError:
        return None  # reading it says what is wrong
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _hashed(path: Path) -> tuple[State, str]:
    """A file's state before it was read, and its SHA-256."""
    digest = hashlib.sha256()
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            facts = os.fstat(handle)
            while content := os.read(handle, _CHUNK):
                digest.update(content)
        finally:
            os.close(handle)
    except OSError as error:
        shown = os.fsencode(path).decode("utf-8", "replace")
        raise DataError(f"{shown} cannot be read ({error.strerror}); remove it or change its permissions") from error
    return (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns), digest.hexdigest()


def _read(kept: Path, base: str) -> Known:
    """What is known of the files in a folder; nothing where the file of it is missing, damaged or another's."""
    try:
        checksum, _, content = kept.read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != checksum:
            return {}
        values: dict[str, Any] = json.loads(content)
    except (OSError, ValueError):
        return {}
    if values["folder"] != base:
        return {}
    return {name: ((size, mtime, ctime), digest) for name, (size, mtime, ctime, digest) in values["files"].items()}


def _write(kept: Path, base: str, known: Known) -> None:
    files = {name: [*state, digest] for name, (state, digest) in known.items()}
    content = json.dumps({"folder": base, "files": files}, separators=(",", ":")).encode()
    with suppress(OSError, RunError):  # without it the files are read again
        write_bytes(kept, hashlib.sha256(content).hexdigest().encode() + b"\n" + content, durable=False)
