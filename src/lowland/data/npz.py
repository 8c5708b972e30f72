"""Arrays in an .npz file: images and labels of the training, validation and test part, under any usual names."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from lowland.core.errors import DataError
from lowland.data.arrays import channels_first
from lowland.data.fitting import SMALLEST_SIDE
from lowland.data.images import ArrayImages, Source, UInt8
from lowland.data.naming import Role, in_order, is_number, order_note, role, twins_note

Kind = Literal["images", "labels"]
Part = Role | Literal["all"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("x", "image", "images", "img", "imgs", "data"), "images"),
    **dict.fromkeys(("y", "label", "labels", "target", "targets"), "labels"),
}
_LABELS_OF = {"x": "y", "image": "label", "images": "labels", "img": "label", "imgs": "labels", "data": "labels"}
_IMAGES_OF = {"y": "x", "label": "image", "labels": "images", "target": "data", "targets": "data"}
_NEEDED = "x_train, y_train, x_test, y_test"


def open_npz(path: Path) -> Source:
    """Open an .npz file of x_train, y_train and perhaps x_test, y_test and x_val, y_val; or of images, labels.

    Other usual names are known too, such as MedMNIST's train_images and train_labels. Images are (N, H, W),
    (N, H, W, C) or (N, C, H, W) with C = 1 or 3 and sides of at least 4, uint8 or floats in [0, 1]. Labels are (N,) or
    (N, 1), integers or strings; classes are their values in the training part, in order. Labels that are numbers in one
    part and text in another match by number.

    Returns:
        The data set; its `notes` name arrays that are not used.

    Raises:
        DataError: If the file is damaged, a key is missing or could mean two things, or an array has the wrong shape,
            type or length.
    """
    return _source(path, str(path), *_read(path))


def open_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], where: str) -> Source:
    """Arrays as `open_npz` will find them once they are saved at `path`; errors begin with `where`."""
    keys, unused = _keys(where, list(arrays))
    return _source(path, where, keys, arrays, unused)


def _source(
    path: Path, where: str, keys: dict[Part, dict[Kind, str]], arrays: Mapping[str, NDArray[Any]], unused: list[str]
) -> Source:
    if "all" in keys:
        keys["train"] = keys.pop("all")
    pairs: dict[Role, tuple[str, str]] = {
        part: _pair(where, keys[part]) for part in ("train", "val", "test") if part in keys
    }
    if "train" not in pairs:
        only = ", ".join(key for pair in pairs.values() for key in pair)
        raise DataError(f"{where} holds {only}, but no training images; add x_train and y_train")
    images = {part: images_of(where, pair[0], arrays[pair[0]]) for part, pair in pairs.items()}
    labels = _comparable(where, {pair[1]: _labels(where, pair[1], arrays[pair[1]]) for pair in pairs.values()})
    train_images, train_labels = pairs["train"]
    values = np.unique(labels[train_labels])
    classes = in_order((str(value) for value in values.tolist()), where)
    if len(classes) < 2:
        raise DataError(f"{where}: array {train_labels} holds a single class; at least 2 classes are needed")
    index = {name: place for place, name in enumerate(classes)}
    found: dict[Role, ArrayImages] = {}
    for part, (images_key, labels_key) in pairs.items():
        names = [str(value) for value in labels[labels_key].tolist()]
        if len(images[part]) != len(names):
            raise DataError(
                f"{where}: {images_key} has {len(images[part])} images but {labels_key} has {len(names)} labels; each "
                f"image needs one label: save them again together"
            )
        if images[part].shape[1] != images["train"].shape[1]:
            raise DataError(
                f"{where}: array {train_images} has {images['train'].shape[1]} channel(s) and {images_key} has "
                f"{images[part].shape[1]}; both must have the same"
            )
        unknown = sorted({*labels[labels_key].tolist()} - {*values.tolist()})
        if unknown:
            raise DataError(
                f"{where}: label {unknown[0]!r} is in {labels_key} but not in {train_labels}; every class must "
                f"be in both"
            )
        found[part] = ArrayImages(images[part], np.array([index[name] for name in names], dtype=np.int64))
    taken: dict[Role, str] = {"val": "search", "test": "test"} if "test" in found else {"val": "test"}
    return Source(
        name=path.stem,
        train=found["train"],
        test=found.get("test") or found.get("val"),
        search=found.get("val") if "test" in found else None,
        classes=classes,
        flip=True,
        origin=f"arrays of {path}",
        found=(*(f"{taken[part]} from {pairs[part][0]}" for part in found if part in taken), *order_note(classes)),
        notes=(*((f"{where}: not used: {', '.join(unused)}",) if unused else ()), *twins_note(classes)),
    )


def _meaning(key: str) -> tuple[Part, Kind] | None:
    """Which part an array belongs to, and as what: `train_images` and `X_train` are training images."""
    tokens = [token for token in re.split(r"[_.\- ]", key.lower()) if token]
    joined = re.fullmatch(r"([xy])(\w{3,})", key.lower())
    if len(tokens) == 1 and joined and role(joined[2]):
        tokens = [joined[1], joined[2]]
    kinds = [_KINDS[token] for token in tokens if token in _KINDS]
    roles = [part for token in tokens if token not in _KINDS and (part := role(token))]
    if len(kinds) != 1 or len(kinds) + len(roles) != len(tokens) or len(roles) > 1:
        return None
    return (roles[0] if roles else "all"), kinds[0]


def _read(path: Path) -> tuple[dict[Part, dict[Kind, str]], dict[str, NDArray[Any]], list[str]]:
    """The key of every part's images and labels, the arrays by key, and the keys without a meaning."""
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise DataError(f"{path} is a single array; save {_NEEDED} together with np.savez")
        with archive:
            keys, unused = _keys(str(path), archive.files)
            arrays = {key: archive[key] for part in keys.values() for key in part.values()}
    except MemoryError as error:
        raise DataError(
            f"the arrays of {path} do not fit in this machine's memory, or their headers are damaged; save fewer or "
            f"smaller images"
        ) from error
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read as an .npz file of plain arrays ({' '.join(str(error).split())}); "
            f"write it with np.savez, without object arrays"
        ) from error
    return keys, arrays, unused


def _keys(where: str, names: list[str]) -> tuple[dict[Part, dict[Kind, str]], list[str]]:
    """The key of every part's images and labels, and the keys without a meaning."""
    keys: dict[Part, dict[Kind, str]] = {}
    for key in names:
        if (meaning := _meaning(key)) is not None:
            other = keys.setdefault(meaning[0], {}).setdefault(meaning[1], key)
            if other != key:
                raise DataError(f"{where}: {other} and {key} could both be the same {meaning[1]}; remove one")
    used = [key for part in keys.values() for key in part.values()]
    if "all" in keys and len(keys) > 1:
        rest = ", ".join(key for key in used if key not in keys["all"].values())
        raise DataError(
            f"{where}: {', '.join(keys['all'].values())} and {rest} could both be the training arrays; remove "
            f"or rename one"
        )
    if not keys:
        held = ", ".join(names) or "nothing"
        raise DataError(f"{where} holds {held}, but {_NEEDED} (or images, labels) are needed; rename its arrays")
    return keys, [key for key in names if key not in used]


def _pair(where: str, keys: Mapping[Kind, str]) -> tuple[str, str]:
    """The keys of images and labels, both of which must be there."""
    if len(keys) == 2:
        return keys["images"], keys["labels"]
    ((kind, there),) = keys.items()
    words = _LABELS_OF if kind == "images" else _IMAGES_OF
    absent = re.sub(r"[A-Za-z]+", lambda word: words.get(word[0].lower(), word[0]), there)
    if absent == there:
        absent = words[there[0].lower()] + there[1:]
    pair = (there, absent) if kind == "images" else (absent, there)
    raise DataError(f"{where} lacks the array {absent!r}; {pair[0]} and {pair[1]} are needed together")


def _labels(where: str, key: str, labels: NDArray[Any]) -> NDArray[Any]:
    """Labels as (N,), integers or strings."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        advice = ""
        if labels.ndim == 2:
            advice = f"; if each row marks one class, save {key}.argmax(1)"
        elif labels.dtype.kind == "f":
            advice = f"; if they are whole, save {key}.astype(int)"
        raise DataError(
            f"{where}: array {key} must hold one integer or string per image, not {labels.dtype} of shape "
            f"{labels.shape}{advice}"
        )
    return labels


def _comparable(where: str, labels: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The labels of all parts, all integers or all strings; text that is numbers matches numbers."""
    kinds = {key: array.dtype.kind == "U" for key, array in labels.items()}
    if len(set(kinds.values())) == 1:
        return dict(labels)
    text = next(key for key, is_text in kinds.items() if is_text)
    numbers = next(key for key, is_text in kinds.items() if not is_text)
    made: dict[str, NDArray[Any]] = {}
    for key, array in labels.items():
        if not kinds[key]:
            made[key] = array
            continue
        names = np.unique(array).tolist()
        if not all(map(is_number, names)):
            raise DataError(
                f"{where}: array {text} holds names and {numbers} numbers, so that nothing says which is which; save "
                f"both as names"
            )
        in_order(names, where)  # refuses 1 beside 01
        made[key] = array.astype(np.int64)
    return made


def images_of(where: str, key: str, array: NDArray[Any]) -> UInt8:
    """Images as uint8 (N, C, H, W)."""
    try:
        images = channels_first(array)
    except ValueError as error:
        raise DataError(
            f"{where}: array {key} has {error}, but (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3 and "
            f"sides of at least {SMALLEST_SIDE} is needed"
        ) from error
    if images.dtype == np.uint8:
        return cast(UInt8, images)
    if images.dtype.kind != "f":
        raise DataError(f"{where}: array {key} is {images.dtype}, but uint8, or floats from 0 to 1, are needed")
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 0.0)
    if not (low >= 0 and high <= 1):
        raise DataError(
            f"{where}: the floats of {key} go from {low:g} to {high:g}, but must go from 0 to 1; "
            f"scale them, or save uint8"
        )
    levels: UInt8 = np.rint(images * 255).astype(np.uint8)
    return levels
