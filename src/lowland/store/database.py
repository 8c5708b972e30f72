"""SQLite files of a run by what is in them: their bytes may differ while a reader keeps the log open."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from lowland.store import inside

SUFFIXES = ("", "-wal", "-shm", "-journal")
"""Of the files that SQLite keeps a database in."""


def uri(path: Path, *, read_only: bool) -> str:
    """How SQLite is told to open the database at `path`."""
    base = path.absolute().as_uri()
    if not read_only:
        return base
    # A finished database in a folder that cannot be written has no log, and SQLite could not make one to read it.
    fixed = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    return f"{base}?mode=ro&immutable=1" if fixed else f"{base}?mode=ro"


def text(content: bytes) -> str:
    """A text of a row, also where it is damaged and no UTF-8; a `text_factory` of sqlite3."""
    return content.decode("utf-8", "surrogateescape")


def row_digest(values: Iterable[Any]) -> str:
    """128 bits of the SHA-256 of a row, as 32 hexadecimal digits.

    Args:
        values: As SQLite gives them back: integers, floats, text, bytes and None; all are told apart.

    Returns:
        The digest, the same on every machine.
    """
    return hashlib.sha256(_JSON.encode(list(values)).encode()).hexdigest()[:32]


_JSON = json.JSONEncoder(separators=(",", ":"), default=lambda blob: {"blob": blob.hex()})


def bytes_sha256(root: Path, relative: str) -> str | None:
    """Hash the file of a database, where all that the database holds is in it.

    The same bytes hold the same, and are hashed ten times as fast as what they hold (`content_sha256`).

    Args:
        root: The run directory.
        relative: The database, relative to it.

    Returns:
        SHA-256 in hexadecimal digits; None where it is missing, or a log or a journal beside it holds a part.

    Raises:
        RunError: It or its log leads outside, is a link or no regular file.
    """
    inside.require(root, [f"{relative}{suffix}" for suffix in SUFFIXES])
    if _beside(root, relative):
        return None
    try:
        found = inside.sha256(root, relative)
    except OSError:
        return None
    return None if _beside(root, relative) else found


def _beside(root: Path, relative: str) -> bool:
    """Whether a log or journal of a database holds anything."""
    for suffix in ("-wal", "-journal"):
        with suppress(FileNotFoundError):
            if (root / f"{relative}{suffix}").lstat().st_size:
                return True
    return False


def content_sha256(root: Path, relative: str) -> str | None:
    """Hash what a database of a run holds: every table by name, and its rows by number.

    Readers that are looking at it, indexes, and where it lies in the file or in its log make no difference.

    Args:
        root: The run directory.
        relative: The database, relative to it.

    Returns:
        A SHA-256 in hexadecimal digits; None where it is missing or damaged, or no database.

    Raises:
        RunError: It or its log leads outside, is a link or no regular file.
    """
    inside.require(root, [f"{relative}{suffix}" for suffix in SUFFIXES])
    path = root / relative
    if not path.is_file():
        return None
    found = hashlib.sha256()
    try:
        with closing(sqlite3.connect(uri(path, read_only=True), uri=True, timeout=30.0)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.text_factory = text
            if connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
                return None
            tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name")
            for name, made in tables.fetchall():
                if not str(made).upper().startswith("CREATE TABLE"):
                    return None  # a virtual one, which is a program
                found.update(f"{row_digest((name, made))}\n".encode())
                quoted = name.replace('"', '""')
                for row in connection.execute(f'SELECT rowid, * FROM "{quoted}" ORDER BY rowid'):
                    found.update(f"{row_digest(row)}\n".encode())
    except sqlite3.Error:
        return None
    return found.hexdigest()
