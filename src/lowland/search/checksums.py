"""A checksum of every row of an archive, so that a damaged row is never taken for a score."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from lowland.store.database import row_digest, text

TABLE = "CREATE TABLE IF NOT EXISTS checksums (id INTEGER PRIMARY KEY, digest TEXT NOT NULL)"

COLUMNS = (
    "space, genes, key, generation, origin, status, reason, measure, value, standard_error, details, parameters, macs, "
    "seconds, created"
)
"""What a checksum is of, the identity of the measure among it. Columns that an archive gets later are not covered."""


def kept(connection: sqlite3.Connection) -> bool:
    """Whether the archive has checksums; those of before had none."""
    found = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'checksums'")
    return bool(found.fetchone()[0])


def seal(connection: sqlite3.Connection, where: str = "", values: Iterable[object] = ()) -> None:
    """Give rows their checksum, within the caller's transaction.

    Args:
        connection: To an archive.
        where: Which rows, as SQL; all where empty.
        values: For the question marks in `where`.
    """
    with _readable(connection):
        rows = connection.execute(f"SELECT id, {COLUMNS} FROM candidates {where}", tuple(values)).fetchall()
    connection.executemany("INSERT OR REPLACE INTO checksums VALUES (?, ?)", [(i, row_digest(row)) for i, *row in rows])


def damaged(connection: sqlite3.Connection, where: str = "", values: Iterable[object] = ()) -> list[int]:
    """Find the rows that are not what was recorded: changed, without a checksum, or lost but for their checksum.

    Args:
        connection: To an archive that keeps checksums.
        where: Which rows, as SQL; all where empty, and only then those that are lost too.
        values: For the question marks in `where`.

    Returns:
        Their numbers, sorted.
    """
    joined = "candidates LEFT JOIN checksums ON checksums.id = candidates.id"
    lost = "SELECT id FROM checksums WHERE id NOT IN (SELECT id FROM candidates)"
    with _readable(connection):
        rows = connection.execute(f"SELECT candidates.id, digest, {COLUMNS} FROM {joined} {where}", tuple(values))
        wrong = [number for number, digest, *row in rows if digest != row_digest(row)]
        gone = [] if where else [row[0] for row in connection.execute(lost)]
    return sorted(wrong + gone)


def of_rows(verdict: str) -> bool:
    """Whether what SQLite's check found wrong is what a row holds; else it is how the file is built."""
    return verdict.startswith(("CHECK constraint", "NULL value", "NUMERIC value", "TEXT value", "non-unique"))


def repair(connection: sqlite3.Connection) -> tuple[int, int]:
    """Drop all damaged rows, where there are any, durably and all at once.

    Args:
        connection: To an archive, open for writing. One without checksums gets them: its rows are taken as they are.

    Returns:
        How many were damaged, and of how many rows.
    """
    if not kept(connection):
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            connection.execute(TABLE)
            seal(connection)
        return 0, 0
    numbers = damaged(connection)
    if not numbers:
        return 0, 0
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        held = {row[0] for row in connection.execute("SELECT id FROM candidates NOT INDEXED")}
        connection.execute("CREATE TEMP TABLE wrong (id INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO wrong VALUES (?)", [(number,) for number in numbers])
        # An index still names what a damaged row held before, so that the row could not be deleted by itself.
        connection.execute(
            "CREATE TEMP TABLE good AS SELECT * FROM candidates NOT INDEXED WHERE id NOT IN (SELECT id FROM wrong)"
        )
        connection.execute("DELETE FROM candidates")
        connection.execute("INSERT INTO candidates SELECT * FROM good")
        connection.execute("DELETE FROM checksums WHERE id NOT IN (SELECT id FROM candidates)")
    connection.execute("DROP TABLE temp.wrong")
    connection.execute("DROP TABLE temp.good")
    return len(numbers), len(held | set(numbers))


@contextmanager
def _readable(connection: sqlite3.Connection) -> Iterator[None]:
    """Within, text that is no UTF-8 is no error but a value that differs."""
    before = connection.text_factory
    connection.text_factory = text
    try:
        yield
    finally:
        connection.text_factory = before
