"""Folders of one class each, named by wnid or, in ImageNet-V2, by label.

A folder's name says the class, never its rank among the folders, so that part of a set can be judged; and ImageNet-V2's
folders 0, 1, 10, 100, …, which text sorts so, keep their labels (modestyachts/ImageNetV2#10).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lowland.core.errors import DataError
from lowland.data.listing import Survey, listing, shown
from lowland.data.naming import is_number
from lowland.data.shift.classes import Group, group, wnids


@dataclass(frozen=True)
class ClassFolders:
    """The pictures of a set.

    Attributes:
        root: Its folder.
        paths: Its pictures, folder by folder.
        labels: ImageNet's label of each.
    """

    root: Path
    paths: tuple[Path, ...]
    labels: tuple[int, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names and labels; of no pixels, since the sets are large and their content is published."""
        names = (
            f"{label} {path.relative_to(self.root).as_posix()}"
            for path, label in zip(self.paths, self.labels, strict=True)
        )
        return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def class_folders(root: Path, what: str, *, numbered: bool = False, of: Group | None = None) -> ClassFolders:
    """List the pictures in `root/<class>/`; files that are no pictures, such as a README.txt, are passed over.

    Args:
        root: Folder of the set.
        what: The set's name, with which errors begin.
        numbered: Whether folders may be called 0 to 999 instead, by label.
        of: The set whose 200 classes are the only ones it may hold; None: all 1,000.

    Returns:
        The pictures with ImageNet's labels; folders sorted by label, pictures by name.

    Raises:
        DataError: there are no folders, a folder is not called so or is empty, or pictures lie beside them.
    """
    survey = Survey()
    folders, loose = listing(root, survey)
    expected = "wnids such as n01440764" + (", or labels 0 to 999" if numbered else "")
    if loose:
        raise DataError(
            f"{what}: {root} holds {len(loose):,} pictures outside of class folders, such as {shown(loose[0].name)}; "
            f"sort them into folders called by {expected}"
        )
    if not folders:
        raise DataError(f"{what}: {root} holds no folders; those called by {expected} are needed: unpack it again")
    labels = _labels([folder.name for folder in folders], numbered)
    if labels is None:
        strange = next((folder.name for folder in folders if folder.name not in wnids()), folders[0].name)
        raise DataError(
            f"{what}: {root} must hold folders called by {expected}, all alike, but {shown(strange)!r} is none; remove "
            "or rename it"
        )
    known = group(of) if of is not None else range(len(wnids()))
    paths: list[Path] = []
    found: list[int] = []
    for label, folder in sorted(zip(labels, folders, strict=True)):
        if label not in known:
            raise DataError(f"{what}: {folder} is none of its {len(known)} classes; give the folder of the right set")
        deeper, pictures = listing(folder, survey)
        if deeper or not pictures:
            fault = f"holds the folder {deeper[0].name}" if deeper else "holds no pictures"
            raise DataError(f"{what}: {folder} {fault}, but pictures of one class belong there; unpack it again")
        paths += pictures
        found += [label] * len(pictures)
    return ClassFolders(root, tuple(paths), tuple(found))


def any_pictures(folder: Path) -> tuple[Path, ...]:
    """List all pictures in a folder and the folders in it, whatever they are called, sorted by path.

    Returns:
        The pictures, at least two.

    Raises:
        DataError: it is no folder, cannot be read, or holds fewer than two pictures.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give one that holds pictures")
    found: list[Path] = []
    survey, waiting = Survey(), [folder]
    while waiting:
        folders, pictures = listing(waiting.pop(), survey)
        waiting += folders
        found += pictures
    if len(found) < 2:
        raise DataError(f"{folder} holds {len(found)} pictures, but two at least are needed; give another folder")
    return tuple(sorted(found))


def _labels(names: list[str], numbered: bool) -> list[int] | None:
    """The label of each folder; None where they are called otherwise, or two are called by the same number."""
    index = {wnid: place for place, wnid in enumerate(wnids())}
    if all(name in index for name in names):
        return [index[name] for name in names]
    if numbered and all(map(is_number, names)):
        labels = [int(name) for name in names]
        if set(labels) <= set(range(len(index))) and len(set(labels)) == len(labels):
            return labels
    return None
