"""Designs of DeepLabv3 and how each is learnt: MMSegmentation's, as GeNAS used it, and a small one for processors.

Source: MMSegmentation 1.2.2, `_base_/{models/deeplabv3_r50-d8, datasets/{cityscapes,pascal_voc12},
schedules/schedule_40k}.py` and `deeplabv3/deeplabv3_r50-d8_4xb2-40k_cityscapes-512x1024.py`. CamVid is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lowland.data.segmentation.augmentation import Augmentation
from lowland.data.segmentation.layout import Name
from lowland.training.task import TaskRecipe

Preset = Literal["small", "paper"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """How the segmenter is made.

    Attributes:
        output_stride: Of the backbone's last map, unless another is asked for.
        augmentation: Of training pictures, by data set. Judged pictures are scaled to the same base.
        auxiliary: Weight of the auxiliary head's loss.
    """

    output_stride: int
    augmentation: Mapping[Name, Augmentation]
    auxiliary: float = 0.4


_SMALL = Augmentation(base=(240, 180), crop=(160, 192))

DESIGNS: Mapping[Preset, Design] = {
    "small": Design(output_stride=16, augmentation={"cityscapes": _SMALL, "camvid": _SMALL, "voc": _SMALL}),
    "paper": Design(
        output_stride=8,
        augmentation={
            "cityscapes": Augmentation(base=(2048, 1024), crop=(512, 1024)),
            "camvid": Augmentation(base=(480, 360), crop=(360, 480)),
            "voc": Augmentation(base=(2048, 512), crop=(512, 512)),
        },
    ),
}

RECIPES: Mapping[Preset, TaskRecipe] = {
    "small": TaskRecipe(
        epochs=60,
        batch_size=8,
        optimizer="adamw",
        learning_rate=2e-3,
        final_learning_rate=2e-5,
        schedule="poly",
        warmup_steps=50,
        warmup_factor=0.1,
        weight_decay=0.01,
        clip=5.0,
    ),
    "paper": TaskRecipe(
        steps=40_000,
        batch_size=8,
        optimizer="sgd",
        learning_rate=0.01,
        final_learning_rate=1e-4,
        schedule="poly",
        weight_decay=5e-4,
    ),
}
