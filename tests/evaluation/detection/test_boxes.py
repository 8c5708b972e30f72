"""Boxes: which are learnt and how, and how those that are found are judged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lowland.data.detection.coco import load
from lowland.evaluation.detection import precision
from lowland.evaluation.detection.task import Detection
from made_coco import annotated, coco

pytest.importorskip("faster_coco_eval")


# --- examples --------------------------------------------------------------------------------------------------------


def test_boxes_are_cut_to_the_picture_and_those_without_an_area_left_out(tmp_path: Path) -> None:
    train = annotated(10, 1, 1)
    train["annotations"][0]["bbox"] = [50.0, 10.0, 30.0, 20.0]
    train["annotations"].append(dict(train["annotations"][0], id=99, bbox=[5.0, 5.0, 0.0, 9.0]))
    train["annotations"].append(dict(train["annotations"][0], id=98, bbox=[5.0, 5.0, 9.0, 9.0], iscrowd=1))
    task = Detection(load(coco(tmp_path, train)))
    for step in range(8):
        batch = task.batch([0], 3, step)
        (target,) = batch.targets
        (box,) = target["boxes"].tolist()
        assert box in ([50, 10, 64, 30], [0, 10, 14, 30])
        assert target["labels"].tolist() == [{3: 1, 7: 2}[train["annotations"][0]["category_id"]]]


def test_a_mirrored_picture_has_mirrored_boxes(tmp_path: Path) -> None:
    task = Detection(load(coco(tmp_path)))
    flips = set()
    for step in range(6):
        batch = task.batch([0, 1, 2], 3, step)
        for picture, target in zip(batch.pictures, batch.targets, strict=True):
            x1, y1, x2, y2 = target["boxes"][0].int().tolist()
            bright = picture.amax(0) == 220
            assert bright[y1:y2, x1:x2].all()
            assert int(bright.sum()) == (y2 - y1) * (x2 - x1)
            flips.add((x1, x2))
    assert len(flips) > 3, "both ways of each"


# --- average precision -----------------------------------------------------------------------------------------------


def perfect(tmp_path: Path, shift: float = 0.0) -> dict[str, float]:
    data = load(coco(tmp_path))
    found = []
    for picture in data.val.pictures:
        boxes = {
            "boxes": torch.from_numpy(picture.boxes_B4) + shift,
            "labels": torch.from_numpy(picture.labels_B),
            "scores": torch.full((len(picture.labels_B),), 0.9),
        }
        found += precision.detections(picture, boxes, data.categories)
    return precision.average_precision(precision.truth(data.val.pictures, data.categories), found)


def test_perfect_boxes_score_100_though_the_file_numbers_annotations_from_0(tmp_path: Path) -> None:
    """COCO's evaluation takes an annotation of number 0 for none (MiXaiLL76/faster_coco_eval#77)."""
    found = perfect(tmp_path)
    assert found["AP"] == pytest.approx(100.0)
    assert found["AR100"] == pytest.approx(100.0)
    assert set(found) <= {metric.key for metric in precision.METRICS}
    assert "APl" not in found, "there are no large objects, which COCO calls −1"


def test_shifted_boxes_lose_the_strict_thresholds(tmp_path: Path) -> None:
    found = perfect(tmp_path, shift=2.0)
    assert 0 < found["AP"] < 100
    assert found["AP50"] >= found["AP75"]


def test_no_boxes_at_all_score_0(tmp_path: Path) -> None:
    data = load(coco(tmp_path))
    found = precision.average_precision(precision.truth(data.val.pictures, data.categories), [])
    assert found["AP"] == 0


def test_labels_go_back_to_the_numbers_of_the_file(tmp_path: Path) -> None:
    data = load(coco(tmp_path))
    boxes = {
        "boxes": torch.tensor([[1.0, 2, 11, 22]] * 3),
        "labels": torch.tensor([1, 2, 0]),
        "scores": torch.tensor([0.5, 0.25, 0.125]),
    }
    told = precision.detections(data.val.pictures[0], boxes, data.categories)
    assert [(each["category_id"], each["bbox"]) for each in told] == [(3, [1, 2, 10, 20]), (7, [1, 2, 10, 20])]


def test_crowds_and_empty_pictures_are_judged(tmp_path: Path) -> None:
    val = annotated(4, 100, 2)
    val["annotations"][0]["iscrowd"] = 1
    data = load(coco(tmp_path, None, val))
    known = precision.truth(data.val.pictures, data.categories)
    assert len(known["images"]) == 4
    assert [each["iscrowd"] for each in known["annotations"]] == [1, 0, 0]
