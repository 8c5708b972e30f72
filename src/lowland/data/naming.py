"""Names: what folders, arrays and labels of strangers are called, and which part or class they mean."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lowland.core.errors import DataError
from lowland.data.selection import Indices

Role = Literal["train", "val", "test"]

ROLES: dict[Role, tuple[str, ...]] = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
_ENDINGS = ("set", "split", "data", "images")
_NUMBER = re.compile(r"[+-]?[0-9]+")


def role(name: str) -> Role | None:
    """Which part of a data set a folder's or array's name means, in any case: `Test`, `training_set`, `valid`."""
    key = re.sub(r"[-_. ]", "", name.lower())
    stems = {key, *(key.removesuffix(ending) for ending in _ENDINGS)}
    return next((part for part, names in ROLES.items() if stems & set(names)), None)


def in_order(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Sort class names: as whole numbers if all are, else as text.

    Args:
        names: The class names.
        where: The folder or file they come from, with which an error begins.

    Returns:
        The names in the order of their labels.

    Raises:
        DataError: If two names are the same number, such as 1 and 01.
    """
    found = sorted(names)
    if not all(map(is_number, found)):
        return tuple(found)
    for first, second in zip(by_value := sorted(found, key=int), by_value[1:], strict=False):
        if int(first) == int(second):
            raise DataError(
                f"{where}: the classes {first!r} and {second!r} are the same number, so that a label "
                f"{int(first)} could be either; rename one"
            )
    return tuple(by_value)


def order_note(classes: Sequence[str]) -> tuple[str, ...]:
    """What to say where classes could as well be in another order: that 2 comes before 10, unlike in text."""
    if all(map(is_number, classes)) and list(classes) != sorted(classes):
        return (f"classes in the order of their numbers ({', '.join(classes[:3])}, …), not of their text",)
    return ()


def twins_note(classes: Sequence[str]) -> tuple[str, ...]:
    """The sentence about classes whose names differ in nothing that a person would mean, if there are any."""
    by_key: dict[str, list[str]] = {}
    for name in classes:
        by_key.setdefault(folded(name), []).append(name)
    twins = [names for names in by_key.values() if len(names) > 1]
    if not twins:
        return ()
    more = f" (and {len(twins) - 1:,} more such)" if len(twins) > 1 else ""
    return (
        f"classes {' and '.join(map(ascii, twins[0]))}{more} differ only in case, spaces or the way accents are "
        f"written, and are kept apart; if they are one, put them together",
    )


def folded(name: str) -> str:
    """A name without case, outer spaces, and the two ways to write an accent."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def is_number(name: str) -> bool:
    """Whether a class name is a whole number in decimal digits."""
    return _NUMBER.fullmatch(name) is not None


def matched(labels_N: NDArray[Any], classes: Sequence[str], where: str) -> Indices:
    """Match the labels in a file that belongs to a data set with these `classes`.

    Names match by name. Numbers match the classes' own numbers where all classes are called by numbers, else they are
    positions in the order of the classes. Where two readings are possible, none is chosen.

    Args:
        labels_N: Whole numbers or names.
        classes: Class names in the order of their indices.
        where: The file or array, with which errors begin.

    Returns:
        The class index, int64 (N,), of each label.

    Raises:
        DataError: If a label is of no class, or numbers could mean two things.
    """
    if labels_N.dtype.kind == "U":
        index = {name: place for place, name in enumerate(classes)}
        unknown = sorted(set(labels_N.tolist()) - set(index))
        if unknown:
            raise DataError(
                f"{where} holds the class {unknown[0]!r}, but the classes are {_some(classes)}; use the images of the "
                f"same data set"
            )
        return np.array([index[name] for name in labels_N.tolist()], dtype=np.int64)
    found = np.unique(labels_N)
    positions = range(len(classes))
    as_positions = set(found.tolist()) <= set(positions)
    if all(map(is_number, classes)):
        values = {int(name): place for place, name in enumerate(classes)}
        as_numbers = set(found.tolist()) <= set(values)
        if as_numbers and (not as_positions or list(values) == list(positions)):
            return np.array([values[value] for value in labels_N.tolist()], dtype=np.int64)
        if as_numbers or as_positions:
            raise DataError(
                f"{where} holds the numbers {found[0]} to {found[-1]}, but the classes are called {_some(classes)}: "
                f"these could be the classes' names or their positions from 0; write the names, as text, instead"
            )
    low, high = int(found[0]), int(found[-1])
    if not as_positions:
        counted = "; if it counts from 1, subtract 1" if (low, high) == (1, len(classes)) else ""
        called = "" if list(map(str, positions)) == list(classes) else f" ({_some(classes)})"
        raise DataError(
            f"{where} holds the class {low if low < 0 else high}, but there are the classes 0 to "
            f"{len(classes) - 1}{called}{counted}; use the images of the same data set"
        )
    if list(classes) == sorted(classes) != sorted(classes, key=_natural):
        raise DataError(
            f"{where} holds numbers, but classes such as {_some(sorted(classes, key=_natural))} have another order as "
            f"text than by the numbers in them; write the class names, as text, instead"
        )
    return labels_N.astype(np.int64)


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key by which the digits in names count as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name) if part]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" … {names[-1]}" if len(names) > 3 else "")
