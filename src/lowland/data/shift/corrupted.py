"""ImageNet-C as it is published: `<corruption>/<1…5>/<wnid>/`, or with a folder for each group in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lowland.core.errors import DataError
from lowland.data.corruptions.images import CorruptedImages
from lowland.data.corruptions.table import SEVERITIES
from lowland.data.shift.folders import ClassFolders, class_folders
from lowland.data.shift.pictures import prepared

GROUPS = ("noise", "blur", "weather", "digital", "extra")
"""Folders of the published archives, which unpack without them."""


def corruption_folder(root: Path, name: str) -> Path:
    """The folder of a corruption in a copy of ImageNet-C; DataError where there is none, or more than one."""
    there = [folder for folder in (root / name, *(root / group / name for group in GROUPS)) if folder.is_dir()]
    if not there:
        raise DataError(
            f"ImageNet-C: {name} was looked for in {root} and its folders {', '.join(GROUPS)}, but is in none; unpack "
            "the archive that holds it, or name those wanted in evaluate.options.imagenet-c.names"
        )
    if len(there) > 1:
        raise DataError(f"ImageNet-C: {name} could be {there[0]} or {there[1]}; remove one of them")
    return there[0]


class CorruptedPictures(CorruptedImages):
    """The pictures of ImageNet-C, cut out 224 × 224 and never resized for networks of that size.

    Args:
        root: Where the corruptions lie.
        names: Those that will be asked for.
        severities: Those that will be asked for.
        places: Network's class of each of ImageNet's labels that it knows; pictures of others are left out.
        channels: C, 1 or 3.
        size: S.

    Attributes:
        paths: The chosen pictures below the folder of a corruption and severity, which all of them must have.
        digest: SHA-256 of the names of the first corruption's pictures.

    Raises:
        DataError: a corruption is missing, has other folders than it should, or shows none of the classes.
    """

    streamed = True

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        severities: Sequence[int],
        places: Mapping[int, int],
        channels: int,
        size: int,
    ) -> None:
        self._folders = {name: corruption_folder(root, name) for name in names}
        for folder, severity in ((folder, severity) for folder in self._folders.values() for severity in severities):
            if not (folder / str(severity)).is_dir():
                raise DataError(
                    f"ImageNet-C: {folder} has no folder {severity}, but its severities are {SEVERITIES[0]} to "
                    f"{SEVERITIES[-1]}; unpack it again, or name those wanted in evaluate.options.imagenet-c.severities"
                )
        self._places, self._channels, self._size = places, channels, size
        first = self._listed(names[0], severities[0])
        self._first = f"{names[0]}/{severities[0]}"
        chosen = list(self._chosen(first))
        if not chosen:
            raise DataError(f"ImageNet-C: {first.root} holds none of the networks' {len(places)} classes")
        self._checked = {(names[0], severities[0])}
        self.digest = first.digest
        self.paths = tuple(relative for relative, _ in chosen)
        self.labels_N = torch.tensor([label for _, label in chosen], dtype=torch.int64)

    def images(self, name: str, severity: int, start: int, stop: int) -> Tensor:
        """Images `start` to `stop` under one corruption and severity; see `CorruptedImages.images`."""
        self.check(name, severity)
        folder = self._folders[name] / str(severity)
        paths = [folder / relative for relative in self.paths[start:stop]]
        split = prepared(paths, self.labels_N[start:stop].tolist(), self._channels, self._size, resize=False)
        return split.images(torch.arange(len(paths)))

    def check(self, name: str, severity: int) -> None:
        """Raise DataError unless a corruption and severity has the same pictures as the first."""
        if (name, severity) in self._checked:
            return
        found = self._listed(name, severity)
        here = {relative for relative, _ in self._chosen(found)}
        if here != set(self.paths):
            missing = sorted(set(self.paths) - here)
            which = f"lacks {missing[0]}" if missing else f"also holds {min(here - set(self.paths))}"
            raise DataError(
                f"ImageNet-C: {found.root} {which}, unlike {self._first}; every corruption and severity must "
                "show the same pictures: unpack it again"
            )
        self._checked.add((name, severity))

    def _listed(self, name: str, severity: int) -> ClassFolders:
        return class_folders(self._folders[name] / str(severity), "ImageNet-C")

    def _chosen(self, found: ClassFolders) -> Iterator[tuple[str, int]]:
        """Relative path and network's class of the pictures that it knows, of all classes in turn."""
        seen: dict[int, int] = {}
        chosen = []
        for path, label in zip(found.paths, found.labels, strict=True):
            if label in self._places:
                seen[label] = turn = seen.get(label, -1) + 1
                chosen.append((turn, path.relative_to(found.root).as_posix(), self._places[label]))
        return ((relative, label) for _, relative, label in sorted(chosen, key=lambda each: each[0]))
