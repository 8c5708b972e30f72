"""Clean images of the classes that a shifted set shows, so that a network's loss by the shift can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from lowland.core.errors import DataError
from lowland.data import DataSet, Split, Subset
from lowland.data.shift import ClassFolders, class_folders, place
from lowland.evaluation.shift.known import Known

VALIDATION = ("imagenet/val", "ILSVRC2012/val", "ILSVRC/Data/CLS-LOC/val", "val")
"""Where ImageNet's validation images lie below a root."""

WHAT = "ImageNet's validation images, imagenet/val/<wnid>/"


@dataclass(frozen=True)
class Clean:
    """Clean images of the classes that are compared.

    Attributes:
        split: The images; labels are places in `Known.labels`.
        source: What they are, in words.
        digest: Of their files; empty for the run's own.
    """

    split: Split
    source: str
    digest: str = ""


def validation(root: Path | None, given: Path | None, suite: str) -> ClassFolders:
    """ImageNet's validation images; ConfigError or DataError where they are not there, in folders by wnid."""
    folder = place(root, given, VALIDATION, what=WHAT, setting=f"evaluate.options.{suite}.clean")
    return class_folders(folder, "ImageNet's validation images")


def clean_images(
    root: Path | None, given: Path | None, data: DataSet, known: Known, suite: str, most: int | None
) -> Clean:
    """ImageNet's validation images, prepared like the set's; where there are none, the run's own test images.

    Args:
        root: Folder of published sets.
        given: Folder of validation images, where a person named it.
        data: The run's data set.
        known: The classes that are compared.
        suite: Name of the suite that asks.
        most: Judge at most so many; None: all.

    Returns:
        The images and what they are.

    Raises:
        DataError: the folder named is unfit, or no image shows these classes.
    """
    if given is not None or (root is not None and any((root / name).is_dir() for name in VALIDATION)):
        found = validation(root, given, suite)
        what = "ImageNet's validation images"
        return Clean(known.split(found, what, data, most), f"from {what}", found.digest)
    split = own_test(data, known, most)
    return Clean(split, "from the run's own test images, since no folder of ImageNet's validation images is there")


def own_test(data: DataSet, known: Known, most: int | None = None) -> Split:
    """The run's test images of the classes that are compared; DataError where there are none."""
    place_of = torch.full((data.num_classes,), -1, dtype=torch.int64)
    place_of[torch.tensor(known.columns)] = torch.arange(len(known.columns))
    labels_N = place_of[data.test.labels_N.cpu()]
    chosen = (labels_N >= 0).nonzero().squeeze(1)[:most]
    if not len(chosen):
        raise DataError("the data set has no test image of the classes that are compared; give clean images of them")
    return Relabelled(data.test, chosen, labels_N[chosen])


class Relabelled(Subset):
    """Part of a split under other labels.

    Args:
        base: The split to choose from.
        indices: Which of its images, int64 (N,) on the CPU.
        labels_N: Their labels, int64 (N,) on the CPU.
    """

    def __init__(self, base: Split, indices: torch.Tensor, labels_N: torch.Tensor) -> None:
        super().__init__(base, indices)
        self.labels_N = labels_N.to(base.device)
