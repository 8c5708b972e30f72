"""`run.log`: what a run did and when, for people; no stage's result, and nothing reads it back."""

from __future__ import annotations

from pathlib import Path

from lowland.core.files import explained
from lowland.store import inside
from lowland.store.manifest import now

LOG = "run.log"

OLD = "run.log.1"
"""What was `run.log` before it grew too large; an older one is replaced."""

MOST_BYTES = 2 * 2**20
"""A log of this size becomes the old one, so that both together have at most about twice as much."""

MOST_CHARACTERS = 2**16
"""Of one entry; what is longer loses its middle."""


class RunLog:
    """Appends entries with the time (UTC) to the log of the run at `root`.

    An entry is one write of whole lines, so that two processes cannot mix theirs. Whatever a message holds, its line
    breaks are indented and what cannot be printed is written as an escape: no name of a class or file can forge an
    entry or steer a terminal. RunError where one of the files is a link, or no regular file.
    """

    def __init__(self, root: Path) -> None:
        inside.require(root, [LOG, OLD])
        self.root = root

    def write(self, text: str) -> None:
        """Append an entry; raises RunError or OSError where the file is a link or cannot be written."""
        if len(text) > MOST_CHARACTERS:
            half = MOST_CHARACTERS // 2
            text = f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"
        first, *more = map(_printable, text.rstrip("\n").split("\n"))
        entry = "\n    ".join([f"{now()} {first}", *more]) + "\n"
        with explained(self.root / LOG):
            if inside.append(self.root, LOG, entry.encode()) > MOST_BYTES:
                inside.rename(self.root, LOG, OLD)


def _printable(line: str) -> str:
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)
