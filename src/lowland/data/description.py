"""What was found: one line about a data set, and what is unwise about it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from torch import Tensor

from lowland.data.fitting import MOST, Fit, kept
from lowland.data.images import Look, Source
from lowland.data.selection import Indices
from lowland.data.splits import DataSet

FEW = 100
"""Test images; with fewer, an accuracy is uncertain by 10 points or more (95 %, at an accuracy of a half)."""
IMBALANCE = 10
CUT = 0.1
"""Share of pictures that lose most of themselves from which on a crop is unwise."""
FLAT = 2
DIM = 64

Part = Literal["train", "search", "test"]


def describe(data: DataSet) -> str:
    """Describe a data set in one line.

    Such as "12 classes; 192 / 48 / 120 train / search / test; test from test/; 8×8 colour, PNG; class sizes 10–20".
    The sizes are those of the training and search images together.

    Returns:
        Classes, images of each split, where the test comes from, what the pictures are, sizes of the classes.
    """
    sizes = data.train.labels_N.bincount(minlength=data.num_classes).cpu()
    sizes = sizes + data.search.labels_N.bincount(minlength=data.num_classes).cpu()
    low, high = int(sizes.min()), int(sizes.max())
    counts = " / ".join(f"{len(split):,}" for split in (data.train, data.search, data.test))
    return "; ".join(
        (
            f"{data.num_classes:,} classes",
            f"{counts} train / search / test",
            *data.found,
            f"class sizes {low:,}–{high:,}" if low < high else f"class sizes {low:,}",
        )
    )


class Contents:
    """What the decoded images of the splits tell, looked at while they are in hand: nothing is read twice.

    Kept are 8 bytes an image. Two images of the same pixels are taken to be the same.
    """

    def __init__(self) -> None:
        self._labels: dict[Part, Indices] = {}
        self._hashes: dict[Part, list[bytes]] = {}
        self._flat = 0
        self._top = 0
        self._same = ""

    def look(self, part: Part, images_NCHW: Tensor, labels_N: Indices) -> None:
        """Take in the uint8 images of one split, on the CPU."""
        rows = images_NCHW.numpy().reshape(len(images_NCHW), -1)
        self._labels[part] = labels_N
        self._same = f"same pixels at {images_NCHW.shape[3]}×{images_NCHW.shape[2]}"
        self._hashes[part] = [hashlib.blake2b(row.data, digest_size=8).digest() for row in rows]
        top_N = rows.max(1)
        self._flat += int((top_N - rows.min(1) <= FLAT).sum())
        self._top = max(self._top, int(top_N.max()))

    @property
    def looked(self) -> bool:
        """Whether any images were taken in."""
        return bool(self._hashes)

    @property
    def repeated(self) -> int:
        """Test images that are training or search images too."""
        known = {*self._hashes.get("train", ()), *self._hashes.get("search", ())}
        return sum(key in known for key in self._hashes.get("test", ()))

    def doubts(self) -> list[str]:
        """What is unwise about the images, one sentence each."""
        if not self.looked:
            return []
        doubts = []
        if self.repeated:
            doubts.append(
                f"{_count(self.repeated, 'test picture')} of {len(self._hashes['test']):,} "
                f"{'is' if self.repeated == 1 else 'are'} also among the training or search pictures ({self._same}): "
                f"the accuracy will be too high; remove one of each two"
            )
        classes_of: dict[bytes, set[int]] = {}
        for part, keys in self._hashes.items():
            for key, label in zip(keys, self._labels[part].tolist(), strict=True):
                classes_of.setdefault(key, set()).add(label)
        torn = sum(len(classes) > 1 for classes in classes_of.values())
        if torn:
            doubts.append(
                f"{_count(torn, 'picture')} ({self._same}) {'is' if torn == 1 else 'are'} in more than one class; keep "
                f"{'it' if torn == 1 else 'each'} in one"
            )
        if self._flat:
            doubts.append(
                f"{_count(self._flat, 'picture')} {'is' if self._flat == 1 else 'are'} of one level throughout (within "
                f"{FLAT} of 255): empty or damaged?"
            )
        if self._top < DIM:
            doubts.append(
                f"no picture is brighter than level {self._top} of 255; if their levels have another range, scale them"
            )
        return doubts


def findings(
    source: Source, looks: Sequence[Look], how: Fit, size: int, test_fraction: float, contents: Contents
) -> tuple[str, ...]:
    """What was chosen and seen, a few words each, for `describe`."""
    found = list(source.found)
    if not any(words.startswith("test from ") for words in found):
        own = source.test is not None
        found.append("test images its own" if own else f"test cut from the training images ({test_fraction:.0%})")
    colour = "grey" if all(look.channels == 1 for look in looks) else "colour"
    kinds = dict.fromkeys(kind for look in looks for kind in look.kinds)
    kind = f"{size}×{size} {colour}, {', '.join(kinds)}"
    if any((look.widths_N != look.heights_N).any() for look in looks):
        verbs: Mapping[Fit, str] = {
            "crop": "centre cut out of",
            "squash": "squashed from",
            "pad": "padded from",
            "opencv": "centre cut out of",
        }
        kind += f", {verbs[how]} oblong pictures (data.fit={how})"
    found.append(kind)
    if not contents.looked:
        found.append("streamed, so repeated pictures are not looked for")
    elif contents.repeated:
        found.append(f"{_count(contents.repeated, 'test picture')} also in train or search")
    return tuple(found)


def doubts(
    source: Source,
    looks: Sequence[Look],
    how: Fit,
    labels: Mapping[Part, Indices],
    contents: Contents,
) -> tuple[str, ...]:
    """Say what was left out and what is unwise; of published sets, whose images are as they are, less.

    Args:
        source: The data set as found.
        looks: At its training images, and at those set apart from them.
        how: How they are fitted.
        labels: Class indices of each split.
        contents: The images looked at; none where they are streamed.

    Returns:
        One sentence each.
    """
    said = list(source.notes)
    several = sum(look.several for look in looks)
    if several:
        said.append(
            f"{_count(several, 'file')} hold{'s' if several == 1 else ''} several pages or frames, of which "
            f"only the first is used; save the others as files of their own if they are pictures of the class"
        )
    shares = [float((kept(look.widths_N, look.heights_N) < MOST).mean()) for look in looks]
    if how == "crop" and max(shares) >= CUT:
        which = "pictures" if shares[0] == max(shares) else "test pictures"
        said.append(
            f"of {max(shares):.0%} of the {which} most is cut away to make them square; data.fit=squash or pad keeps "
            f"all of them"
        )
    tests = len(labels["test"])
    if tests < FEW:
        said.append(
            f"only {_count(tests, 'test picture')}: an accuracy measured on them is uncertain by up to "
            f"±{98 / np.sqrt(tests):.0f} points (95 %)"
        )
    sizes = np.bincount(np.concatenate([labels["train"], labels["search"]]), minlength=len(source.classes))
    least, most = int(sizes.argmin()), int(sizes.argmax())
    if sizes[most] > IMBALANCE * sizes[least]:
        said.append(
            f"class {source.classes[most]!r} has {sizes[most]:,} training pictures and {source.classes[least]!r} only "
            f"{sizes[least]:,}: accuracy will say little about the small classes"
        )
    return (*said, *(() if source.published else contents.doubts()))


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
