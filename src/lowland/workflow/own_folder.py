"""Folders that a verb makes and goes on with: what decides their content is written first, and one process writes."""

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


def opened(out: Path, fixed: Mapping[str, Any], *, own: Collection[str], what: str) -> Lock:
    """Make the folder `out`, or go on with it.

    What decides every figure is written before the first training, so that none is ever mixed with others.

    Args:
        out: The folder.
        fixed: What decides its content.
        own: Names of files and folders that it may hold.
        what: What it is, such as `comparison`.

    Returns:
        Its lock, held.

    Raises:
        RunError: It is another one of its kind, or something else.
    """
    if (out / MANIFEST).exists():
        raise RunError(f"{out} is a run directory; choose another --out")
    known = {SETTINGS, LOCK, *own}
    others = sorted(p.name for p in out.iterdir() if p.name not in known and p.suffix != ".tmp") if out.is_dir() else []
    if others:
        raise RunError(f"{out} is not empty and not a {what} (it holds {others[0]!r}); choose another --out")
    inside.make_root(out)
    inside.require_no_links(out)
    lock = Lock(out / LOCK)
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
            raise RunError(f"{out} holds a {what} with another {key}; choose another --out, or delete it")
