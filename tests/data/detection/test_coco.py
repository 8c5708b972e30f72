"""COCO's annotations and layout: read as they are, and what is wrong with them said in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lowland.core.errors import DataError
from lowland.data.detection.coco import load
from made_coco import SIDES, annotate, annotated, coco


def test_official_numbers_become_labels_from_1(tmp_path: Path) -> None:
    """COCO's 80 categories have numbers of 1 to 90; here 7 and 3, in the file in this order."""
    found = load(coco(tmp_path))
    assert found.categories == ((3, "blue"), (7, "red"))
    numbers = [each["category_id"] for each in annotated(10, 1, 1)["annotations"]]
    labels = [int(label) for picture in found.train.pictures for label in picture.labels_B]
    assert labels == [{3: 1, 7: 2}[number] for number in numbers]


def test_training_leaves_out_crowds_and_empty_pictures_and_judging_keeps_all(tmp_path: Path) -> None:
    train = annotated(10, 1, 1)
    train["annotations"][0]["iscrowd"] = 1  # the one box of the first picture
    found = load(coco(tmp_path, train))
    assert [picture.id for picture in found.learnt] == list(range(3, 11))
    assert len(found.train.pictures) == 10
    assert len(found.val.pictures) == 4
    assert found.notes == (
        "left out of training: 2 pictures without a box to learn from",
        "left out of training: 1 box of crowds",
    )


def test_boxes_beyond_a_picture_or_without_an_area_are_counted(tmp_path: Path) -> None:
    train, val = annotated(10, 1, 1), annotated(4, 100, 2)
    train["annotations"][0]["bbox"] = [50.0, 10.0, 30.0, 20.0]
    train["annotations"][1]["bbox"] = [50.0, 10.0, 0.0, 20.0]
    val["annotations"][0]["bbox"] = [-9.0, 10.0, 30.0, 20.0]
    found = load(coco(tmp_path, train, val))
    assert found.train.pictures[0].boxes_B4.tolist() == [[50, 10, 80, 30]]
    assert found.notes == (
        "left out of training: 2 pictures without a box to learn from",
        "left out of training: 1 box without an area",
        "cut at the edge of the picture: 1 training box",
        "judged as given: 1 validation box beyond the picture's edge",
    )
    assert 3 not in [picture.id for picture in found.learnt]


def test_a_picture_is_read_as_annotated(tmp_path: Path) -> None:
    picture = load(coco(tmp_path)).train.pictures[0]
    pixels = picture.pixels()
    x1, y1, x2, y2 = picture.boxes_B4[0].astype(int)
    assert pixels.shape == (3, SIDES[1], SIDES[0])
    assert (pixels[:, y1:y2, x1:x2].max(axis=0) == 220).all()


def test_the_same_files_are_read_once_and_changed_ones_anew(tmp_path: Path) -> None:
    first = load(coco(tmp_path))
    assert load(tmp_path) is first
    train = annotated(10, 1, 1)
    train["annotations"][0]["bbox"][2] += 1
    annotate(tmp_path, "train2017", train)
    second = load(tmp_path)
    assert second.fingerprint != first.fingerprint


def test_pictures_may_lie_in_images(tmp_path: Path) -> None:
    coco(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "val2017").rename(tmp_path / "images" / "val2017")
    assert load(tmp_path).val.pictures[0].path.parent == tmp_path / "images" / "val2017"


# --- what is wrong ---------------------------------------------------------------------------------------------------


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder; give the folder that holds COCO's annotations"):
        load(tmp_path / "nowhere")


def test_a_missing_layout_says_what_was_looked_for_and_found(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    with pytest.raises(DataError, match=r"looked for annotations/instances_train\*.json, found cats in "):
        load(tmp_path)
    coco(tmp_path)
    (tmp_path / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(DataError, match=r"looked for annotations/instances_val\*.json, found instances_train2017.json"):
        load(tmp_path)
    annotate(tmp_path, "val2018", annotated(4, 100, 2))
    with pytest.raises(DataError, match=r"in val2018/ or images/val2018/, found annotations, cats, train2017, val2017"):
        load(tmp_path)
    annotate(tmp_path, "val2017", annotated(4, 100, 2))
    with pytest.raises(DataError, match=r"several parts called val \(instances_val2017.json, instances_val2018.json\)"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is no JSON"),
        ("[1, 2]", "is no COCO annotation file: it has no list of objects 'images'"),
        (json.dumps({"images": [{}], "categories": []}), "it has no list of objects 'annotations'"),
        (json.dumps({"images": [], "annotations": [], "categories": []}), "is empty: it has no images"),
        (json.dumps({**annotated(3, 1, 1), "annotations": []}), "is empty: it has no annotations"),
    ],
)
def test_an_annotation_file_that_is_none_or_empty(tmp_path: Path, content: str, said: str) -> None:
    coco(tmp_path)
    (tmp_path / "annotations" / "instances_train2017.json").write_text(content)
    with pytest.raises(DataError, match=said):
        load(tmp_path)


def _crowds(found: dict[str, Any]) -> None:
    for each in found["annotations"]:
        each["iscrowd"] = 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f["categories"].append({"id": 7, "name": "pink"}), "two categories of id 7: red and pink"),
        (lambda f: f["categories"].append({"id": "8", "name": "pink"}), "category without a whole number as id"),
        (lambda f: f["images"].append(dict(f["images"][0])), "two pictures of id 1: 000001.png and 000001.png"),
        (lambda f: f["images"][0].pop("width"), "picture without id, file_name, width and height"),
        (lambda f: f["images"][0].update(file_name="../x.png"), "names a picture outside of"),
        (lambda f: f["annotations"][0].update(image_id=77), "annotation 0 of .* belongs to picture 77, which"),
        (
            lambda f: [each.update(category_id=1) for each in f["annotations"]],
            r"has category 1, .*\(and 8 more like it",
        ),
        (lambda f: f["annotations"][0].update(bbox=[1, 2, 3]), "has no bbox of four numbers"),
        (lambda f: f["annotations"][0].update(bbox=[1, 2, float("nan"), 4]), "has no bbox of four numbers"),
        (
            lambda f: f["annotations"][0].update(bbox=[64, 2, 9, 9]),
            r"outside its picture: annotation 0 of 000001",
        ),
        (_crowds, "has no box to learn from"),
    ],
)
def test_annotations_at_fault_are_named(tmp_path: Path, change: Callable[[Any], object], said: str) -> None:
    coco(tmp_path)
    found = json.loads(json.dumps(annotated(10, 1, 1)))
    change(found)
    if "pink" in said:
        annotate(tmp_path, "val2017", {**annotated(4, 100, 2), "categories": found["categories"]})
    annotate(tmp_path, "train2017", found)
    with pytest.raises(DataError, match=said):
        load(tmp_path)


def test_class_maps_that_differ(tmp_path: Path) -> None:
    coco(tmp_path)
    val = annotated(4, 100, 2) | {"categories": [{"id": 7, "name": "red"}, {"id": 3, "name": "green"}]}
    annotate(tmp_path, "val2017", val)
    with pytest.raises(DataError, match="different categories: id 3 is 'blue' in the one and 'green' in the other"):
        load(tmp_path)


def test_unreadable_pictures_are_named_and_counted(tmp_path: Path) -> None:
    coco(tmp_path)
    for number in (1, 2, 5):
        (tmp_path / "train2017" / f"{number:06}.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"000001.png cannot be read .* \(and 2 more like it\)"):
        load(tmp_path)


def test_missing_pictures_are_named_and_counted(tmp_path: Path) -> None:
    coco(tmp_path)
    for number in (3, 4):
        (tmp_path / "train2017" / f"{number:06}.png").unlink()
    with pytest.raises(DataError, match=r"000003.png is missing; .* \(and 1 more like it\)"):
        load(tmp_path)


def test_a_jpeg_that_ends_too_soon_is_found_before_training(tmp_path: Path) -> None:
    train = annotated(10, 1, 1)
    train["images"][4]["file_name"] = "000005.jpg"
    coco(tmp_path, train)
    file = tmp_path / "train2017" / "000005.jpg"
    load(tmp_path)
    file.write_bytes(file.read_bytes()[:-20])
    annotate(tmp_path, "train2017", train)
    with pytest.raises(DataError, match=r"000005.jpg cannot be decoded"):
        load(tmp_path)


def test_another_size_than_annotated(tmp_path: Path) -> None:
    coco(tmp_path)
    Image.fromarray(np.zeros((30, 40, 3), dtype=np.uint8)).save(tmp_path / "val2017" / "000101.png")
    with pytest.raises(DataError, match=r"000101.png is 40×30, but its annotations are of 64×48"):
        load(tmp_path)
