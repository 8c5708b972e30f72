"""W&B in its offline mode: the file that it would send holds the run."""

from __future__ import annotations

import time
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
    texts = (b"supernet/loss", b"search/score", b"network 1/test top-1", b"supernet.learning_rate")
    deadline = time.monotonic() + 60  # its service writes the file, on a busy machine perhaps after the run's end
    while not all(text in kept.read_bytes() for text in texts) and time.monotonic() < deadline:
        time.sleep(0.1)
    content = kept.read_bytes()
    for text in texts:
        assert text in content
