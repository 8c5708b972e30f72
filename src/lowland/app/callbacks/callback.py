"""The callback: a class with a method for everything that happens in a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lowland.core.monitor import Start

if TYPE_CHECKING:
    from lowland.workflow.result import RunResult


class Callback:
    """Is told how a run goes. Every method does nothing here; a class of one's own has those that it needs.

    All are called in the process and thread of the run, between two of its steps, so that what takes long in them
    holds the run up; under torchrun in the first process alone. None can change what is computed.

    What a callback raises does not lose the run: in `on_start`, before anything is computed, it ends the call with a
    LowlandError that names the callback; later a LowlandWarning names it once, the traceback is in `run.log`, and the
    run goes on without this callback.

    Example:
        >>> class Patience(Callback):
        ...     def on_advance(self, stage, done, total, figures):
        ...         if stage == "search" and done >= 1000:
        ...             self.stopping = True

    Attributes:
        stopping: Set it to ask for a stop at the next safe point. The run then ends with InterruptedRun, and `resume`
            continues it.
    """

    stopping: bool = False

    def on_start(self, start: Start) -> None:
        """A run begins or goes on: `start.path`, `.config`, `.plan`, `.resumed`, `.stages`, …; nothing is computed yet.

        Args:
            start: What the run says of itself.
        """

    def on_stage_start(self, stage: str) -> None:
        """A stage of the run begins.

        Args:
            stage: supernet, search, train, evaluate or report.
        """

    def on_advance(self, stage: str, done: int, total: int, figures: Mapping[str, Any]) -> None:
        """Some unit of work is finished: a training step, a scored candidate, a judged network.

        Args:
            stage: As of `on_stage_start`; where it has parts, with the part: `search/finalists`, `train/2 of 3`,
                `evaluate/corruptions`.
            done: Units done, those from before a stop included.
            total: Units in all.
            figures: The newest: in training `loss` (nats; read every ten steps) and `learning_rate`; in a search
                `best` with its `genotype`, and the `candidate` with its `score`, or, where the parts of a sum are
                ranked, `score <measure>` of each part.
        """

    def on_note(self, message: str) -> None:
        """Something worth reading, such as a candidate that failed.

        Args:
            message: One line.
        """

    def on_stage_end(self, stage: str, seconds: float) -> None:
        """A stage of the run is done.

        Args:
            stage: As of `on_stage_start`.
            seconds: How long it took, in all sessions.
        """

    def on_end(self, result: RunResult) -> None:
        """The run has come to where it was asked to.

        Args:
            result: What `lowland.run` returns: networks with the figures of all suites, paths, seconds.
        """

    def on_failure(self, error: BaseException) -> None:
        """The run ended otherwise; `resume` may continue it.

        Args:
            error: InterruptedRun where it was stopped, or what went wrong.
        """
