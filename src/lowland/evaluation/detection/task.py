"""Detection as a task: pictures with their boxes, RetinaNet's losses, and average precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from lowland.core.device import Compute
from lowland.core.monitor import Monitor
from lowland.core.seeds import numpy_rng
from lowland.data.detection.coco import CocoSet, Picture
from lowland.evaluation.detection.precision import average_precision, detections, truth
from lowland.training.task import Task

FLIPPED = 0.5
"""Share of training pictures that are mirrored."""


@dataclass(frozen=True)
class Examples:
    """Pictures of a step, uint8 (3, H, W) each, and their targets: `boxes` (B, 4) and `labels` (B,)."""

    pictures: list[Tensor]
    targets: list[dict[str, Tensor]]


class Detection(Task[Examples]):
    """Find the objects of a data set."""

    name = "detection"

    def __init__(self, data: CocoSet) -> None:
        self.data = data
        self._learnt = data.learnt
        self._cut = v2.Compose([v2.ClampBoundingBoxes(), v2.SanitizeBoundingBoxes()])

    @property
    def images(self) -> int:
        """Training pictures with a box to learn from."""
        return len(self._learnt)

    def batch(self, indices: Sequence[int], seed: int, step: int) -> Examples:
        """The named pictures, mirrored at random; boxes cut to the picture, crowds and what has no area left out."""
        flips = numpy_rng(seed, self.name, "augment", step).random(len(indices)) < FLIPPED
        examples = [self._example(self._learnt[index], bool(flip)) for index, flip in zip(indices, flips, strict=True)]
        return Examples([picture for picture, _ in examples], [target for _, target in examples])

    def _example(self, picture: Picture, flip: bool) -> tuple[Tensor, dict[str, Tensor]]:
        learnt = picture.learnt
        image = tv_tensors.Image(torch.from_numpy(picture.pixels().copy()))
        target = {
            "boxes": tv_tensors.BoundingBoxes(
                torch.from_numpy(picture.boxes_B4[learnt]),
                format="XYXY",
                canvas_size=(picture.height, picture.width),
            ),
            "labels": torch.from_numpy(picture.labels_B[learnt]),
        }
        if flip:
            image, target["boxes"] = (v2.functional.horizontal_flip(each) for each in (image, target["boxes"]))
        image, target = self._cut(image, target)
        return image.as_subclass(Tensor), {name: value.as_subclass(Tensor) for name, value in target.items()}

    def losses(self, model: nn.Module, batch: Examples, compute: Compute) -> Mapping[str, Tensor]:
        """Focal loss of the classes, and L1 of the boxes."""
        pictures = [picture.to(compute.device).float() / 255 for picture in batch.pictures]
        targets = [{name: value.to(compute.device) for name, value in target.items()} for target in batch.targets]
        with compute.autocast():
            parts = model(pictures, targets)
        return {"class_loss": parts["classification"], "box_loss": parts["bbox_regression"]}

    @torch.inference_mode()
    def judge(self, model: nn.Module, compute: Compute, monitor: Monitor) -> Mapping[str, float]:
        """Average precision on all validation pictures, one at a time in fp32, so that none is padded to others."""
        pictures, categories = self.data.val.pictures, self.data.categories
        found = []
        monitor.start("judging", len(pictures), "picture")
        for done, picture in enumerate(pictures, start=1):
            image = torch.from_numpy(picture.pixels().copy()).to(compute.device).float() / 255
            (boxes,) = model([image])
            found += detections(picture, boxes, categories)
            monitor.advance(done)
            if done < len(pictures):
                monitor.check()
        monitor.finish()
        return average_precision(truth(pictures, categories), found)
