"""The live display of a notebook: one small table that is drawn anew in place, so that no cell is flooded."""

from __future__ import annotations

import html
import sys
import time
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from lowland.core.amounts import clock
from lowland.core.lines import facts_of, summary
from lowland.core.monitor import STEP, Monitor, Rate, Start, named

LEAST_SECONDS = 0.5
"""Between two drawings; begin, end and notes are drawn at once."""

MOST_NOTES = 20
"""The newest are shown; run.log has all."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which can draw HTML; a terminal of IPython is none."""
    # Where nobody has imported IPython, none is running.
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


@dataclass
class _Row:
    """A stage, or a part of one."""

    name: str
    unit: str
    rate: Rate
    facts: dict[str, Any] = field(default_factory=dict)
    state: str = "running"
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def text(self) -> str:
        """Speed, what is left and the newest figures."""
        told = self.rate.outlook(self.unit) if self.state == "running" else self.rate.speed(self.unit)
        took = [] if self.state == "running" else [f"{self.state}, {clock(self.seconds)}"]
        return ", ".join([*took, told, *named(self.facts)])


class Notebook(Monitor):
    """A row for each stage: bar, count, rate, time left and a few facts; below them the newest notes.

    Args:
        verbose: Show also versions, the place of computation, changed settings and details.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self.verbose = verbose
        self._head: list[str] = []
        self._rows: list[_Row] = []
        self._notes: list[str] = []
        self._row: _Row | None = None
        self._foot = ""
        self._handle: Any = None
        self._drawn = 0.0
        self._warned = False

    def begin(self, start: Start) -> None:
        """Say where the run is."""
        done = f" goes on; done: {', '.join(start.done) or 'nothing'}" if start.resumed else ""
        self._head.append(f"run {start.path}{done}")
        self._head += facts_of(start) if self.verbose else []
        self._draw()

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """Begin a row."""
        self._close("done")
        self._row = _Row(stage, unit, Rate(total, done, even=unit == STEP))
        self._rows.append(self._row)
        self._warned = False
        self._draw()

    def advance(self, done: int, **facts: Any) -> None:
        """Move the row on."""
        if self._row is None:
            return
        self._row.rate.update(done)
        self._row.facts = facts
        lull = None if self._warned else self._row.rate.lull(self._row.unit)
        if lull is not None:
            self._warned = True
            self.note(lull)
        elif time.monotonic() - self._drawn >= LEAST_SECONDS:
            self._draw()

    def say(self, line: str) -> None:
        """Show a line above the rows."""
        self._head.append(line)
        self._draw()

    def note(self, message: str) -> None:
        """Show a line below the rows."""
        self._notes.append(message)
        self._draw()

    def detail(self, line: str) -> None:
        """Show a line below the rows, with the next drawing, where details were asked for."""
        if self.verbose:
            self._notes.append(line)

    def finish(self) -> None:
        """End the row."""
        self._close("done")
        self._draw()

    def end(self, result: Any) -> None:
        """Say how long each stage took."""
        self._close("done")
        self._foot = summary(result.seconds)
        self._draw()

    def fail(self, error: BaseException) -> None:
        """Show where it ended; the error itself is shown by the notebook."""
        self._close("stopped")
        self._draw()

    def _close(self, state: str) -> None:
        if self._row is not None:
            self._row.state, self._row.seconds = state, time.monotonic() - self._row.began
            self._row = None

    def _draw(self) -> None:
        ipython: Any = import_module("IPython.display")
        self._drawn = time.monotonic()
        page = ipython.HTML(self.page())
        if self._handle is None:
            self._handle = ipython.display(page, display_id=True)
        else:
            self._handle.update(page)

    def page(self) -> str:
        """All of it as HTML, every text escaped."""
        rows = "".join(
            f"<tr><td>{html.escape(row.name)}</td>"
            f'<td><progress max="{max(1, row.rate.total)}" value="{row.rate.done}"></progress></td>'
            f"<td>{row.rate.done}/{row.rate.total}</td>"
            f'<td style="text-align:left">{html.escape(row.text())}</td></tr>'
            for row in self._rows
        )
        table = f"<table>{rows}</table>" if rows else ""
        below = [*self._notes[-MOST_NOTES:], *([self._foot] if self._foot else [])]
        return f"<div>{_lines(self._head)}{table}{_lines(below)}</div>"


def _lines(texts: list[str]) -> str:
    return "".join(f"<div>{html.escape(text)}</div>" for text in texts)
