"""The command line: which verbs there are, and what becomes of errors and warnings."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from lowland._version import __version__
from lowland.app.console import complain
from lowland.app.encoding import never_refuse
from lowland.app.verbs import (
    comparison,
    dense,
    folders,
    history,
    landscapes,
    listings,
    networks,
    ranking,
    runs,
    settings,
)
from lowland.core.errors import InterruptedRun, LowlandError, LowlandWarning
from lowland.core.memory import ShortageTold


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"lowland {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="lowland",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Find, train and deliver neural networks that lie in wide, low valleys of the loss surface."""


for verb in (
    runs.run,
    runs.search,
    runs.supernet,
    runs.train,
    runs.evaluate,
    runs.report,
    runs.resume,
    runs.status,
    folders.ls,
    folders.diff,
    history.history,
    settings.settings,
    networks.flatness,
    landscapes.landscape,
    ranking.truth,
    ranking.rank,
    comparison.compare,
    dense.detect,
    dense.segment,
    networks.export,
    *listings.VERBS,
):
    app.command()(verb)


def main() -> None:
    """Entry point: errors a person can act on become one sentence and exit code 2."""
    never_refuse()
    warnings.showwarning = _warn
    try:
        with ShortageTold("outside of the stages of a run"):
            sys.exit(app(prog_name="lowland", standalone_mode=False))
    except InterruptedRun as stop:
        complain(str(stop))
        sys.exit(130)
    except typer.Abort:  # Ctrl-C where nothing is kept
        sys.exit(130)
    except LowlandError as error:
        _refuse(str(error))
    except TyperException as error:  # such as an option that does not exist
        # Called without a verb, the program has shown its help already.
        if len(sys.argv) > 1:
            message = error.format_message().strip().rstrip(".").replace("\n", " ")
            between = " " if message.endswith("?") else "; "
            _refuse(f"{message[:1].lower()}{message[1:]}{between}`{_called()} -h` shows what there is")
        sys.exit(2)


def _refuse(sentence: str) -> NoReturn:
    complain(f"error: {sentence}")
    _tell_torchrun(sentence)
    sys.exit(2)


def _tell_torchrun(sentence: str) -> None:
    """Leave the reason where torchrun --log-dir looks for it: its own last words, after a traceback, then hold it."""
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file:
        facts = {"message": sentence, "extraInfo": {"timestamp": str(int(time.time()))}}
        with suppress(OSError):
            Path(file).write_text(json.dumps({"message": facts}), encoding="utf-8")


def _called() -> str:
    """The program and its verb, as far as there is such a verb."""
    verbs = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    return " ".join(["lowland", *[verb for verb in sys.argv[1:2] if verb in verbs]])


def _warn(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, LowlandWarning):
        complain(f"warning: {message}", style="yellow")
