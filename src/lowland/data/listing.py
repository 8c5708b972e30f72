"""Listings: what lies in a stranger's folder, sorted into folders, pictures and what is neither."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from lowland.core.errors import DataError

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"),
    *(".jfif", ".jpe", ".pbm", ".pnm", ".apng", ".dib"),
)
FOREIGN = (
    *(".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k", ".svg", ".psd", ".tga", ".exr", ".hdr", ".dcm"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2"),
)
"""Pictures that are not read: to skip them would be to drop pictures."""

_SYSTEM = (
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "#recycle", "$recycle.bin"),
    *("lost+found", "system volume information", "__pycache__"),
)


@dataclass
class Survey:
    """What was met in all folders of a data set that is neither a picture nor a folder of some.

    Attributes:
        skipped: How often each name was met.
    """

    skipped: Counter[str] = field(default_factory=Counter)

    def notes(self) -> tuple[str, ...]:
        """The sentence that counts what was skipped, if anything was."""
        if not self.skipped:
            return ()
        names = [f"{shown(name)} ({count})" for name, count in self.skipped.most_common(5)]
        more = len(self.skipped) - len(names)
        total = sum(self.skipped.values())
        return (
            f"skipped {total:,} {'entry' if total == 1 else 'entries'} that {'is' if total == 1 else 'are'} no "
            f"picture: {', '.join(names)}{f' and {more:,} other names' if more else ''}",
        )


def listing(folder: Path, survey: Survey) -> tuple[list[Path], list[Path]]:
    """List the folders and the pictures in `folder`; all else is counted in `survey`.

    Returns:
        The folders and the pictures, each sorted by name.

    Raises:
        DataError: If the folder cannot be read, an entry is a link to nothing, a picture is no
            file, or pictures are in a format that is not
            read.
    """
    folders: list[str] = []
    pictures: list[str] = []
    foreign: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                suffix = _suffix(entry.name)
                if entry.name[0] == "." or entry.name.lower() in _SYSTEM:
                    survey.skipped[entry.name if entry.name[:2] != "._" else "._*"] += 1
                elif entry.is_symlink() and not Path(entry.path).exists():
                    raise DataError(
                        f"{shown(entry.path)} is a link to something that does not exist; restore or remove it"
                    )
                elif entry.is_dir():
                    folders.append(entry.name)
                elif suffix in SUFFIXES and not entry.is_file():
                    raise DataError(f"{shown(entry.path)} is no file but a pipe, socket or device; remove it")
                elif suffix in SUFFIXES:
                    pictures.append(entry.name)
                elif suffix in FOREIGN:
                    foreign.append(entry.name)
                else:
                    survey.skipped[entry.name] += 1
    except OSError as error:
        raise DataError(f"folder {folder} cannot be read ({error.strerror}); check its permissions") from error
    if foreign:
        others = f" (and {len(foreign) - 1:,} more like it)" if len(foreign) > 1 else ""
        raise DataError(
            f"{shown(str(folder / min(foreign)))}{others} is in a picture format that is not read; convert such "
            f"pictures to PNG or JPEG, for example with ImageMagick: magick mogrify -format png "
            f"'*{_suffix(min(foreign))}', and remove the originals"
        )
    return [folder / name for name in sorted(folders)], [folder / name for name in sorted(pictures)]


_TAR = re.compile(r"\.(tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst))$")
_ZIP = re.compile(r"\.(zip|7z|rar)$")


def unpack_first(path: Path) -> str | None:
    """One sentence that says how to unpack an archive; None for other files."""
    name = path.name.lower()
    command = (
        "tar xf" if _TAR.search(name) else {"zip": "unzip", "7z": "7z x", "rar": "unrar x"}.get(name.rpartition(".")[2])
    )
    if command is None or not (_TAR.search(name) or _ZIP.search(name)):
        return None
    return f"{path} is packed; unpack it first: {command} {path.name}, and give the folder that this makes"


def _suffix(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return (dot + ending).lower() if stem else ""


def shown(name: str) -> str:
    """A name that can be printed, also where it is not text in UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")
