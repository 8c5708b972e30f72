"""Segmentation as a task: pictures with the label of every pixel, cross-entropy, and intersection over union.

Tensor names: N pictures, K classes, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lowland.core.device import Compute
from lowland.core.monitor import Monitor
from lowland.core.seeds import numpy_rng
from lowland.data.images import parallel
from lowland.data.segmentation.augmentation import Augmentation, augmented, resized, scaled_size
from lowland.data.segmentation.classes import IGNORED
from lowland.data.segmentation.layout import Pair
from lowland.data.segmentation.scenes import Scenes
from lowland.evaluation.segmentation.deeplab import Segmenter
from lowland.evaluation.segmentation.intersection import confusion, figures
from lowland.training.task import Task


@dataclass(frozen=True)
class Examples:
    """Pictures of a step (N, 3, H, W), float32 from 0 to 255, their labels (N, H, W), and what is no padding."""

    x_N3HW: Tensor
    labels_NHW: Tensor
    inside_NHW: Tensor


class Segmentation(Task[Examples]):
    """Tell the class of every pixel of a data set's pictures."""

    name = "segmentation"

    def __init__(self, data: Scenes, augmentation: Augmentation, auxiliary: float) -> None:
        self.data = data
        self.augmentation = augmentation
        self.auxiliary = auxiliary

    @property
    def images(self) -> int:
        """Training pictures."""
        return len(self.data.train)

    def batch(self, indices: Sequence[int], seed: int, step: int) -> Examples:
        """The named pictures, augmented."""

        def example(place: int) -> tuple[Tensor, Tensor, Tensor]:
            rng = numpy_rng(seed, self.name, "augment", step, place)
            picture, labels = self.data.read(self.data.train[indices[place]])
            return augmented(torch.from_numpy(picture.copy()), torch.from_numpy(labels), self.augmentation, rng)

        return Examples(*map(torch.stack, zip(*parallel(example, range(len(indices))), strict=True)))

    def losses(self, model: nn.Module, batch: Examples, compute: Compute) -> Mapping[str, Tensor]:
        """Cross-entropy, mean over the pixels that count, of both heads; the auxiliary one with its weight."""
        segmenter = cast(Segmenter, model)
        labels_NHW = batch.labels_NHW.to(compute.device).long()
        x_N3HW = segmenter.normalise(batch.x_N3HW.to(compute.device), batch.inside_NHW.to(compute.device))
        with compute.autocast():
            logits = model(compute.place(x_N3HW))
        return {
            "pixel_loss": cross_entropy(logits["out"], labels_NHW),
            "auxiliary_loss": self.auxiliary * cross_entropy(logits["aux"], labels_NHW),
        }

    def judge(self, model: nn.Module, compute: Compute, monitor: Monitor) -> Mapping[str, float]:
        """Intersection over union on all validation pictures, each whole, one at a time, in fp32.

        Returns:
            Percent, by the keys of `intersection.figures`. Pictures are scaled to the base; the logits are scaled back
            and compared with all labels.
        """
        monitor.start("judging", len(self.data.val), "picture")
        return self._intersection(model, self.data.val, compute, monitor)

    @property
    def test_fingerprint(self) -> str:
        """Of the test pictures."""
        return self.data.test_fingerprint

    def test(self, model: nn.Module, compute: Compute, monitor: Monitor) -> Mapping[str, float]:
        """Intersection over union on all test pictures, as on those of validation; nothing where there are none."""
        if not self.data.test:
            return {}
        monitor.start("judging on test pictures", len(self.data.test), "picture")
        return self._intersection(model, self.data.test, compute, monitor)

    @torch.inference_mode()
    def _intersection(
        self, model: nn.Module, pairs: Sequence[Pair], compute: Compute, monitor: Monitor
    ) -> Mapping[str, float]:
        segmenter = cast(Segmenter, model)
        classes = len(self.data.classes)
        matrix_KK = torch.zeros(classes, classes, dtype=torch.int64, device=compute.device)
        for done, pair in enumerate(pairs, start=1):
            picture, labels = self.data.read(pair)
            labels_HW = torch.from_numpy(labels).to(compute.device)
            height, width = labels.shape
            size = scaled_size(height, width, self.augmentation.base)
            x_3HW = resized(torch.from_numpy(picture.copy()), size).to(compute.device).float()
            logits_NKHW = model(compute.place(segmenter.normalise(x_3HW[None])))["out"]
            if size != (height, width):
                logits_NKHW = functional.interpolate(logits_NKHW, (height, width), mode="bilinear")
            matrix_KK += confusion(logits_NKHW[0].argmax(0), labels_HW, classes)
            monitor.advance(done)
            if done < len(pairs):
                monitor.check()
        monitor.finish()
        return figures(matrix_KK, self.data.classes)


def cross_entropy(logits_NKHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """−log p of the true class, mean over the pixels that count; 0 where none does."""
    total = functional.cross_entropy(logits_NKHW.float(), labels_NHW, ignore_index=IGNORED, reduction="sum")
    return total / (labels_NHW != IGNORED).sum().clamp(min=1)
