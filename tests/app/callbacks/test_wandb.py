"""W&B in its offline mode: the file that it would send holds the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from told import whole

pytest.importorskip("wandb", reason="the extra wandb is not installed")
from lowland.app.callbacks.wandb import WandB  # needs the extra

pytestmark = pytest.mark.slow  # it starts a service of its own


def test_a_run_is_kept_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "wandb"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "wandb").mkdir()
    whole(WandB(), tmp_path / "run")
    (kept,) = (tmp_path / "wandb").rglob("*.wandb")
    content = kept.read_bytes()
    for text in (b"supernet/loss", b"search/score", b"network 1/test top-1", b"supernet.learning_rate"):
        assert text in content
