"""What the numbers in masks stand for, in the three data sets: which class, or that the pixel does not count.

Sources: cityscapesscripts/helpers/labels.py and torchvision/datasets/cityscapes.py (Cordts et al. 2016,
arXiv:1604.01685); the VOC 2012 development kit (Everingham et al.); the CamVid of SegNet (Badrinarayanan et al. 2015,
arXiv:1511.00561: the 11 classes of Brostow et al., 480×360).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IGNORED = 255
"""Label of pixels that do not count, here and in all masks."""

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Labels:
    """The numbers of one kind of mask.

    Attributes:
        classes: Names, in the order of their labels here, 0 … K − 1.
        numbers: Number in the mask → label here, `IGNORED` included.
    """

    classes: tuple[str, ...]
    numbers: Mapping[int, int]

    @property
    def table(self) -> NDArray[np.int16]:
        """Label of each number from 0 to 255, `UNKNOWN` where it stands for nothing."""
        found = np.full(256, UNKNOWN, dtype=np.int16)
        for number, label in {**self.numbers, IGNORED: IGNORED}.items():
            found[number] = label
        return found

    @property
    def text(self) -> str:
        """Which numbers there may be, in words."""
        return f"{min(self.numbers)} to {max(self.numbers)}, and {IGNORED} for pixels that do not count"


CITYSCAPES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)

_CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)
"""`labelIds` of the 19 classes that are judged. The others, 0 to 33, are not; a licence plate's −1 is never drawn."""

VOC = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

CAMVID = (
    *("sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car", "pedestrian"),
    "bicyclist",
)

LABEL_IDS = Labels(
    CITYSCAPES,
    dict.fromkeys(range(34), IGNORED) | {number: label for label, number in enumerate(_CITYSCAPES_IDS)},
)
"""Cityscapes, `_gtFine_labelIds.png`."""

TRAIN_IDS = Labels(CITYSCAPES, {label: label for label in range(len(CITYSCAPES))})
"""Cityscapes, `_gtFine_labelTrainIds.png`."""

VOC_LABELS = Labels(VOC, {label: label for label in range(len(VOC))})
"""Places in the palette; borders are 255."""

CAMVID_LABELS = Labels(CAMVID, {label: label for label in range(len(CAMVID))} | {len(CAMVID): IGNORED})
"""11 stands for what has no label."""
