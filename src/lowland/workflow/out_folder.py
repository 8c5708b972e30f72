"""A folder that a verb makes beside runs, such as that of `lowland compare`: new or its own, and locked."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from lowland.core.errors import RunError
from lowland.store import inside
from lowland.store.lock import Lock
from lowland.store.manifest import LOCK, MANIFEST


def held(out: Path, own: Collection[str], what: str) -> Lock:
    """Make the folder `out`, or go on with it.

    Args:
        out: The folder.
        own: Names of the files and folders that such a folder holds.
        what: What it is, with its article, for people.

    Returns:
        Its lock, held.

    Raises:
        RunError: It is a run, holds something else, or another process works in it.
    """
    if (out / MANIFEST).exists():
        raise RunError(f"{out} is a run directory; choose another --out")
    known = {*own, LOCK}
    others = sorted(p.name for p in out.iterdir() if p.name not in known and p.suffix != ".tmp") if out.is_dir() else []
    if others:
        raise RunError(f"{out} is not empty and not {what} (it holds {others[0]!r}); choose another --out")
    inside.make_root(out)
    inside.require_no_links(out)
    return Lock(out / LOCK)
