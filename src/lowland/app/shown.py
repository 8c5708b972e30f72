"""Which way a run is shown: live in a terminal or notebook, in lines with the time elsewhere, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Literal, get_args

from rich.console import Console

from lowland.app.callbacks import Callback, Calling, chosen
from lowland.app.console import literal
from lowland.app.display import Display, stoppable
from lowland.app.notebook import Notebook, in_notebook
from lowland.core.errors import ConfigError
from lowland.core.lines import Lines, stamp
from lowland.core.monitor import Monitor

Mode = Literal["auto", "live", "lines", "none"]
"""auto: live where something can be drawn anew, else lines."""


def shown(console: Console, mode: Mode = "auto", *, verbose: bool = False) -> Monitor:
    """Make the monitor that shows a run.

    Args:
        console: Where.
        mode: How.
        verbose: Show also versions, the place of computation, changed settings and every candidate.

    Returns:
        The monitor.

    Raises:
        ConfigError: there is no such way to show it.
    """
    if mode not in get_args(Mode):
        raise ConfigError(f"progress={mode!r} is none of {', '.join(get_args(Mode))}")
    if mode == "none":
        return Monitor()
    if mode in ("auto", "live") and in_notebook():
        return Notebook(verbose=verbose)
    if mode == "live" or (mode == "auto" and console.is_terminal):
        return Display(console, verbose=verbose)
    return Lines(lambda text: console.print(literal(f"{stamp()}  {text}"), soft_wrap=True), verbose=verbose)


@contextmanager
def watched(
    console: Console,
    mode: Mode = "auto",
    *,
    verbose: bool = False,
    callbacks: Sequence[Callback | str] = (),
    monitor: Monitor | None = None,
) -> Iterator[Monitor]:
    """What hears of a run, and asks it to stop where everything is safe on Ctrl-C.

    Signals reach the main thread alone; in another one nothing is done about them.

    Args:
        console: Where it is shown.
        mode: How.
        verbose: Show more.
        callbacks: Those to call as well, or names of ready ones.
        monitor: Hears of it in place of the console.

    Yields:
        The monitor that a run is given.

    Raises:
        ConfigError: one of the callbacks cannot be had, or there is no such mode.
    """
    seen = monitor or shown(console, mode, verbose=verbose)
    asked = chosen(callbacks)
    heard = Calling(seen, asked) if asked else seen
    in_main = threading.current_thread() is threading.main_thread()
    with stoppable(heard) if in_main else nullcontext():
        yield heard
