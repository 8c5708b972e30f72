"""The monitor that calls callbacks, and what becomes of what they raise."""

from __future__ import annotations

import math
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from lowland.app.callbacks.callback import Callback
from lowland.core.errors import InterruptedRun, LowlandError, LowlandWarning
from lowland.core.monitor import Monitor, Relay, Start


class Calling(Relay):
    """Passes everything on to another monitor, and then to callbacks in their order."""

    def __init__(self, inner: Monitor, callbacks: Sequence[Callback]) -> None:
        super().__init__(inner)
        self.callbacks = list(callbacks)
        self.stage = self.part = ""
        self.total = 0
        self._began = False

    @property
    def stopping(self) -> bool:
        """Whether anybody asked for a stop."""
        return self.inner.stopping or any(each.stopping for each in self.callbacks)

    @stopping.setter
    def stopping(self, asked: bool) -> None:
        self.inner.stopping = asked

    def begin(self, start: Start) -> None:
        """Pass on.

        Raises:
            LowlandError: a callback failed; nothing is computed yet, and the run can go on.
            InterruptedRun: a callback stopped it.
        """
        super().begin(start)
        self._began = True
        for each in self.callbacks:
            try:
                each.on_start(start)
            except InterruptedRun:
                raise
            except Exception as error:
                raise LowlandError(
                    f"{_described(each, 'on_start', error)}; nothing was computed: mend or leave out the callback, and "
                    f"continue with `lowland resume {start.path}`"
                ) from error

    def enter(self, stage: str) -> None:
        """Pass on."""
        super().enter(stage)
        self.stage = self.part = stage
        self._call("on_stage_start", lambda each: each.on_stage_start(stage))

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """Pass on."""
        super().start(stage, total, unit, done)
        self.total = total
        own = stage.removeprefix(f"{self.stage} ")
        self.part = self.stage if own == self.stage else f"{self.stage}/{own}"

    def advance(self, done: int, **facts: Any) -> None:
        """Pass on."""
        super().advance(done, **facts)
        # A loss that nobody has read from the device yet is NaN.
        known = {name: value for name, value in facts.items() if not (isinstance(value, float) and math.isnan(value))}
        self._call("on_advance", lambda each: each.on_advance(self.part, done, self.total, dict(known)))

    def note(self, message: str) -> None:
        """Pass on."""
        super().note(message)
        if self._began:
            self._call("on_note", lambda each: each.on_note(message))

    def leave(self, stage: str, seconds: float) -> None:
        """Pass on."""
        super().leave(stage, seconds)
        self._call("on_stage_end", lambda each: each.on_stage_end(stage, seconds))

    def end(self, result: Any) -> None:
        """Pass on."""
        super().end(result)
        self._call("on_end", lambda each: each.on_end(result))

    def fail(self, error: BaseException) -> None:
        """Pass on."""
        super().fail(error)
        if self._began:
            self._call("on_failure", lambda each: each.on_failure(error))

    def _call(self, method: str, call: Callable[[Callback], None]) -> None:
        for each in list(self.callbacks):
            try:
                call(each)
            except InterruptedRun:
                raise
            except Exception as error:
                self.callbacks.remove(each)
                warning = LowlandWarning(f"{_described(each, method, error)}; the run goes on without it")
                warning.__cause__ = error  # for run.log
                warnings.warn(warning, stacklevel=2)


def _described(callback: Callback, method: str, error: Exception) -> str:
    """Which callback, what it raised and where, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    said = " ".join(str(error).split())
    return f"callback {type(callback).__name__}.{method} failed with {type(error).__name__}: {said}{where}"
