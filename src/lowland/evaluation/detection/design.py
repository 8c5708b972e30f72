"""Designs of RetinaNet and how each is learnt: those of Detectron2 and torchvision, and a small one for few pictures.

Sources: facebookresearch/detectron2 @02b5c4e2, configs/Base-RetinaNet.yaml and config/defaults.py ("1x");
torchvision 0.29, references/detection/README.md and models/detection/retinanet.py (version 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lowland.training.task import TaskRecipe

Preset = Literal["small", "torchvision", "detectron2"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """How the detector is made.

    Attributes:
        width: Channels of pyramid and head.
        sides: Shortest sides to which training pictures are resized, pixels; one is drawn for each. The last is that of
            validation pictures.
        longest: Longest side of all.
        sixth: What P6 is made from: C5, the backbone's last map, or P5, the pyramid's.
        norm: GroupNorm in pyramid and head: always, or only where the backbone begins from scratch.
        groups: Of GroupNorm.
        rounded: Whether anchors are cut to whole pixels.
        normaliser: What the sums of a step's losses are divided by: each picture's own positive anchors, or a running
            mean of the step's (from 100, 0.9).
        score: Boxes below are not told.
        boxes: Most boxes told of a picture.
        frozen: Stride up to which a trained backbone stays as it is (4: stem and first stage); 0: none of it.
    """

    width: int
    sides: tuple[int, ...]
    longest: int
    sixth: Literal["C5", "P5"]
    norm: Literal["always", "scratch"]
    groups: int
    rounded: bool
    normaliser: Literal["picture", "running"]
    score: float
    boxes: int
    frozen: int


DESIGNS: dict[Preset, Design] = {
    "small": Design(
        width=64,
        sides=(192,),
        longest=192,
        sixth="C5",
        norm="always",
        groups=16,
        rounded=True,
        normaliser="picture",
        score=0.01,
        boxes=100,
        frozen=0,
    ),
    "torchvision": Design(
        width=256,
        sides=(800,),
        longest=1333,
        sixth="P5",
        norm="scratch",
        groups=32,
        rounded=True,
        normaliser="picture",
        score=0.05,
        boxes=300,
        frozen=0,
    ),
    "detectron2": Design(
        width=256,
        sides=tuple(range(640, 801, 32)),
        longest=1333,
        sixth="C5",
        norm="scratch",
        groups=32,
        rounded=False,
        normaliser="running",
        score=0.05,
        boxes=100,
        frozen=4,
    ),
}

RECIPES: dict[Preset, TaskRecipe] = {
    "small": TaskRecipe(
        epochs=20,
        batch_size=8,
        optimizer="adamw",
        learning_rate=1e-3,
        schedule="cosine",
        warmup_steps=16,
        warmup_factor=1 / 16,
        weight_decay=0.01,
        clip=1.0,
    ),
    "torchvision": TaskRecipe(
        epochs=26,
        batch_size=16,
        learning_rate=0.01,
        schedule="steps",
        milestones=(16 / 26, 22 / 26),
        warmup_steps=1000,
        warmup_factor=1e-3,
        weight_decay=1e-4,
    ),
    "detectron2": TaskRecipe(
        steps=90_000,
        batch_size=16,
        learning_rate=0.01,
        schedule="steps",
        milestones=(60 / 90, 80 / 90),
        warmup_steps=1000,
        warmup_factor=1e-3,
        weight_decay=1e-4,
        norm_decay=False,
    ),
}
