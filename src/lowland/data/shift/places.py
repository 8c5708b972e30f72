"""Where a published set lies: below the root that a person names, under one of the names it is unpacked with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lowland.core.errors import ConfigError, DataError
from lowland.data.listing import shown

MOST = 6
"""Names of what was found instead, in an error."""


def place(
    root: Path | None, given: Path | None, names: Sequence[str], *, what: str, setting: str, holds: str = ""
) -> Path:
    """Find the folder of a published set.

    Args:
        root: The folder that holds published sets; None: none was named.
        given: The set's own folder, where a person named it; it is then taken as it is.
        names: What it may be called below the root; of these just one must be there.
        what: The set and its layout, such as `ImageNet-A, imagenet-a/<wnid>/`.
        setting: The setting of `given`.
        holds: A file that tells the set's folder from others of that name; empty: any folder of the name is it.

    Returns:
        The folder, which exists.

    Raises:
        ConfigError: neither is given.
        DataError: there is no such folder, or more than one.
    """
    if given is not None:
        if not given.is_dir():
            raise DataError(f"{setting}={given} is not a folder; give the one that holds {what}")
        return given
    if root is None:
        raise ConfigError(
            f"{what} is needed, but nobody said where it lies; give --data-root DIR, the folder that holds "
            f"{' or '.join(names)}, or {setting}"
        )
    if not root.is_dir():
        raise DataError(f"--data-root {root} is not a folder; give the one that holds {' or '.join(names)}")
    there: list[Path] = []
    for name in names:
        folder = root / name
        here = (folder / holds).is_file() if holds else folder.is_dir()
        if here and not any(folder.samefile(other) for other in there):  # names may differ in case alone
            there.append(folder)
    if not there:
        raise DataError(
            f"{what} was looked for in {root} as {' or '.join(names)}, but there is {_found(root)}; unpack it "
            f"there, or give {setting}"
        )
    if len(there) > 1:
        raise DataError(f"{what} could be {there[0]} or {there[1]}; say which by {setting}")
    return there[0]


def _found(folder: Path) -> str:
    names = sorted(shown(path.name) for path in folder.iterdir())
    more = f" and {len(names) - MOST:,} more" if len(names) > MOST else ""
    return f"only {', '.join(names[:MOST])}{more}" if names else "nothing at all"
