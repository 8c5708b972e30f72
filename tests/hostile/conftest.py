"""A finished run of nobody's, and a watch over what is opened."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from golden.relocate import relocated

GOLDEN = Path(__file__).parents[1] / "golden" / "format-1" / "evolution"

_EVENTS = ("open", "os.remove", "os.rename", "os.listdir", "os.scandir", "os.mkdir", "os.chmod", "sqlite3.connect")
_watched: list[Path] = []
_touched: list[str] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if not _watched or event not in _EVENTS:
        return
    for argument in arguments:
        if isinstance(argument, str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(argument).removeprefix("file://").partition("?")[0])
            if Path(path).is_relative_to(_watched[0]):
                _touched.append(f"{event} {path}")


sys.addaudithook(_watch)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run."""
    return relocated(GOLDEN, tmp_path / "run")


@pytest.fixture
def untouched() -> Callable[[Path], AbstractContextManager[None]]:
    """Within the block nothing in a folder is opened, listed, replaced or deleted, by whatever path; nor changed."""

    @contextmanager
    def watching(folder: Path) -> Iterator[None]:
        def state() -> dict[str, tuple[bytes, int]]:
            found = (path for path in folder.rglob("*") if path.is_file())
            return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}

        before = state()
        _touched.clear()
        _watched.append(folder.resolve())
        try:
            yield
        finally:
            _watched.clear()
        assert _touched == []
        assert state() == before

    return watching
