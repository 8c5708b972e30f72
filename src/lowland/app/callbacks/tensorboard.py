"""TensorBoard: event files in the run directory, or in a folder of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.utils import tensorboard
from torch.utils.tensorboard import summary as summaries

from lowland.app.callbacks.curves import Curves, final_figures, parameters
from lowland.core.monitor import Start
from lowland.core.settings import dump
from lowland.store import inside

if TYPE_CHECKING:
    from lowland.workflow.result import RunResult

FOLDER = "tensorboard"
"""In the run directory, so that `tensorboard --logdir runs` shows all runs."""


_SummaryWriter: Any = tensorboard.SummaryWriter
_hparams: Any = summaries.hparams  # whose types do not say all that they have


class TensorBoard(Curves):
    """Writes each stage's curves into a folder of its name, and settings and the suites' figures beside them.

    A resumed stage goes on where it stopped; what a stage that is done again has drawn before is hidden.

    Args:
        folder: Where; None: `tensorboard/` in the run directory.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        super().__init__()
        self._asked = None if folder is None else Path(folder)
        self._folder = Path()
        self._writers: dict[str, Any] = {}
        self._settings: dict[str, Any] = {}

    def on_start(self, start: Start) -> None:
        """Make the folder, which is no link and holds none; write settings, versions and plan as text."""
        if self._asked is None:
            inside.make_folder(start.path, FOLDER)
            inside.require_no_links(start.path, FOLDER)
        self._folder = self._asked or start.path / FOLDER
        self._settings = parameters(start.config)
        writer = self._writer("")
        writer.add_text("settings", _verbatim(dump(start.config)))
        facts = [f"{name}: {value}" for name, value in start.facts.items()]
        writer.add_text("run", _verbatim("\n".join([str(start.path.absolute()), start.plan, *facts])))
        writer.flush()

    def curve(self, stage: str, done: int) -> None:
        """Open a writer of the stage, which hides points from here on that an earlier session has drawn."""
        self._writer(stage, purge=done)

    def point(self, stage: str, done: int, figures: Mapping[str, float]) -> None:
        """Draw."""
        for name, value in figures.items():
            self._writers[stage].add_scalar(name, value, done)

    def on_stage_end(self, stage: str, seconds: float) -> None:
        """Let a reader see all of it."""
        for writer in self._writers.values():
            writer.flush()

    def on_end(self, result: RunResult) -> None:
        """Write the figures of each delivered network at its rank, and the first one's beside the settings."""
        writer = self._writer("")
        first: dict[str, float] = {}
        for rank, figures in final_figures(result):
            for name, value in figures.items():
                writer.add_scalar(f"networks/{name}", value, rank)
            first = first or figures
        if "evaluate" in result.stages:
            for summary in _hparams(self._settings, {f"networks/{name}": value for name, value in first.items()}):
                writer.file_writer.add_summary(summary)
        self._close()

    def on_failure(self, error: BaseException) -> None:
        """Close the files."""
        self._close()

    def _writer(self, stage: str, purge: int | None = None) -> Any:
        if stage not in self._writers:
            self._writers[stage] = _SummaryWriter(str(self._folder / stage), purge_step=purge)
        return self._writers[stage]

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def _verbatim(text: str) -> str:
    """As TensorBoard's Markdown shows it unchanged."""
    return "\n".join(f"    {line}" for line in text.splitlines())
