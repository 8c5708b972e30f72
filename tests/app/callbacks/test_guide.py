"""docs/guide/progress.md is true: its commands and examples are run as they stand, on small settings."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from whole_runs import options

GUIDE = (Path(__file__).parents[3] / "docs" / "guide" / "progress.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line) for line in re.findall(r"^ {4}(\S.*)$", GUIDE.partition("```")[0], flags=re.MULTILINE)]
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)

pytestmark = pytest.mark.slow


def ran(folder: Path, *command: str, timeout: float = 900) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_commands_of_the_loggers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    pip, run, board, experiments, runs = COMMANDS
    assert pip == ["pip", "install", "lowland[tensorboard,mlflow]"]
    assert run[:2] == ["lowland", "run"]
    ran(tmp_path, "lowland", "run", *options(*run[2:]))
    assert board == ["tensorboard", "--logdir", "runs"]
    told = ran(tmp_path, "tensorboard.main", *board[1:], "--inspect")
    for stage in ("runs/mine/tensorboard/supernet", "runs/mine/tensorboard/search", "runs/mine/tensorboard/train"):
        assert stage in told
    assert "learning_rate" in told
    assert (tmp_path / "mlflow.db").is_file()
    assert re.search(r"\b1\b.*\blowland\b", ran(tmp_path, *experiments))
    assert re.search(r"\bmine\b", ran(tmp_path, *runs))


def test_the_example_of_a_callback(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    callback, plots = EXAMPLES
    evolution = {"population": 4, "generations": 1, "parents": 2, "mutations": 2, "crossovers": 2}
    small = {
        "supernet.channels": 4,
        "supernet.epochs": 1,
        "data.limit": 200,
        "retrain.epochs": 1,
        "network.channels": 4,
        "search.options.evolution": evolution,
        "evaluate.suites": ["classification"],
        "compute.threads": 1,
    }
    # The example calls `lowland.run` as a reader would; these settings come along unseen.
    whole = f"import lowland\n_run = lowland.run\nlowland.run = lambda *a, **k: _run(*a, **k, set={small!r})\n"
    (tmp_path / "example.py").write_text(f"{whole}{callback}\n{plots}\nprint(sorted(result.plots))")
    told = ran(tmp_path, "example")
    assert "stage report done in" in told
    assert "run 'runs/called': supernet, search, train, evaluate, report done" in told
    assert "'size', 'training loss']" in told
    assert (tmp_path / "runs" / "called" / "tensorboard" / "train").is_dir()
