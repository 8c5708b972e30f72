"""The one place that opens, replaces and deletes files of a run directory, and that never leaves it.

A run directory may come from anybody. Every path below it is walked folder by folder from an open handle of the run
directory itself, no symbolic link is followed, and only regular files are read, replaced or deleted, so that nothing
outside is touched whatever the folder holds. The run directory itself may be reached by a link: that path is the
caller's own. Where the system has no `dir_fd` (Windows), each part is looked at before it is used.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from lowland.core.errors import RunError
from lowland.core.files import explained

ANCHORED = hasattr(os, "O_NOFOLLOW") and {os.open, os.stat, os.unlink, os.mkdir, os.rename} <= os.supports_dir_fd
"""Whether paths are walked from open handles, so that not even a link made in between is followed."""

_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_GUARD = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_FOLDER = _READ | getattr(os, "O_DIRECTORY", 0)
_MADE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_APPENDED = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

flush = os.fsync
"""Makes the content of an open file durable."""


def named(root: Path, relative: Path | str) -> str:
    """`relative` (to `root`, or absolute within it) as a path with forward slashes; RunError where it leads outside."""
    base = root.absolute()
    target = base / relative
    # The run itself may well be at ../run.
    if base not in target.parents or ".." in target.parts[len(base.parts) :] or "\0" in str(relative):
        raise RunError(f"{str(relative)!r} is not a path inside the run directory {root}")
    return target.relative_to(base).as_posix()


def require(root: Path, relatives: Iterable[str]) -> None:
    """Raise RunError where a path leads outside, through a link, or to what is neither a file nor missing."""
    for relative in relatives:
        with suppress(FileNotFoundError, NotADirectoryError), _parent(root, relative) as (folder, name):
            folder.regular(name)


def require_no_links(root: Path, relative: str = "") -> None:
    """Raise RunError where the folder `relative` is a link, or anything in it or below is one."""
    for found in _entries(root, relative, lambda _: True):
        require(root, [f"{found}/any"] if (root / found).is_dir() else [found])


def read(root: Path, relative: str, limit: int | None = None) -> bytes:
    """The content of a regular file.

    Args:
        root: The run directory.
        relative: The file, relative to it.
        limit: The most bytes it may have; None: any number.

    Returns:
        Its bytes.

    Raises:
        RunError: It leads outside, is a link or no regular file, or is larger than `limit`.
        OSError: It is missing or cannot be read.
    """
    with _opened(root, relative) as handle:
        size = os.fstat(handle).st_size
        if limit is not None and size > limit:
            raise RunError(f"{root / relative} is damaged: it has {size:,} bytes, and never more than {limit:,}")
        with os.fdopen(handle, "rb", closefd=False) as stream:
            return stream.read()


def sha256(root: Path, relative: str) -> str:
    """Hex SHA-256 of a regular file; raises as `read` does."""
    with _opened(root, relative) as handle, os.fdopen(handle, "rb", closefd=False) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bytes(root: Path, relative: str, content: bytes, *, durable: bool = True) -> None:
    """Replace a regular file, or make it and the folders above it, in one step.

    Unless told otherwise it is durable. The temporary name is `.<name>.<random>.tmp`.

    Raises:
        RunError: It leads outside, is a link or no regular file; or it cannot be written.
    """
    with explained(root / relative), _parent(root, relative, make=True) as (folder, name):
        folder.regular(name)
        temporary = f".{name}.{token_hex(6)}.tmp"
        handle = folder.open(temporary, _MADE)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                if durable:
                    flush(stream.fileno())
            folder.replace(temporary, name)
            if durable:
                folder.flush()
        finally:
            folder.delete(temporary)


def write_text(root: Path, relative: str, content: str, *, durable: bool = True) -> None:
    """Replace a text file in UTF-8, as `write_bytes` does."""
    write_bytes(root, relative, content.encode(), durable=durable)


def append(root: Path, relative: str, content: bytes) -> int:
    """Append to a regular file, or make it, in one write that is not flushed.

    Args:
        root: The run directory.
        relative: The file, relative to it; its folder is there.
        content: What is appended.

    Returns:
        The file's size then, bytes.

    Raises:
        RunError: It leads outside, is a link or no regular file.
        OSError: It cannot be written.
    """
    with _opened(root, relative, _APPENDED) as handle:
        os.write(handle, content)
        return os.fstat(handle).st_size


def rename(root: Path, old: str, new: str) -> None:
    """Give a regular file another name in the same folder, in place of a regular file that may have it.

    Raises:
        RunError: One of them leads outside, is a link or no regular file; or it cannot be done.
    """
    with explained(root / new), _parent(root, old) as (folder, name):
        target = named(root, new).rpartition("/")[2]
        folder.regular(name)
        folder.regular(target)
        folder.replace(name, target)


def make_durable(root: Path, relative: str) -> None:
    """Flush a file that something else wrote, and its name."""
    with explained(root / relative), _parent(root, relative) as (folder, _):
        with _opened(root, relative, os.O_RDWR) as handle:
            flush(handle)
        folder.flush()


def make_root(path: Path) -> None:
    """Make the folder itself, which the caller named, and those above it."""
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)


def make_folder(root: Path, relative: str) -> None:
    """Make a folder of the run, where it is not there yet."""
    with explained(root / relative), _parent(root, f"{relative}/any", make=True):
        pass


def delete(root: Path, relative: str) -> None:
    """Delete a regular file, where it is there.

    Raises:
        RunError: It leads outside, is a link or no regular file; or it cannot be deleted.
    """
    with explained(root / relative), suppress(FileNotFoundError), _parent(root, relative) as (folder, name):
        folder.regular(name)
        folder.delete(name)


def delete_empty_folders(root: Path, relative: str) -> None:
    """Delete the folder `relative` and all folders below it that hold no file any more."""
    with explained(root / relative):
        for found in sorted([relative, *_entries(root, relative, stat.S_ISDIR)], reverse=True):
            with suppress(FileNotFoundError), _parent(root, found) as (folder, name):
                if stat.S_ISDIR(folder.mode(name) or 0) and not list(_entries(root, found, lambda _: True)):
                    os.rmdir(folder.where(name), dir_fd=folder.handle)


def move(root: Path, old: str, new: str) -> None:
    """Move a regular file or a folder to another place in the run, in one step, and make the step durable.

    A file takes the place of one that is there; a folder only that of an empty one.

    Raises:
        RunError: One of the two places leads outside, through a link, or is a link; or the system refuses.
    """
    with (
        explained(root / new),
        _parent(root, old) as (source, before),
        _parent(root, new, make=True) as (target, after),
    ):
        for folder, name in ((source, before), (target, after)):
            mode = folder.mode(name)
            if mode is not None:
                folder.refuse_link(name, mode)
        os.replace(source.where(before), target.where(after), src_dir_fd=source.handle, dst_dir_fd=target.handle)
        target.flush()
        source.flush()


def files(root: Path, relative: str = "") -> list[str]:
    """Find the regular files in the folder `relative` and below it; links are left alone.

    Returns:
        Their paths relative to the run, sorted.

    Raises:
        RunError: The folder itself leads outside or is a link.
    """
    return sorted(_entries(root, relative, stat.S_ISREG))


def size(root: Path, relative: str = "") -> int:
    """Bytes of all regular files in the folder `relative` and below it; raises as `files` does."""
    total = 0
    for found in files(root, relative):
        with suppress(FileNotFoundError):  # deleted since by the run's writer
            total += (root / found).lstat().st_size
    return total


def clear_temporary(root: Path, *, below: bool = True) -> None:
    """Delete the temporary files that a stop within an atomic write left in `root`, and in folders below it."""
    for relative in files(root):
        folder, _, name = relative.rpartition("/")
        if (below or not folder) and name.startswith(".") and name.endswith(".tmp"):
            delete(root, relative)


# --- how --------------------------------------------------------------------------------------------------------------


@dataclass
class _Folder:
    """An open folder: its path for sentences, and the handle that what is in it is reached by, where there are any."""

    path: Path
    handle: int | None

    def where(self, name: str) -> str:
        return name if self.handle is not None else str(self.path / name)

    def open(self, name: str, flags: int) -> int:
        return os.open(self.where(name), flags | _GUARD, 0o666, dir_fd=self.handle)

    def mode(self, name: str) -> int | None:
        """What kind of thing `name` is; None where it is missing."""
        try:
            return os.stat(self.where(name), dir_fd=self.handle, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None

    def refuse_link(self, name: str, mode: int) -> None:
        junction = getattr(os.path, "isjunction", lambda _: False)  # Windows' other kind of link
        if stat.S_ISLNK(mode) or (self.handle is None and junction(self.where(name))):
            raise RunError(
                f"{self.path / name} is a link: what it leads to is no part of the run and is left alone; put the "
                f"file or folder itself in its place"
            )

    def regular(self, name: str) -> None:
        """Raise unless `name` is a regular file or missing."""
        mode = self.mode(name)
        if mode is None:
            return
        self.refuse_link(name, mode)
        if stat.S_ISDIR(mode):
            raise RunError(f"{self.path / name} is a folder where the run keeps a file; move it away")
        if not stat.S_ISREG(mode):
            raise RunError(f"{self.path / name} is no regular file but a pipe, socket or device; delete it")

    def enter(self, name: str, *, make: bool) -> _Folder:
        mode = self.mode(name)
        if mode is None and make:
            os.mkdir(self.where(name), dir_fd=self.handle)
            self.flush()
            mode = stat.S_IFDIR
        if mode is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path / name))
        self.refuse_link(name, mode)
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self.path / name))
        return _Folder(self.path / name, self.open(name, _FOLDER) if self.handle is not None else None)

    def names(self) -> list[str]:
        with os.scandir(self.handle if self.handle is not None else self.path) as entries:
            return sorted(entry.name for entry in entries)

    def replace(self, old: str, new: str) -> None:
        os.replace(self.where(old), self.where(new), src_dir_fd=self.handle, dst_dir_fd=self.handle)

    def delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.where(name), dir_fd=self.handle)

    def flush(self) -> None:
        if self.handle is not None:
            os.fsync(self.handle)

    def close(self) -> None:
        if self.handle is not None:
            os.close(self.handle)


@contextmanager
def _parent(root: Path, relative: str, *, make: bool = False) -> Iterator[tuple[_Folder, str]]:
    """The open folder that holds `relative`, and the name in it."""
    *parts, name = named(root, relative).split("/")
    if make and not root.is_dir():
        raise RunError(
            f"the folder {root} is not there any more, so that nothing can be written to it; if it was moved or "
            f"renamed, go on with it where it is now"
        )
    folder = _Folder(root, os.open(root, _FOLDER) if ANCHORED else None)
    try:
        for part in parts:
            below = folder.enter(part, make=make)
            folder.close()
            folder = below
        yield folder, name
    finally:
        folder.close()


@contextmanager
def _opened(root: Path, relative: str, flags: int = _READ) -> Iterator[int]:
    """An open regular file."""
    with _parent(root, relative) as (folder, name):
        folder.regular(name)
        handle = folder.open(name, flags)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):  # changed since it was looked at
            raise RunError(f"{root / relative} is no regular file; delete it")
        yield handle
    finally:
        os.close(handle)


def _entries(root: Path, relative: str, kind: Callable[[int], bool]) -> Iterator[str]:
    """Everything of one kind below a folder."""
    waiting = [relative]
    while waiting:
        here = waiting.pop()
        with suppress(FileNotFoundError), _parent(root, f"{here}/any" if here else "any") as (folder, _):
            for name in folder.names():
                found, mode = f"{here}/{name}" if here else name, folder.mode(name)
                if mode is None:
                    continue
                if stat.S_ISDIR(mode):
                    waiting.append(found)
                if kind(mode):
                    yield found
