"""Which class of ImageNet or CIFAR each class of a network is, by name; never by rank, so that subsets work.

Tensor names: K classes of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

from lowland.core.errors import DataError
from lowland.data.naming import folded

Group = Literal["a", "o", "r"]

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""Classes of CIFAR-10 in the order of its labels (Krizhevsky 2009)."""


@cache
def _table() -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """wnid, the shifted sets that show it, and WordNet's names, of each of ImageNet's 1,000 classes in their order."""
    lines = files(__package__).joinpath("imagenet.tsv").read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return tuple((wnid, marks, tuple(names.split(", "))) for wnid, marks, names in rows)


@cache
def cifar100() -> tuple[str, ...]:
    """The 100 fine classes of CIFAR-100 in the order of its labels (Krizhevsky 2009)."""
    return tuple(files(__package__).joinpath("cifar100.txt").read_text(encoding="utf-8").split())


@cache
def wnids() -> tuple[str, ...]:
    """ImageNet's 1,000 wnids in the order of its labels, which is their order as text."""
    return tuple(wnid for wnid, _, _ in _table())


@cache
def group(which: Group) -> frozenset[int]:
    """Labels of the 200 classes of ImageNet-A, -O or -R (Hendrycks et al. 2021, arXiv:1907.07174, arXiv:2006.16241)."""
    return frozenset(place for place, (_, marks, _) in enumerate(_table()) if which in marks)


@cache
def _names() -> dict[str, tuple[int, ...]]:
    """Labels of the classes that a name may mean; several for `crane`, a bird and a machine."""
    found: dict[str, tuple[int, ...]] = {}
    for place, (_, _, names) in enumerate(_table()):
        for name in {_plain(name) for name in (*names, ", ".join(names))}:
            found[name] = (*found.get(name, ()), place)
    return found


def imagenet_labels(classes: Sequence[str], where: str) -> tuple[int, ...]:
    """ImageNet's label of each class of a network.

    Args:
        classes: Names of K classes in the order of the logits: all wnids, all WordNet names such as `tench` or `great
            white shark` (in any case, with `_` or `-` for a space), or `0` to `999`, which are labels themselves.
        where: What asks, with which errors begin.

    Returns:
        K labels, 0 to 999, all different.

    Raises:
        DataError: a class is none of ImageNet's, its name means two of them, or two classes are the same one.

    Example:
        >>> imagenet_labels(["n01443537", "n01440764"], "here")
        (1, 0)
        >>> imagenet_labels(["Tench", "great_white_shark"], "here")
        (0, 2)
    """
    if sorted(classes) == sorted(map(str, range(1000))):
        return tuple(map(int, classes))
    index = {wnid: place for place, wnid in enumerate(wnids())}
    plain: Callable[[str], str] = str
    if not any(name in index for name in classes):
        index, plain = {name: places[0] for name, places in _names().items() if len(places) == 1}, _plain
        for name in classes:
            meant = _names().get(_plain(name), ())
            if len(meant) > 1:
                raise DataError(
                    f"{where}: the class {name!r} may be any of {', '.join(wnids()[place] for place in meant)}; name "
                    "the folders of the training images by wnid"
                )
    return _matched(
        classes,
        index,
        plain,
        where,
        "ImageNet's, by wnid (n01440764) or by WordNet name (tench), so that no label is known for it; judge a network "
        "whose classes are all ImageNet's",
    )


def cifar_labels(classes: Sequence[str], known: Sequence[str], where: str) -> tuple[int, ...]:
    """CIFAR's label of each class of a network.

    Args:
        classes: Names of K classes in the order of the logits: CIFAR's own names in any order, or `0` to K − 1, which
            are labels themselves.
        known: CIFAR's names in the order of its labels.
        where: What asks, with which errors begin.

    Returns:
        K labels, all different.

    Raises:
        DataError: they are not just CIFAR's classes.

    Example:
        >>> cifar_labels(["ship", "truck", *CIFAR10[:8]], CIFAR10, "here")
        (8, 9, 0, 1, 2, 3, 4, 5, 6, 7)
    """
    if len(classes) != len(known):
        raise DataError(
            f"{where} is about {len(known)} classes, {known[0]} to {known[-1]}, but the networks know {len(classes)}; "
            f"judge networks that were trained on all of them"
        )
    if sorted(classes) == sorted(map(str, range(len(known)))):
        return tuple(map(int, classes))
    return _matched(
        classes,
        {_plain(name): place for place, name in enumerate(known)},
        _plain,
        where,
        f"among {known[0]}, {known[1]} … {known[-1]}; judge networks that were trained on these classes",
    )


def _matched(
    classes: Sequence[str], index: dict[str, int], plain: Callable[[str], str], where: str, expected: str
) -> tuple[int, ...]:
    holders: dict[int, str] = {}
    for name in classes:
        label = index.get(plain(name))
        if label is None:
            raise DataError(f"{where}: the networks' class {name!r} is not {expected}")
        if label in holders:
            raise DataError(
                f"{where}: the networks' classes {holders[label]!r} and {name!r} are one and the same; give each "
                "class one folder"
            )
        holders[label] = name
    return tuple(holders)


def _plain(name: str) -> str:
    return folded(name.replace("_", " ").replace("-", " "))
