"""COCO's annotations: pictures, categories and boxes, checked as they are read.

Boxes are x, y, width, height in the file, in pixels from the upper left corner; here they are x₁, y₁, x₂, y₂. Official
COCO numbers its 80 categories from 1 to 90, with holes: labels here are 1 … K in the order of these numbers.

Array names: B boxes of a picture.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lowland.core.errors import DataError
from lowland.data.detection.layout import Part, parts
from lowland.data.images import collect_faults, parallel
from lowland.data.pictures import decoded, eight_bits

TOLERANCE = 1.0
"""Pixels by which a box may reach beyond its picture unnoticed: files round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One picture and the boxes on it, as annotated.

    Attributes:
        id: Its number in the file.
        path: Its file.
        width: Pixels.
        height: Pixels.
        boxes_B4: x₁, y₁, x₂, y₂, float32.
        labels_B: 1 … K, int64.
        areas_B: Of the objects, as annotated, or of the boxes; square pixels.
        crowd_B: Whether a box surrounds a crowd rather than one object.
    """

    id: int
    path: Path
    width: int
    height: int
    boxes_B4: NDArray[np.float32]
    labels_B: NDArray[np.int64]
    areas_B: NDArray[np.float64]
    crowd_B: NDArray[np.bool_]

    @property
    def learnt(self) -> NDArray[np.bool_]:
        """Which boxes training may use: no crowds, and none without an area."""
        sides = self.boxes_B4[:, 2:] - self.boxes_B4[:, :2]
        found: NDArray[np.bool_] = ~self.crowd_B & (sides > 0).all(axis=1)
        return found

    def pixels(self) -> NDArray[np.uint8]:
        """The picture, RGB (3, H, W); DataError where it cannot be decoded or has another size than annotated."""
        found = decoded(self.path, lambda picture: np.asarray(eight_bits(picture, "RGB")).transpose(2, 0, 1))
        if found.shape[1:] != (self.height, self.width):
            raise DataError(_other_size(self, found.shape[2], found.shape[1]))
        return found


@dataclass(frozen=True, kw_only=True)
class CocoPart:
    """Pictures of a part, in the order of their numbers.

    Attributes:
        file: The annotations.
        pictures: All of them, with and without boxes.
        beyond: Boxes that reach beyond their pictures.
        empty: Boxes without an area.
    """

    file: Path
    pictures: tuple[Picture, ...]
    beyond: int
    empty: int

    @property
    def boxes(self) -> int:
        """Number of boxes."""
        return sum(len(picture.labels_B) for picture in self.pictures)


@dataclass(frozen=True, kw_only=True)
class CocoSet:
    """A data set for detection.

    Attributes:
        root: Its folder.
        train: To learn from.
        val: To judge by.
        categories: Number in the files and name of each class, by label − 1.
        fingerprint: SHA-256 of both annotation files, and of names and lengths of all pictures.
    """

    root: Path
    train: CocoPart
    val: CocoPart
    categories: tuple[tuple[int, str], ...]
    fingerprint: str

    @property
    def learnt(self) -> tuple[Picture, ...]:
        """Training pictures that have a box to learn from."""
        return tuple(picture for picture in self.train.pictures if picture.learnt.any())

    @property
    def text(self) -> str:
        """What it is, in words."""
        return (
            f"{self.root.name}: {len(self.learnt):,} training pictures with {self.train.boxes:,} boxes, "
            f"{len(self.val.pictures):,} validation pictures with {self.val.boxes:,}, {len(self.categories)} classes"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out or changed, one line each."""
        found = []
        without = len(self.train.pictures) - len(self.learnt)
        if without:
            found.append(f"left out of training: {_counted(without, 'picture')} without a box to learn from")
        crowds = sum(int(picture.crowd_B.sum()) for picture in self.train.pictures)
        if crowds:
            found.append(f"left out of training: {_counted(crowds, 'box')} of crowds")
        if self.train.empty:
            found.append(f"left out of training: {_counted(self.train.empty, 'box')} without an area")
        if self.val.empty:
            found.append(f"impossible to find: {_counted(self.val.empty, 'validation box')} without an area")
        if self.train.beyond:
            found.append(f"cut at the edge of the picture: {_counted(self.train.beyond, 'training box')}")
        if self.val.beyond:
            found.append(f"judged as given: {_counted(self.val.beyond, 'validation box')} beyond the picture's edge")
        return tuple(found)


def load(root: Path) -> CocoSet:
    """Read a data set in COCO's layout, and look at every picture's header.

    Args:
        root: As `layout.parts` takes it.

    Returns:
        The data set. The same object where nothing has changed since it was last read.

    Raises:
        DataError: the layout, a file, an annotation or a picture is at fault; the first is named, others are counted.
    """
    root = root.expanduser().absolute()
    train, val = parts(root)
    marks = tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in (train.file, val.file))
    return _load(root, train, val, marks)


@lru_cache(maxsize=2)
def _load(root: Path, train: Part, val: Part, marks: tuple[tuple[Path, int, int], ...]) -> CocoSet:
    del marks  # of other files the answer is another
    digest = hashlib.sha256()
    values = []
    for part in (train, val):
        try:
            content = part.file.read_bytes()
        except OSError as error:
            raise DataError(f"{part.file} cannot be read ({error.strerror}); change its permissions") from error
        digest.update(hashlib.sha256(content).digest())
        values.append(_checked(part.file, content))
    categories = [_categories(part.file, found) for part, found in zip((train, val), values, strict=True)]
    _require_same(train.file, val.file, *categories)
    read = [_read(part, found, categories[0]) for part, found in zip((train, val), values, strict=True)]
    if not any(picture.learnt.any() for picture in read[0].pictures):
        raise DataError(f"{train.file} has no box to learn from: all are crowds or without an area; annotate objects")
    for picture in (picture for part in read for picture in part.pictures):
        digest.update(f"{picture.path.name}\0{picture.path.stat().st_size}\0".encode("utf-8", "surrogateescape"))
    ordered = tuple(sorted(categories[0].items()))
    return CocoSet(root=root, train=read[0], val=read[1], categories=ordered, fingerprint=digest.hexdigest())


def _checked(file: Path, content: bytes) -> dict[str, Any]:
    """The three lists of an annotation file."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is no JSON ({error}); put back a good copy") from error
    for key in ("images", "annotations", "categories"):
        listed = found.get(key) if isinstance(found, dict) else None
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise DataError(f"{file} is no COCO annotation file: it has no list of objects {key!r}")
        if not listed:
            raise DataError(f"{file} is empty: it has no {key}; annotate pictures, or give another folder")
    return found  # type: ignore[no-any-return]


def _categories(file: Path, found: Mapping[str, Any]) -> dict[int, str]:
    categories: dict[int, str] = {}
    for each in found["categories"]:
        number, name = each.get("id"), each.get("name")
        if not _whole(number) or not isinstance(name, str):
            raise DataError(f"{file} has a category without a whole number as id and a name: {json.dumps(each)[:80]}")
        if number in categories:
            raise DataError(f"{file} has two categories of id {number}: {categories[number]} and {name}")
        categories[number] = name
    return categories


def _require_same(train: Path, val: Path, first: Mapping[int, str], second: Mapping[int, str]) -> None:
    if first == second:
        return
    number = min(key for key in {*first, *second} if first.get(key) != second.get(key))
    names = [repr(each[number]) if number in each else "none" for each in (first, second)]
    raise DataError(
        f"{train.name} and {val.name} have different categories: id {number} is {names[0]} in the one and {names[1]} "
        "in the other; give both files the same list"
    )


def _read(part: Part, found: Mapping[str, Any], categories: Mapping[int, str]) -> CocoPart:
    images = _images(part, found["images"])
    labels = {number: place + 1 for place, number in enumerate(sorted(categories))}
    boxes: dict[int, list[tuple[tuple[float, ...], int, float, bool]]] = {number: [] for number in images}
    faults: list[DataError | None] = []
    outside: list[str] = []
    beyond = empty = 0
    for each in found["annotations"]:
        fault = _fault(part.file, each, images, labels)
        if fault is not None:
            faults.append(fault)
            continue
        name, width, height = images[each["image_id"]]
        x, y, w, h = map(float, each["bbox"])
        if x >= width or y >= height or x + w <= 0 or y + h <= 0:
            outside.append(f"annotation {each.get('id')} of {name} ({width}×{height}) is {each['bbox']}")
        beyond += max(-x, -y, x + w - width, y + h - height) > TOLERANCE
        empty += w <= 0 or h <= 0
        area = float(each["area"]) if _finite(each.get("area")) else w * h
        boxes[each["image_id"]].append(
            ((x, y, x + w, y + h), labels[each["category_id"]], area, bool(each.get("iscrowd", 0)))
        )
    collect_faults(faults)
    if outside:
        others = f" (and {len(outside) - 1} more like it)" if len(outside) > 1 else ""
        raise DataError(
            f"{part.file} has a box wholly outside its picture: {outside[0]}{others}; boxes are x, y, width, height in "
            "pixels of the picture: correct it or remove it"
        )
    pictures = [_picture(part.folder, number, *images[number], boxes[number]) for number in sorted(images)]
    collect_faults(parallel(lambda place: _look(pictures[place]), range(len(pictures))))
    return CocoPart(file=part.file, pictures=tuple(pictures), beyond=beyond, empty=empty)


def _images(part: Part, listed: list[dict[str, Any]]) -> dict[int, tuple[str, int, int]]:
    """File name, width and height of every picture by its number."""
    found: dict[int, tuple[str, int, int]] = {}
    for each in listed:
        values: list[Any] = [each.get(key) for key in ("id", "file_name", "width", "height")]
        number, name, width, height = values
        if not (_whole(number) and isinstance(name, str) and _whole(width) and _whole(height)):
            raise DataError(
                f"{part.file} has a picture without id, file_name, width and height: {json.dumps(each)[:120]}"
            )
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise DataError(f"{part.file} names a picture outside of {part.folder}: {name!r}; give a name within it")
        if number in found:
            raise DataError(f"{part.file} has two pictures of id {number}: {found[number][0]} and {name}")
        found[number] = (name, width, height)
    return found


def _fault(
    file: Path, each: Mapping[str, Any], images: Mapping[int, Any], labels: Mapping[int, Any]
) -> DataError | None:
    """What is wrong with an annotation, in a sentence."""
    called = f"annotation {each.get('id')} of {file}"
    if each.get("image_id") not in images:
        return DataError(f"{called} belongs to picture {each.get('image_id')}, which the file does not list")
    if each.get("category_id") not in labels:
        return DataError(f"{called} has category {each.get('category_id')}, which the file does not list")
    box = each.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_finite, box)):
        return DataError(f"{called} has no bbox of four numbers (x, y, width, height) but {json.dumps(box)[:80]}")
    return None


def _picture(
    folder: Path,
    number: int,
    name: str,
    width: int,
    height: int,
    boxes: list[tuple[tuple[float, ...], int, float, bool]],
) -> Picture:
    return Picture(
        id=number,
        path=folder / name,
        width=width,
        height=height,
        boxes_B4=np.array([box for box, *_ in boxes], dtype=np.float32).reshape(-1, 4),
        labels_B=np.array([label for _, label, *_ in boxes], dtype=np.int64),
        areas_B=np.array([area for *_, area, _ in boxes], dtype=np.float64),
        crowd_B=np.array([crowd for *_, crowd in boxes], dtype=np.bool_),
    )


def _look(picture: Picture) -> DataError | None:
    """Whether a picture is there, can be opened, and has the size it is annotated with."""
    try:
        with Image.open(picture.path) as opened:
            width, height = opened.size
            turned = opened.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # EXIF orientations on the side
            if turned:
                width, height = height, width
            whole = opened.format != "JPEG" or _ends(picture.path)
        if not whole:
            picture.pixels()
    except FileNotFoundError:
        return DataError(f"picture {picture.path} is missing; put it there, or take it out of the annotations")
    except DataError as error:
        return error
    except Exception as error:  # Pillow's decoders raise errors of almost any type for damaged files
        reason = " ".join(str(error).split()).rstrip(".")[:150]
        return DataError(f"picture {picture.path} cannot be read ({reason}); replace it by an intact copy")
    if (width, height) != (picture.width, picture.height):
        return DataError(_other_size(picture, width, height))
    return None


def _ends(path: Path) -> bool:
    """Whether a JPEG's last bytes are its end mark; others are decoded to know whether they are whole."""
    with path.open("rb") as stream:
        stream.seek(-min(2, path.stat().st_size), 2)
        return stream.read() == b"\xff\xd9"


def _other_size(picture: Picture, width: int, height: int) -> str:
    return (
        f"picture {picture.path} is {width}×{height}, but its annotations are of {picture.width}×{picture.height}; put "
        "back the picture that was annotated"
    )


def _counted(count: int, noun: str) -> str:
    """`1 picture`, `2 boxes`."""
    ending = "" if count == 1 else "es" if noun.endswith("x") else "s"
    return f"{count:,} {noun}{ending}"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
