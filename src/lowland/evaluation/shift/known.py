"""Which logits and which pictures of a published ImageNet set a network can be judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from lowland.core.errors import DataError
from lowland.data import DataSet, Split
from lowland.data.shift import ClassFolders, Group, group, imagenet_labels, prepared


@dataclass(frozen=True)
class Known:
    """The classes of a set that a network knows.

    Attributes:
        labels: ImageNet's labels of these, ascending.
        columns: The logit of each.
        whole: Classes of the whole set.
    """

    labels: tuple[int, ...]
    columns: tuple[int, ...]
    whole: int

    @classmethod
    def of(cls, data: DataSet, what: str, among: Group | None = None) -> Self:
        """What networks trained on `data` know of a set.

        Args:
            data: Its classes are those of the logits.
            what: The set, with which errors begin.
            among: The set whose 200 classes alone are compared; None: all 1,000.

        Returns:
            The classes in ImageNet's order.

        Raises:
            DataError: the data set's classes are not ImageNet's, or fewer than two are the set's.
        """
        wanted = group(among) if among is not None else frozenset(range(1000))
        labels = imagenet_labels(data.classes, what)
        pairs = sorted((label, column) for column, label in enumerate(labels) if label in wanted)
        if len(pairs) < 2:
            raise DataError(
                f"{what} is judged among its {len(wanted)} classes, but the networks know only {len(pairs)} of these; "
                "two at least are needed"
            )
        return cls(
            labels=tuple(label for label, _ in pairs), columns=tuple(column for _, column in pairs), whole=len(wanted)
        )

    def pictures(self, found: ClassFolders, what: str, most: int | None = None) -> tuple[Sequence[int], Sequence[int]]:
        """Choose the pictures of these classes.

        Args:
            found: The set's pictures.
            what: The set, with which errors begin.
            most: Judge at most so many, taken from all classes in turn; None: all.

        Returns:
            Places in `found`, and of each the place of its label in `labels`.

        Raises:
            DataError: there is none of these classes.
        """
        place_of = {label: place for place, label in enumerate(self.labels)}
        seen: dict[int, int] = {}
        chosen: list[tuple[int, int, int]] = []
        for at, label in enumerate(found.labels):
            if label in place_of:
                seen[label] = turn = seen.get(label, -1) + 1
                chosen.append((turn, at, place_of[label]))
        if not chosen:
            raise DataError(
                f"{what}: none of the pictures in {found.root} is of the networks' {len(self.labels)} classes; "
                "give the folders of classes that they know"
            )
        if most is not None and most < len(chosen):
            chosen = sorted(chosen)[:most]
        return [at for _, at, _ in chosen], [label for _, _, label in chosen]

    def split(self, found: ClassFolders, what: str, data: DataSet, most: int | None = None) -> Split:
        """The chosen pictures as networks trained on `data` see them; labels are places in `labels`."""
        places, labels = self.pictures(found, what, most)
        return prepared([found.paths[place] for place in places], labels, data.in_channels, data.image_size)
