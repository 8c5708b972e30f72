"""progress.json: what it tells is checked, and what is damaged is said to be."""

from __future__ import annotations

from pathlib import Path

from lowland.core.config import Config
from lowland.store.run import Run


def test_progress_that_was_changed_is_told_as_lost(tmp_path: Path) -> None:
    """Its checksum is of what it tells, so that no digit of it can become another."""
    with Run.create(tmp_path / "run", Config()) as run:
        run.start_stage("search")
        best = {"genotype": "a", "score": 1.5}
        run.progress("search", 3, 17, 2.0, best)
        assert (run.status()["best"], run.status()["progress_lost"]) == (best, False)
        file = run.path / "progress.json"
        told = file.read_text()
        for old, new in (("17", "71"), ("1.5", "5.1"), ('"a"', '"b"'), ("2.0", "0.2"), ("search", "retrain")):
            assert old in told
            file.write_text(told.replace(old, new, 1))
            assert (run.status()["best"], run.status()["progress_lost"]) == (None, True)
