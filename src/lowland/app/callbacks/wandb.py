"""Weights & Biases: a run there, or offline, for each run of lowland."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import wandb

from lowland.app.callbacks.curves import Curves, final_figures, parameters
from lowland.core.monitor import Start

if TYPE_CHECKING:
    from lowland.workflow.result import RunResult


class WandB(Curves):
    """Logs curves, each over the units of its stage, settings as configuration, and the figures as summary.

    Where to and whether online are W&B's own to say: `WANDB_MODE`, `WANDB_DIR`, … A resumed run goes on in the W&B run
    of its directory.

    Args:
        project: Name of the project.
    """

    def __init__(self, project: str = "lowland") -> None:
        super().__init__()
        self._project = project
        self._run: Any = None

    def on_start(self, start: Start) -> None:
        """Begin a W&B run with all settings."""
        path = str(start.path.absolute())
        name = hashlib.sha256(f"{path} {start.created}".encode()).hexdigest()[:16]
        self._run = wandb.init(
            project=self._project,
            name=start.path.absolute().name,
            id=name,
            resume="allow",
            config=parameters(start.config) | {"run": path, "plan": start.plan},
            allow_val_change=True,
        )

    def curve(self, stage: str, done: int) -> None:
        """Let the stage's figures stand over its own units."""
        self._run.define_metric(f"{stage}/done")
        self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/done")

    def point(self, stage: str, done: int, figures: Mapping[str, float]) -> None:
        """Log."""
        self._run.log({f"{stage}/done": done} | {f"{stage}/{name}": value for name, value in figures.items()})

    def on_end(self, result: RunResult) -> None:
        """Log the figures of each delivered network, and end the W&B run."""
        for rank, figures in final_figures(result):
            self._run.summary.update({f"network {rank}/{name}": value for name, value in figures.items()})
        self._run.finish()

    def on_failure(self, error: BaseException) -> None:
        """End the W&B run as one that failed."""
        if self._run is not None:
            self._run.finish(exit_code=1)
