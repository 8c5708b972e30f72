"""A run of settings alone, open for writing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lowland.core.config import Config
from lowland.store.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.create(tmp_path / "run", Config(seed=7)) as run:
        yield run
