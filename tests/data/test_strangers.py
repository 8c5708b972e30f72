"""Folders as strangers keep them: parts and classes under other names, in other places, with other things beside."""

import os
from pathlib import Path

import pytest
import torch
from picture_folders import everything, fill, make, opened, picture
from PIL import Image

from lowland.core.errors import DataError, LowlandWarning
from lowland.data import batches

SYNONYMS = [("train", "validation", "testing"), ("Training", "DEV", "Test"), ("training_set", "Eval", "test-set")]


@pytest.mark.parametrize("names", SYNONYMS)
def test_val_beside_test_is_the_search_split(tmp_path, names):
    train, val, test = names
    make(tmp_path, (train,), count=8)
    make(tmp_path, (val,), count=3)
    make(tmp_path, (test,), count=4)
    data = opened(tmp_path)
    assert [len(split) for split in (data.train, data.search, data.test)] == [16, 6, 8]
    for split, name in ((data.train, train), (data.search, val), (data.test, test)):
        stored = {Image.open(path).tobytes() for path in tmp_path.glob(f"{name}/*/*")}
        assert {x.permute(1, 2, 0).numpy().tobytes() for x in split.images(torch.arange(len(split)))} == stored
    assert {f"search from {val}/", f"test from {test}/"} < set(data.found)
    assert data.warnings == (
        "only 8 test pictures: an accuracy measured on them is uncertain by up to ±35 points (95 %)",
    )
    assert len(opened(tmp_path, limit=4).search) == 6


@pytest.mark.parametrize("name", ["validation", "VAL", "eval", "dev", "Testing", "tst", "test_data"])
def test_any_usual_name_beside_train_is_the_test(tmp_path, name):
    data = opened(make(tmp_path, ("Train", name), count=4))
    assert len(data.test) == 8
    assert f"test from {name}/" in data.found


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda root: make(root, ("train", "test", "testing")),
            "test/ and testing/ in .* could both be the test; move",
        ),
        (lambda root: make(root, ("train", "test", "Test")), "Test/ and test/ in .* could both be the test"),
        (lambda root: make(root, ("train", "val", "dev")), "dev/ and val/ in .* could both be the validation images"),
        (lambda root: make(root, ("train", "Training", "test")), "Training/ and train/ .* could both be the training"),
        (lambda root: make(root, ("test", "val")), "holds test/, val/ with class folders, but no train/"),
        (lambda root: [fill(root / name) for name in ("train", "test")], "without a folder per class in them"),
        (lambda root: [fill(root / name) for name in ("dev", "test")], "without a folder per class in them"),
        (lambda root: (make(root, ("train",)), fill(root / "test" / "images")), "nothing that says which class"),
        (
            lambda root: (make(root, ("train", "test")), [fill(root / "train" / name) for name in ("eel", "fox")]),
            "classes 'eel', 'fox' are in .*/train but not in .*/test",
        ),
    ],
)
def test_doubtful_parts_are_refused(tmp_path, build, words):
    build(tmp_path)
    with pytest.raises(DataError, match=words) as caught:
        opened(tmp_path)
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_part_are_named(tmp_path):
    make(tmp_path, ("train", "test", "extra"))
    fill(tmp_path / "unlabelled")
    picture().save(tmp_path / "cover.png")
    with pytest.warns(LowlandWarning) as said:
        data = opened(tmp_path)
    assert "extra/, unlabelled/ in" in str(said[0].message)
    assert "1 pictures directly in" in str(said[1].message)
    assert len(everything(data)) == 20
    assert tuple(str(warning.message) for warning in said) == data.warnings


def test_packed_parts_are_named(tmp_path):
    make(tmp_path, ("train",))
    for name in ("test.zip", "labels.csv", "test.csv", "val.tar.gz"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.warns(LowlandWarning, match=r"^test\.zip, val\.tar\.gz in .* not used; unpack what should be"):
        opened(tmp_path)


@pytest.mark.parametrize(("here", "there"), [("Cat", "cat"), ("\u00e9", "e\u0301")])
def test_one_class_spelt_in_two_ways_is_explained(tmp_path, here, there):
    make(tmp_path, ("train",), (here, "dog"))
    make(tmp_path, ("test",), (there, "dog"))
    with pytest.raises(DataError, match=r"class .* of .*/train is called .* in .*/test; rename one"):
        opened(tmp_path)


def test_twins_are_kept_apart_and_told(tmp_path):
    make(tmp_path, classes=("Cat", "cat"))
    with pytest.warns(LowlandWarning, match="classes 'Cat' and 'cat' differ only in case"):
        assert opened(tmp_path).classes == ("Cat", "cat")


def tiny_imagenet(root: Path) -> Path:
    for name in ("n1", "n2"):
        fill(root / "train" / name / "images", 4)
        (root / "train" / name / f"{name}_boxes.txt").write_text("0.png\t0\t0\t1\t1\n")
    fill(root / "val" / "images", 4)
    lines = [f"{i}.png\tn{2 - i % 2}\t0\t0\t9\t9\n" for i in range(4)]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    fill(root / "test" / "images", 5)
    return root


def test_tiny_imagenet(tmp_path):
    tiny_imagenet(tmp_path)
    with pytest.warns(LowlandWarning) as said:
        data = opened(tmp_path)
    assert data.warnings[0].startswith("test/ in ")
    assert "skipped 2 entries" in str(said[1].message)
    assert "test from val/" in data.found
    assert (data.classes, len(data.test)) == (("n1", "n2"), 4)
    for i, label in enumerate(data.test.labels_N.tolist()):
        image = data.test.images(torch.tensor([i]))[0].permute(1, 2, 0).numpy().tobytes()
        (number,) = (k for k in range(4) if Image.open(tmp_path / f"val/images/{k}.png").tobytes() == image)
        assert data.classes[label] == f"n{2 - number % 2}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.png\tn1\n", "gives no class to 1.png and 2 others; it holds 1 lines for 4 pictures"),
        ("".join(f"{i}.png\tn1\n" for i in range(5)), "gives a class to 4.png, which does not exist; it holds 5 lines"),
        ("0.png n1\n", "line 1, must be a picture's name, a tab and its class, not '0.png n1'"),
        ("0.png\tn1\n0.png\tn2\n", "gives 0.png the classes 'n1' and 'n2'"),
        ("".join(f"{i}.png\tn{i}\n" for i in range(4)), "'n0', 'n3' are in .*val but not in .*train"),
    ],
)
def test_unfit_annotations_are_explained(tmp_path, text, words):
    tiny_imagenet(tmp_path)
    (tmp_path / "val" / "val_annotations.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        opened(tmp_path)


def test_classes_called_by_numbers_are_in_the_order_of_numbers(tmp_path):
    names = tuple(map(str, range(12)))
    data = opened(make(tmp_path, ("train", "test"), names, count=2))
    assert data.classes == names
    assert "classes in the order of their numbers (0, 1, 2, …), not of their text" in data.found
    stored = {Image.open(path).tobytes(): path.parent.name for path in tmp_path.glob("test/*/*")}
    for x, y in batches(data.test, 1):
        assert stored[x[0].permute(1, 2, 0).numpy().tobytes()] == str(int(y))


def test_classes_with_leading_zeros_need_no_note(tmp_path):
    data = opened(make(tmp_path, classes=("00", "01", "02", "10")))
    assert data.classes == ("00", "01", "02", "10")
    assert not any("order" in words for words in data.found)


def test_a_class_name_that_is_no_text_is_refused(tmp_path):
    make(tmp_path)
    try:
        (tmp_path / "dog").rename(tmp_path / os.fsdecode(b"d\xffg"))
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(DataError, match=r"class folder b'd\\xffg' .* not text in UTF-8"):
        opened(tmp_path)


def test_a_file_name_that_is_no_text_is_read_and_can_be_complained_about(tmp_path):
    make(tmp_path)
    path = tmp_path / "dog" / os.fsdecode(b"\xff.png")
    try:
        picture().save(path)
    except OSError:
        pytest.skip("this file system has no such names")
    assert len(everything(opened(tmp_path))) == 11
    path.write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        opened(tmp_path)
    assert str(caught.value).encode("utf-8")


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JPG", "PNG", "pbm", "Tif"])
def test_rare_suffixes_are_pictures(tmp_path, suffix):
    make(tmp_path)
    (tmp_path / "cat" / "0.png").rename(tmp_path / "cat" / f"0.{suffix}")
    assert len(everything(opened(tmp_path))) == 10


def test_class_folders_may_be_links(tmp_path):
    make(tmp_path / "store")
    (tmp_path / "set").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "store" / name)
    assert len(everything(opened(tmp_path / "set"))) == 10
