"""A data set for segmentation: every mask is read and checked before anything is learnt.

Array names: H height, W width, K classes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lowland.core.errors import DataError
from lowland.data.images import collect_faults, parallel
from lowland.data.pictures import decoded, eight_bits
from lowland.data.segmentation.classes import IGNORED, UNKNOWN, Labels
from lowland.data.segmentation.layout import TITLES, Name, Pair, find

ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
"""Last bytes of whole files."""


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """Pictures of which every pixel has a label.

    Attributes:
        name: Which data set.
        root: Its folder.
        train: To learn from.
        val: To judge by.
        test: To judge by once, at the end; may be empty.
        labels: What the masks' numbers mean.
        notes: What a reader must know, one sentence each.
        fingerprint: SHA-256 of the data set's name, of the masks, and of names and lengths of the pictures of `train`
            and `val`: of all that may decide a training.
        test_fingerprint: The same of `test`; empty where there is none.
    """

    name: Name
    root: Path
    train: tuple[Pair, ...]
    val: tuple[Pair, ...]
    test: tuple[Pair, ...]
    labels: Labels
    notes: tuple[str, ...]
    fingerprint: str
    test_fingerprint: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Names by label, 0 … K − 1."""
        return self.labels.classes

    @property
    def text(self) -> str:
        """What it is, in words."""
        train, val, test = (f"{len(part):,}" for part in (self.train, self.val, self.test))
        parts = (
            f"{train} training, {val} validation and {test} test"
            if self.test
            else f"{train} training and {val} validation"
        )
        return f"{TITLES[self.name]}: {parts} pictures, {len(self.classes)} classes"

    def read(self, pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A picture, RGB (3, H, W), and its labels (H, W), 0 … K − 1 or `IGNORED`; DataError where there is a fault."""
        picture = decoded(pair.picture, lambda each: np.asarray(eight_bits(each, "RGB")).transpose(2, 0, 1))
        labels_HW = read_labels(pair.mask, self.labels)
        if picture.shape[1:] != labels_HW.shape:
            raise DataError(_other_size(pair, picture.shape[2], picture.shape[1], labels_HW.shape))
        return picture, labels_HW


def load(name: Name, root: Path) -> Scenes:
    """Find a data set, read all of its masks, and look at every picture's header.

    Args:
        name: Which data set.
        root: As `layout.find` takes it.

    Returns:
        The data set. The same object where no file has changed since it was last read.

    Raises:
        DataError: the layout, a mask or a picture is at fault; the first is named, others are counted.
    """
    root = root.expanduser().absolute()
    found = find(name, root)
    marks = hashlib.sha256()
    for pair in (*found.train, *found.val, *found.test):
        for path in (pair.picture, pair.mask):
            known = path.stat()
            marks.update(os.fsencode(path) + b"\0%d %d\0" % (known.st_size, known.st_mtime_ns))
    return _load(name, root, marks.digest())


@lru_cache(maxsize=2)
def _load(name: Name, root: Path, marks: bytes) -> Scenes:
    del marks  # of other files the answer is another
    found = find(name, root)
    parts = {"train": found.train, "val": found.val, "test": found.test}
    pairs = tuple(pair for part in parts.values() for pair in part)
    digests: list[bytes] = [b""] * len(pairs)
    counted = np.zeros(len(pairs), dtype=bool)

    def check(place: int) -> DataError | None:
        pair = pairs[place]
        try:
            content = pair.mask.read_bytes()
            labels_HW = read_labels(pair.mask, found.labels)
            _look(pair, labels_HW.shape)
        except DataError as error:
            return error
        except OSError as error:
            return DataError(f"mask {pair.mask} cannot be read ({error.strerror}); change its permissions")
        digests[place] = hashlib.sha256(content).digest()
        counted[place] = bool((labels_HW != IGNORED).any())
        return None

    collect_faults(parallel(check, range(len(pairs))))
    counts = dict(zip(pairs, counted.tolist(), strict=True))
    for part, members in parts.items():
        if members and not any(counts[pair] for pair in members):
            raise DataError(f"no pixel of the {part} masks of {root} counts: all are labelled as left out")
    of_mask = dict(zip(pairs, digests, strict=True))

    def fingerprint(members: tuple[Pair, ...]) -> str:
        digest = hashlib.sha256(name.encode() + b"\0")
        for pair in members:
            size = b"\0%d\0" % pair.picture.stat().st_size
            digest.update(os.fsencode(pair.picture.relative_to(root)) + size + of_mask[pair])
        return digest.hexdigest()

    notes = [f"masks: {found.masks}"] if found.masks else []
    bare = int((~counted).sum())
    if bare:
        notes.append(f"pictures without a pixel that counts: {bare:,}; they are kept, and change no figure")
    return Scenes(
        name=name,
        root=root,
        train=found.train,
        val=found.val,
        test=found.test,
        labels=found.labels,
        notes=tuple(notes),
        fingerprint=fingerprint((*found.train, *found.val)),
        test_fingerprint=fingerprint(found.test) if found.test else "",
    )


def read_labels(path: Path, labels: Labels) -> NDArray[np.uint8]:
    """The labels of a mask.

    Args:
        path: Its file: grey, or with a palette, whose places are the numbers.
        labels: What the numbers mean.

    Returns:
        (H, W), 0 … K − 1, and `IGNORED`.

    Raises:
        DataError: it cannot be decoded, has colours in place of numbers, or holds a number that means nothing.
    """

    def prepare(picture: Image.Image) -> NDArray[np.uint8]:
        if len(picture.getbands()) > 1:
            raise DataError(
                f"holds colours ({picture.mode}), not one number per pixel; give the masks whose pixels are labels"
            )
        numbers_HW = np.asarray(picture).astype(np.int64)
        known = labels.table
        found_HW = np.where((numbers_HW >= 0) & (numbers_HW < len(known)), known[numbers_HW.clip(0, 255)], UNKNOWN)
        if (found_HW == UNKNOWN).any():
            strange = sorted(set(numbers_HW[found_HW == UNKNOWN].tolist()))
            listed = ", ".join(map(str, strange[:5]))
            several = f"the labels {listed}, which mean" if len(strange) > 1 else f"the label {listed}, which means"
            raise DataError(f"holds {several} nothing; expected {labels.text}")
        result: NDArray[np.uint8] = found_HW.astype(np.uint8)
        return result

    return decoded(path, prepare, f"mask {path}")


def _look(pair: Pair, size: tuple[int, ...]) -> None:
    """Whether a picture can be opened, seems whole, and has the size of its mask."""
    try:
        with Image.open(pair.picture) as opened:
            width, height = opened.size
            turned = opened.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # EXIF orientations on the side
            end = ENDS.get(opened.format or "")
    except Exception as error:  # Pillow's decoders raise errors of almost any type for damaged files
        reason = " ".join(str(error).split()).rstrip(".")[:150]
        raise DataError(f"picture {pair.picture} cannot be read ({reason}); replace it by an intact copy") from error
    if turned:
        width, height = height, width
    if (height, width) != size:
        raise DataError(_other_size(pair, width, height, size))
    if end is not None and not _ends(pair.picture, end):
        raise DataError(f"picture {pair.picture} is cut short; replace it by an intact copy")


def _ends(path: Path, end: bytes) -> bool:
    with path.open("rb") as stream:
        stream.seek(-min(len(end), path.stat().st_size), os.SEEK_END)
        return stream.read() == end


def _other_size(pair: Pair, width: int, height: int, mask: tuple[int, ...]) -> str:
    return (
        f"picture {pair.picture} is {width}×{height}, but its mask {pair.mask.name} is {mask[1]}×{mask[0]}; a mask has "
        "a label for every pixel of its picture"
    )
