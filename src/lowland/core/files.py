"""Atomic files: a reader sees the old content or the new, never a part, even across a crash."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

from lowland.core.errors import RunError


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write `path` into one clear sentence.

    Raises:
        RunError: the disk is full, writing is not permitted, or something stands in the way.
        OSError: any other refusal, as it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(
                f"the disk holding {path} is full; everything written before is intact: free some space and resume"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise RunError(
                f"no permission to write {path}; change its permissions, or choose another folder: --out for "
                "what is new, a copy (cp -r) of a run that exists"
            ) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise RunError(f"{path} cannot be made because a file is in the way; choose another folder") from error
        if error.errno == errno.EISDIR:
            raise RunError(f"{path} cannot be written because it is a folder; name a file in it") from error
        if error.errno in (errno.ENOENT, errno.ENAMETOOLONG, errno.EINVAL):
            raise RunError(f"{path} cannot be made here ({error.strerror}); choose another folder") from error
        raise


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Write beside `path`; on success the content is flushed to the disk and replaces `path` in one step.

    Without `durable` it is not flushed: the step is still atomic for other processes, but a crash of the machine may
    lose the content. The temporary name is `.<name>.<random>.tmp`.

    Yields:
        The temporary path, an empty file.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{token_hex(6)}.tmp")
        temporary.touch(0o666, exist_ok=False)  # less what the umask takes away
        try:
            yield temporary
            if durable:
                sync_file(temporary)
            temporary.replace(path)
            if durable:
                sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable (a no-op where folders cannot be opened, as on Windows)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write `content` to `path` atomically and, unless told otherwise, durably."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str, *, durable: bool = True) -> None:
    """Write UTF-8 text to `path` atomically and, unless told otherwise, durably."""
    write_bytes(path, content.encode(), durable=durable)


def json_text(value: Any) -> str:
    """`value` as indented JSON. NaN and infinities are refused with ValueError, since JSON has none."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def checked_json(value: Any, what: str) -> str:
    """`json_text(value)`; RunError naming `what` where it holds NaN, infinities or what JSON has no form for."""
    try:
        return json_text(value)
    except (ValueError, TypeError) as error:
        raise RunError(f"{what} cannot be written as JSON ({error}); give finite numbers, strings and lists") from error


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write `json_text(value)` to `path` atomically and, unless told otherwise, durably."""
    write_text(path, json_text(value), durable=durable)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def plain(value: Any) -> Any:
    """`value` in JSON's own types: arrays and scalars of NumPy or torch as lists and numbers, non-finite as strings."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value
