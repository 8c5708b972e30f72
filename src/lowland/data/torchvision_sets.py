"""torchvision's data sets, read as the table in `known` says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lowland.core.errors import DataError
from lowland.data.arrays import channels_first
from lowland.data.images import ArrayImages, Images, Source
from lowland.data.known import SETS, TorchvisionSet
from lowland.data.listing import unpack_first
from lowland.data.pictures import FileImages
from lowland.data.selection import Indices


def open_torchvision(name: str, root: Path | None, *, download: bool) -> Source:
    """Open the data set `name` of `SETS`, read by torchvision from `root`.

    CIFAR-10 and CIFAR-100 are pickle files, which torchvision itself reads; it does so only after their MD5 sums have
    proved to be the published ones. lowland reads no pickle.

    Returns:
        Its training and test images.

    Raises:
        DataError: If `root` is not given, or the data set is not in it and must not or cannot be downloaded.
    """
    entry = SETS[name]
    if root is None:
        raise DataError(
            f"data set {name!r} does not come with lowland; pass --data-root with the folder that holds torchvision's "
            f"copy, and --download as well to fetch it into that folder"
        )
    root = root.expanduser()
    if root.is_file():
        raise DataError(unpack_first(root) or f"--data-root {root} is a file; give the folder that it lies in")
    train, class_names = _parts(name, entry, entry.train, root, download)
    test = _parts(name, entry, entry.test, root, download)[0] if entry.test else None
    classes = entry.classes or class_names or tuple(str(label) for label in range(int(train.labels_N.max()) + 1))
    return Source(
        name=name, train=train, test=test, classes=classes, flip=entry.flip, origin=entry.origin, published=True
    )


def _parts(
    name: str, entry: TorchvisionSet, parts: tuple[Mapping[str, Any], ...], root: Path, download: bool
) -> tuple[Images, tuple[str, ...]]:
    """The images of all `parts` together, and the class names the reader knows."""
    from torchvision import datasets

    try:
        readers = [getattr(datasets, entry.reader)(root=str(root), download=download, **part) for part in parts]
    except (OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
        reason = " ".join(str(error).split()).partition(". You can use")[0].rstrip(".")
        advice = (
            "check the connection and the folder's permissions, or fetch it by hand"
            if download
            else "correct --data-root, or pass --download to fetch it"
        )
        failure = "could not be fetched into" if download else "is missing from, or damaged in,"
        raise DataError(f"data set {name!r} {failure} {root} ({reason}); {advice}") from error
    held = [getattr(reader, entry.images) for reader in readers]
    if entry.labels is None:
        labels = _int64([label for pairs in held for _, label in pairs])
        held = [[path for path, _ in pairs] for pairs in held]
    else:
        labels = np.concatenate([_int64(getattr(reader, entry.labels)) for reader in readers])
    classes = tuple(item if isinstance(item, str) else item[0] for item in getattr(readers[0], "classes", ()))
    if entry.images == "data":
        array = np.concatenate([channels_first(np.asarray(part)) for part in held])
        return ArrayImages(array, labels), classes
    return FileImages([Path(path) for part in held for path in part], labels, root), classes


def _int64(labels: Any) -> Indices:
    return np.asarray(labels).astype(np.int64)
