"""RetinaNet on any backbone of strides 8, 16 and 32, out of torchvision's parts.

Source: Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv:1708.02002.

Tensor names: N pictures, A anchors, K classes.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.retinanet import RetinaNet, RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork, sigmoid_focal_loss
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from lowland.evaluation.detection.design import Design
from lowland.training.backbone import Backbone

STRIDES = (8, 16, 32)
"""Of the maps C3, C4, C5."""

LARGEST_STRIDE = 128
"""Of P7. Pictures are padded to its multiples: torchvision takes an anchor's stride as image // map, which is it only
there (106 of a picture of 320 pixels otherwise)."""

ANCHORS = (32, 64, 128, 256, 512)
"""Sides of the anchors of P3 … P7; each also times 2^(1/3) and 2^(2/3), with heights of .5, 1 and 2 widths."""

LEAST_BATCH = 8
"""Pictures of a step from which batch norm can be learnt; frozen at random weights it would be none at all
(pytorch/vision#5443, detectron2#914)."""


class Pyramid(nn.Module):
    """The feature pyramid P3 … P7 over a backbone, as torchvision's detectors want theirs."""

    def __init__(self, backbone: Backbone, design: Design, norm: partial[nn.GroupNorm] | None) -> None:
        super().__init__()
        channels = [info.channels for info in backbone.maps]
        last = LastLevelP6P7(channels[-1] if design.sixth == "C5" else design.width, design.width)
        last.use_P5 = design.sixth == "P5"  # torchvision goes by equal channels, which a narrow C5 may have, too
        # Given a norm, torchvision leaves out the biases of these layers, as it should.
        norm_layer = None if norm is None else lambda width: norm(num_channels=width)
        self.backbone = backbone
        self.fpn = FeaturePyramidNetwork(channels, design.width, extra_blocks=last, norm_layer=norm_layer)
        self.out_channels = design.width

    def forward(self, x_NCHW: Tensor) -> OrderedDict[str, Tensor]:
        """Images (N, C, H, W) → P3 … P7."""
        found: OrderedDict[str, Tensor] = self.fpn(self.backbone(x_NCHW))
        return found


class ExactAnchors(AnchorGenerator):  # type: ignore[misc]
    """Anchors that are not cut to whole pixels, as Detectron2's."""

    def generate_anchors(
        self,
        scales: Any,
        aspect_ratios: Any,
        dtype: torch.dtype = torch.float32,
        device: torch.device = torch.device("cpu"),
    ) -> Tensor:
        """Anchors of one place, (A, 4), around zero."""
        sides = torch.as_tensor(scales, dtype=dtype, device=device)
        roots = torch.as_tensor(aspect_ratios, dtype=dtype, device=device).sqrt()
        widths, heights = (sides[None] / roots[:, None]).flatten(), (sides[None] * roots[:, None]).flatten()
        return torch.stack([-widths, -heights, widths, heights], dim=1) / 2


class Head(RetinaNetHead):  # type: ignore[misc]
    """torchvision's head, whose outputs, and so the losses, are fp32 whatever the precision of the convolutions."""

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        """P3 … P7 → class logits (N, A, K) and box regressions (N, A, 4)."""
        return {name: value.float() for name, value in super().forward(x).items()}


class RunningHead(Head):
    """A head whose losses are divided by a running mean of the steps' positive anchors, as Detectron2's.

    n ← 0.9·n + 0.1·max(1, positives of the step), from n = 100; class loss Σ focal/n, box loss Σ |Δ|/n. Source:
    detectron2/modeling/meta_arch/retinanet.py (`_ema_update`) and dense_detector.py.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("normaliser", torch.tensor(100.0))

    normaliser: Tensor

    def compute_loss(
        self,
        targets: list[dict[str, Tensor]],
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> dict[str, Tensor]:
        """The two losses of a step."""
        between, coder = self.classification_head.BETWEEN_THRESHOLDS, self.regression_head.box_coder
        positives = torch.stack([(matched_A >= 0).sum() for matched_A in matched_idxs]).sum()
        self.normaliser.mul_(0.9).add_(0.1 * positives.clamp(min=1))
        classes, boxes = [], []
        for place, (target, matched_A, anchors_A4) in enumerate(zip(targets, matched_idxs, anchors, strict=True)):
            logits_AK = head_outputs["cls_logits"][place]
            found_A, valid_A = matched_A >= 0, matched_A != between
            truth_AK = torch.zeros_like(logits_AK)
            truth_AK[found_A, target["labels"][matched_A[found_A]]] = 1.0
            classes.append(sigmoid_focal_loss(logits_AK[valid_A], truth_AK[valid_A], reduction="sum"))
            wanted = coder.encode_single(target["boxes"][matched_A[found_A]], anchors_A4[found_A])
            boxes.append((head_outputs["bbox_regression"][place][found_A] - wanted).abs().sum())
        return {
            "classification": torch.stack(classes).sum() / self.normaliser,
            "bbox_regression": torch.stack(boxes).sum() / self.normaliser,
        }


def retinanet(
    backbone: Backbone, design: Design, classes: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> RetinaNet:
    """An untrained detector; draws from torch's global generator.

    A trained backbone keeps its batch norms as they are, and what `design.frozen` says. One from scratch learns them,
    and pyramid and head then have GroupNorm.

    Args:
        backbone: With maps of `STRIDES`.
        design: How it is made.
        classes: K; labels are 1 … K, and 0 stands for none, as in torchvision.
        mean: Of images from 0 to 1.
        std: Of images from 0 to 1.

    Returns:
        The detector: a list of RGB images (3, H, W) from 0 to 1, and targets in training mode.
    """
    grouped = design.norm == "always" or not backbone.pretrained
    norm = partial(nn.GroupNorm, design.groups) if grouped else None
    if backbone.pretrained:
        backbone.freeze_norms()
        if design.frozen:
            backbone.freeze_up_to(design.frozen)
    steps = [2 ** (place / 3) for place in range(3)]
    sizes = tuple(tuple(int(side * s) if design.rounded else side * s for s in steps) for side in ANCHORS)
    kind = AnchorGenerator if design.rounded else ExactAnchors
    anchors = kind(sizes, ((0.5, 1.0, 2.0),) * len(sizes))
    head = RunningHead if design.normaliser == "running" else Head
    return RetinaNet(
        Pyramid(backbone, design, norm),
        classes + 1,
        min_size=design.sides,
        max_size=design.longest,
        image_mean=list(mean),
        image_std=list(std),
        anchor_generator=anchors,
        head=head(design.width, anchors.num_anchors_per_location()[0], classes + 1, norm_layer=norm),
        score_thresh=design.score,
        detections_per_img=design.boxes,
        size_divisible=LARGEST_STRIDE,
    )
