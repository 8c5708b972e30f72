"""A made-up data set in COCO's layout: bright rectangles of two colours on dark pictures; and a tiny backbone."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from lowland.evaluation.dense.source import Source
from lowland.spaces import FeatureInfo

CATEGORIES = [{"id": 7, "name": "red"}, {"id": 3, "name": "blue"}]
"""Numbered with holes and out of order, as COCO's own."""

COLOURS = {7: (220, 40, 40), 3: (40, 40, 220)}
SIDES = (64, 48)
"""Width and height of a picture."""


def annotated(count: int, first: int, seed: int) -> dict[str, Any]:
    """Annotations of so many pictures, which are called by their numbers; the second has no box."""
    rng = np.random.default_rng(seed)
    width, height = SIDES
    images = [
        {"id": first + place, "file_name": f"{first + place:06}.png", "width": width, "height": height}
        for place in range(count)
    ]
    annotations: list[dict[str, Any]] = []
    for image in images[:1] + images[2:]:
        x, y = rng.integers(0, 30), rng.integers(0, 20)
        w, h = rng.integers(10, 30), rng.integers(10, 25)
        annotations.append(
            {
                "id": len(annotations),  # from 0
                "image_id": image["id"],
                "category_id": int(rng.choice(list(COLOURS))),
                "bbox": [float(x), float(y), float(w), float(h)],
                "area": float(w * h),
                "iscrowd": 0,
            }
        )
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}


def drawn(folder: Path, found: dict[str, Any]) -> None:
    """The pictures of these annotations."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in found["images"]:
        pixels = np.full((image["height"], image["width"], 3), 20, dtype=np.uint8)
        for each in found["annotations"]:
            if each["image_id"] == image["id"]:
                x, y, w, h = map(int, each["bbox"])
                pixels[max(y, 0) : y + h, max(x, 0) : x + w] = COLOURS[each["category_id"]]
        Image.fromarray(pixels).save(folder / image["file_name"])


def coco(root: Path, train: dict[str, Any] | None = None, val: dict[str, Any] | None = None) -> Path:
    """Write the data set: ten training and four validation pictures, or those of these annotations."""
    for name, found in (("train2017", train or annotated(10, 1, 1)), ("val2017", val or annotated(4, 100, 2))):
        drawn(root / name, found)
        annotate(root, name, found)
    return root


def annotate(root: Path, name: str, found: Any) -> None:
    """Write the annotations of a part."""
    file = root / "annotations" / f"instances_{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found), encoding="utf-8")


class Pyramid(nn.Module):
    """A tiny network with maps of strides 2 … 32, C5 as wide as asked for."""

    def __init__(self, last: int = 8) -> None:
        super().__init__()
        widths = (3, 4, 4, 6, 8, last)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in pairwise(widths)
        )
        self.maps = tuple(
            FeatureInfo(width, 2 ** (place + 1), f"stages.{place}") for place, width in enumerate(widths[1:])
        )

    def forward(self, x_NCHW: Tensor) -> list[Tensor]:
        found = []
        for stage in self.stages:
            x_NCHW = stage(x_NCHW)
            found.append(x_NCHW)
        return found


def tiny_source(last: int = 8, *, trained: bool = True) -> Source:
    """The tiny network as a source of backbones."""

    def build(seed: int, output_stride: int | None) -> tuple[nn.Module, tuple[FeatureInfo, ...]]:
        assert output_stride is None
        torch.manual_seed(seed)
        body = Pyramid(last)
        return body, body.maps

    return Source(
        name="tiny",
        text=f"tiny {last}",
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        build=build,
        trained=(lambda output_stride: build(77, output_stride)) if trained else None,
        weights="77" if trained else "",
    )
