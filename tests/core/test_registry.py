"""Members that installed packages announce."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from lowland.core import registry
from lowland.core.registry import MEASURES


def test_a_package_installed_meanwhile_is_found_and_else_none_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted() -> Any:
        calls.append(1)
        return importlib.metadata.entry_points()

    monkeypatch.setattr(registry, "entry_points", counted)
    monkeypatch.syspath_prepend(tmp_path)
    assert "of_mylab" not in MEASURES.names()
    MEASURES.names()
    assert len(calls) == 1
    info = tmp_path / "mylab-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mylab\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lowland.measures]\nof_mylab = mylab.measure\n")
    assert "of_mylab" in MEASURES.names()
    assert len(calls) == 2
