"""The monitor of a whole run: it passes everything on and keeps `run.log`, warnings and tracebacks included."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from lowland.core.errors import LowlandError
from lowland.core.lines import Lines
from lowland.core.monitor import Monitor, Relay, Start
from lowland.store.log import LOG, RunLog


class Deaf(Monitor):
    """Of the other processes under torchrun: it shows nothing a second time, and stops with whom it stands for."""

    def __init__(self, first: Monitor) -> None:
        self.first = first

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self.first.stopping

    @stopping.setter
    def stopping(self, asked: bool) -> None:
        self.first.stopping = asked


class Logged(Relay):
    """Passes everything on and writes it into the run's log, from the moment that `keep` names the run.

    What was said before waits until then, and is never written where the run is refused. A log that cannot be written
    any more is told once, and the run goes on.
    """

    def __init__(self, inner: Monitor) -> None:
        super().__init__(inner)
        self._lines = Lines(self._write, verbose=True)
        self._waiting: list[str] | None = []
        self._log: RunLog | None = None

    def keep(self, root: Path) -> None:
        """Write into the log of the run at `root` from now on; raises RunError where it cannot be written."""
        self._log = RunLog(root)
        waiting, self._waiting = self._waiting or [], None
        for text in waiting:
            self._log.write(text)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block warnings are heard as well; an error that ends it is told to all and goes on its way.

        Raises:
            BaseException: what ended the block.
        """
        before = warnings.showwarning

        def heard(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            self._warned(message, category, f"{filename}:{lineno}")
            before(message, category, filename, lineno, file, line)

        warnings.showwarning = heard
        try:
            yield
        except BaseException as error:
            self.fail(error)
            raise
        finally:
            if warnings.showwarning is heard:
                warnings.showwarning = before

    def _warned(self, message: Warning | str, category: type[Warning], where: str) -> None:
        self._write(f"warning: {message} ({category.__name__}, {where})")
        cause = message.__cause__ if isinstance(message, Warning) else None
        if cause is not None:
            self._write("".join(traceback.format_exception(cause)))

    # --- what is heard -------------------------------------------------------------------------------------------

    def begin(self, start: Start) -> None:
        """Pass on and write down, with versions, place of computation and changed settings."""
        self._lines.begin(start)
        super().begin(start)

    def enter(self, stage: str) -> None:
        """Pass on and write down."""
        self._lines.enter(stage)
        super().enter(stage)

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """Pass on and write down."""
        self._lines.start(stage, total, unit, done)
        super().start(stage, total, unit, done)

    def advance(self, done: int, **facts: Any) -> None:
        """Pass on, and write down what is due."""
        self._lines.advance(done, **facts)
        super().advance(done, **facts)

    def say(self, line: str) -> None:
        """Pass on and write down."""
        self._lines.say(line)
        super().say(line)

    def note(self, message: str) -> None:
        """Pass on and write down."""
        self._lines.note(message)
        super().note(message)

    def finish(self) -> None:
        """Pass on and write down."""
        self._lines.finish()
        super().finish()

    def leave(self, stage: str, seconds: float) -> None:
        """Pass on and write down."""
        self._lines.leave(stage, seconds)
        super().leave(stage, seconds)

    def end(self, result: Any) -> None:
        """Pass on and write down."""
        self._lines.end(result)
        super().end(result)

    def fail(self, error: BaseException) -> None:
        """Pass on and write down: a sentence of lowland's, or else the traceback."""
        self._lines.fail(error)
        if isinstance(error, LowlandError):
            self._write(f"error: {error}")
        else:
            self._write("".join(traceback.format_exception(error)))
        super().fail(error)

    def _write(self, text: str) -> None:
        if self._waiting is not None:
            self._waiting.append(text)
        elif self._log is not None:
            try:
                self._log.write(text)
            except (LowlandError, OSError) as error:
                self._log = None
                self.inner.note(f"{LOG} cannot be written any more, and the run goes on without it: {error}")
