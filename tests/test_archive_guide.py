"""docs/guide/archive.md: every query and every column of the page, on a real run."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import lowland
from whole_runs import made

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "archive.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("guide") / "run", last="search")


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_answers(run: Path, query: str) -> None:
    with closing(sqlite3.connect(run / "archive.sqlite")) as connection:
        rows = connection.execute(query).fetchall()
    assert rows or "failed" in query
    if query.startswith("SELECT rank") and "avg" not in query:
        assert [row[0] for row in rows] == [1, 2, 3, 4, 5]


def test_the_page_names_every_column(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowland.workflow.candidates.find_spec", lambda name: None)
    columns = [column for column in lowland.archive(run)[0] if not column.startswith("measure_")]
    told = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)))
    assert [name for name in told if name != "measure_NAME"] == columns
    with closing(sqlite3.connect(run / "archive.sqlite")) as connection:
        shown = [row[1] for row in connection.execute("PRAGMA table_info(archive)")]
    assert shown == list(lowland.archive(run)[0])
