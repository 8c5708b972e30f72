"""Where the command line writes: what was asked for, and, apart from it, errors and warnings."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from lowland.core.errors import LowlandWarning
from lowland.core.text import harmless


class Harmless(Console):
    """A console on which names and texts of strangers stand written out where they would do something to a terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The renderable's segments; what rich itself says to the terminal stays as it is."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=harmless(segment.text))


out = Harmless()
err = Harmless(stderr=True)


def say(lines: Iterable[str | Text]) -> None:
    """Print whole lines as they are, so that a long path can be copied."""
    for line in lines:
        out.print(literal(line), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value for programs: one JSON document, and nothing else."""
    out.print(literal(json.dumps(value, indent=2, allow_nan=False)), soft_wrap=True)


def complain(sentence: str, style: str = "") -> None:
    """Print one sentence to the error output; as plain text where there is not enough memory for more."""
    try:
        err.print(literal(sentence), style=style, soft_wrap=True)
    except MemoryError:
        sys.stderr.write(harmless(sentence) + "\n")


def literal(line: str | Text) -> Text:
    """A line as it stands: no bracket of a path or name is markup, no `:cat:` an emoji, no number coloured."""
    return line if isinstance(line, Text) else Text(line)


@contextmanager
def all_warnings() -> Iterator[None]:
    """Within the block warnings of libraries are printed too, with the place they come from."""
    before = warnings.showwarning

    def complained(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: Any, **named: Any
    ) -> None:
        if issubclass(category, LowlandWarning):
            before(message, category, filename, lineno, *rest, **named)
        else:
            complain(f"{category.__name__}: {message} ({filename}:{lineno})", style="dim")

    warnings.showwarning = complained
    try:
        yield
    finally:
        warnings.showwarning = before
