"""A folder that a verb makes beside runs, such as that of `lowland compare`: new or its own, and locked."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lowland.core.errors import RunError
from lowland.core.files import json_text
from lowland.store import inside
from lowland.store.lock import Lock
from lowland.store.manifest import LOCK, MANIFEST

SETTINGS = "settings.json"
"""What decides the content of a folder that is gone on with."""


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


def opened(out: Path, fixed: Mapping[str, Any], *, own: Collection[str], what: str) -> Lock:
    """Make the folder `out`, or go on with it; as `held`, but what decides its content must be the same.

    What decides every figure is written before the first training, so that none is ever mixed with others.

    Args:
        out: The folder.
        fixed: What decides its content.
        own: Names of files and folders that it may hold.
        what: What it is, with its article, for people.

    Returns:
        Its lock, held.

    Raises:
        RunError: It is another one of its kind, or something else.
    """
    lock = held(out, {SETTINGS, *own}, what)
    try:
        if (out / SETTINGS).exists():
            _require_same(out, fixed, what)
        else:
            inside.write_text(out, SETTINGS, json_text(dict(fixed)))
    except BaseException:
        lock.release()
        raise
    return lock


def settings(out: Path) -> dict[str, Any] | None:
    """What decides the content of the folder `out`; None where it is not made yet.

    Returns:
        What `opened` wrote.

    Raises:
        RunError: the file is damaged.
    """
    file = out / SETTINGS
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{file} is damaged ({error}); put back a good copy, or choose another --out") from error
    return found


def _require_same(out: Path, fixed: Mapping[str, Any], what: str) -> None:
    known = settings(out) or {}
    plain = json.loads(json.dumps(fixed))
    for key, value in plain.items():
        if known.get(key) != value:
            raise RunError(f"{out} holds {what} with another {key}; choose another --out, or delete it")
