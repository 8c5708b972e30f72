"""A job that torchrun starts anew goes on with the run that it had begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from lowland.core.errors import RunError
from lowland.store.run import Run
from lowland.workflow import pipeline
from whole_runs import made


def test_a_restarted_job_resumes_its_own_folder_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(tmp_path / "run", last="supernet")
    with Run.open(run, read_only=True) as opened:
        config, before = opened.config, opened.manifest["created"]
    with pytest.raises(RunError, match="run"):
        pipeline.run(config, run, last="supernet")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    pipeline.run(config, run, last="supernet")
    with Run.open(run, read_only=True) as opened:
        assert opened.manifest["created"] == before
    with pytest.raises(RunError, match="run"):
        pipeline.run(config.model_copy(update={"seed": config.seed + 1}), run, last="supernet")
