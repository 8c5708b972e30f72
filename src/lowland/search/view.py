"""The SQL view `archive` over an archive's scores and the order its search ended with; no other view is trusted."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

NAME = "archive"
"""Name of the view; its columns are those of `lowland.archive`."""

_TABLE = """
CREATE TABLE IF NOT EXISTS places (
    candidate INTEGER PRIMARY KEY REFERENCES candidates (id),
    evaluated INTEGER UNIQUE,
    rank INTEGER UNIQUE,
    value REAL,
    standard_error REAL,
    genotype TEXT NOT NULL,
    genes TEXT NOT NULL,
    parameters INTEGER NOT NULL,
    macs INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    origin TEXT NOT NULL
)
"""

_VIEW = """CREATE VIEW {name} AS SELECT
    places.rank, places.genotype, places.genes, places.value, places.standard_error,{parts}
    places.parameters, places.macs, places.generation, places.origin, candidates.status, candidates.reason,
    candidates.seconds, candidates.created, places.evaluated
FROM places JOIN candidates ON candidates.id = places.candidate
ORDER BY places.rank IS NULL, places.rank, places.evaluated IS NULL, places.evaluated, places.candidate"""

_PART = """
    json_extract(candidates.details, '$."{quoted}".value') AS "measure_{label}","""

_LABEL = re.compile(r"""'\$\."((?:[^"']|'')+)"\.value'""")


def own(made: str | None) -> bool:
    """Whether a view, as SQLite keeps the statement that made it, is the one that `keep` makes, and nothing else."""
    found = dict.fromkeys(label.replace("''", "'") for label in _LABEL.findall(made or ""))
    return made == _statement(list(found))


def body(made: str) -> str:
    """The query of an own view, to be asked by itself: within a schema that is not trusted, JSON may not be read."""
    return made.removeprefix(f"CREATE VIEW {NAME} AS ")


def keep(connection: sqlite3.Connection, labels: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Write the places of a finished search in place of all former ones, and the view; all or nothing.

    Without rows the view is there, and empty.

    Args:
        connection: To an archive, open for writing, outside any transaction.
        labels: Of the parts that have a column `measure_LABEL`. One with a double quote, which SQLite's paths into
            JSON cannot name, has none; the table `candidates` has it in `details`.
        rows: All columns of the table but the first, then measure and key of the candidate in the archive.
    """
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        connection.execute(_TABLE)
        connection.execute("DELETE FROM places")
        connection.executemany(
            "INSERT INTO places SELECT id, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM candidates WHERE measure = ? AND key = ?",
            rows,
        )
        connection.execute(f"DROP VIEW IF EXISTS {NAME}")
        connection.execute(_statement([label for label in labels if '"' not in label]))


def reorder(connection: sqlite3.Connection, rows: Iterable[tuple[int | None, int, int, int]]) -> None:
    """Change ranks and sizes of places: (rank, parameters, MACs, candidate); all or nothing. Others have none."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        connection.execute("UPDATE places SET rank = NULL")
        connection.executemany("UPDATE places SET rank = ?, parameters = ?, macs = ? WHERE candidate = ?", rows)


def _statement(labels: Sequence[str]) -> str:
    columns = "".join(_PART.format(label=label, quoted=label.replace("'", "''")) for label in labels)
    return _VIEW.format(name=NAME, parts=columns)
