"""Data sets for segmentation: official layouts, what the numbers in masks mean, and what is wrong with data."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lowland.core.errors import DataError
from lowland.data.segmentation.classes import CITYSCAPES, IGNORED, LABEL_IDS
from lowland.data.segmentation.scenes import load
from made_scenes import HEIGHT, WIDTH, camvid, cityscapes, scene, voc


def test_camvid(tmp_path: Path) -> None:
    data = load("camvid", camvid(tmp_path))
    assert (len(data.train), len(data.val), len(data.classes)) == (6, 3, 11)
    picture, labels_HW = data.read(data.train[2])
    drawn, mask = scene(2, (3, 8, 0), IGNORED)
    assert np.array_equal(picture, drawn.transpose(2, 0, 1))
    assert np.array_equal(labels_HW, mask)
    assert data.text == "CamVid: 6 training and 3 validation pictures, 11 classes"


def test_camvid_has_test_pictures_which_decide_no_training(tmp_path: Path) -> None:
    """What decides a training has the fingerprint that it had before the test part was read."""
    without = load("camvid", camvid(tmp_path))
    assert (without.test, without.test_fingerprint) == ((), "")
    data = load("camvid", camvid(tmp_path, test=2))
    assert [pair.mask.name for pair in data.test] == ["0001TP_000200.png", "0001TP_000201.png"]
    assert data.text == "CamVid: 6 training, 3 validation and 2 test pictures, 11 classes"
    assert (data.train, data.val, data.fingerprint) == (without.train, without.val, without.fingerprint)
    Image.fromarray(scene(200, (3, 8, 1), 11)[1]).save(data.test[0].mask)
    other = load("camvid", tmp_path)
    assert other.fingerprint == data.fingerprint
    assert len({other.test_fingerprint, data.test_fingerprint, ""}) == 3


@pytest.mark.parametrize("gone", ["test", "testannot"])
def test_half_a_test_part_is_refused(tmp_path: Path, gone: str) -> None:
    shutil.rmtree(camvid(tmp_path, test=2) / gone)
    with pytest.raises(DataError, match=f"not laid out as CamVid: looked for {gone}/, found "):
        load("camvid", tmp_path)


def test_test_masks_in_which_nothing_counts_are_refused(tmp_path: Path) -> None:
    mask = camvid(tmp_path, test=1) / "testannot" / "0001TP_000200.png"
    Image.fromarray(np.full((HEIGHT, WIDTH), 11, dtype=np.uint8)).save(mask)
    with pytest.raises(DataError, match=r"no pixel of the test masks of .* counts"):
        load("camvid", tmp_path)


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
def test_cityscapes(tmp_path: Path, kind: str) -> None:
    """Both kinds of masks say the same, and which was read is said."""
    data = load("cityscapes", cityscapes(tmp_path, kind))
    assert data.classes == CITYSCAPES
    _, labels_HW = data.read(data.val[1])
    _, mask = scene(101, (CITYSCAPES.index("road"), CITYSCAPES.index("car"), CITYSCAPES.index("sky")))
    assert np.array_equal(labels_HW, mask)
    assert data.notes == (f"masks: {kind}",)


def test_cityscapes_label_ids() -> None:
    """torchvision's list has a licence plate of −1, which in a table of 256 would stand for 255."""
    from torchvision.datasets import Cityscapes

    table = LABEL_IDS.table
    for known in Cityscapes.classes:
        if known.id >= 0:
            expected = known.train_id if 0 <= known.train_id < IGNORED else IGNORED
            assert table[known.id] == expected, known.name
    assert table[255] == IGNORED
    assert set(table[34:255].tolist()) == {-1}
    assert [
        known.name for known in sorted(Cityscapes.classes, key=lambda k: k.train_id) if 0 <= known.train_id < 19
    ] == list(CITYSCAPES)


def test_cityscapes_of_both_kinds_reads_label_ids(tmp_path: Path) -> None:
    data = load("cityscapes", cityscapes(cityscapes(tmp_path, "labelTrainIds"), "labelIds"))
    assert data.notes == ("masks: labelIds",)
    next(tmp_path.glob("gtFine/train/*/*labelIds.png")).unlink()
    assert load("cityscapes", tmp_path).notes == ("masks: labelTrainIds",)


def test_voc(tmp_path: Path) -> None:
    """Masks have a palette, whose places are the labels; the pictures are those of the lists."""
    data = load("voc", voc(tmp_path))
    assert (len(data.train), len(data.val), len(data.classes)) == (4, 2, 21)
    _, labels_HW = data.read(data.val[0])
    assert np.array_equal(labels_HW, scene(100, (0, 7, 15))[1])
    assert Image.open(data.val[0].mask).mode == "P"


def test_the_same_files_are_read_once_and_changed_ones_anew(tmp_path: Path) -> None:
    first = load("camvid", camvid(tmp_path))
    assert load("camvid", tmp_path) is first
    _, mask = scene(0, (3, 8, 1), 11)
    Image.fromarray(mask).save(first.train[0].mask)
    assert load("camvid", tmp_path).fingerprint != first.fingerprint
    moved = tmp_path.with_name("moved")
    shutil.copytree(tmp_path, moved)
    assert load("camvid", moved).fingerprint == load("camvid", tmp_path).fingerprint


@pytest.mark.parametrize(
    ("name", "make", "remove", "said"),
    [
        ("camvid", camvid, "valannot", r"not laid out as CamVid: looked for valannot/, found train, trainannot, val$"),
        (
            "cityscapes",
            cityscapes,
            "gtFine/val",
            r"not laid out as Cityscapes: looked for gtFine/val/, found gtFine, l",
        ),
        (
            "voc",
            voc,
            "VOCdevkit/VOC2012/ImageSets",
            "not laid out as VOC 2012: looked for VOCdevkit/VOC2012/ImageSets/Se",
        ),
    ],
)
def test_a_missing_layout_says_what_was_looked_for_and_found(
    tmp_path: Path, name: str, make: Callable[[Path], Path], remove: str, said: str
) -> None:
    shutil.rmtree(make(tmp_path) / remove)
    with pytest.raises(DataError, match=said):
        load(name, tmp_path)  # type: ignore[arg-type]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder; give the folder of VOC 2012"):
        load("voc", tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "make", "masks"),
    [
        ("camvid", camvid, "trainannot/*"),
        ("cityscapes", cityscapes, "gtFine/train/*/*"),
        ("voc", voc, "**/2007_000*.png"),
    ],
)
def test_pictures_without_masks_are_named_and_counted(
    tmp_path: Path, name: str, make: Callable[[Path], Path], masks: str
) -> None:
    gone = sorted(make(tmp_path).glob(masks))[:2]
    for file in gone:
        file.unlink()
    with pytest.raises(DataError, match=r"picture .*000000\S* has no mask \(and 1 more like it\): looked for"):
        load(name, tmp_path)  # type: ignore[arg-type]


def test_masks_without_pictures_are_named(tmp_path: Path) -> None:
    (camvid(tmp_path) / "train" / "0001TP_000003.png").unlink()
    with pytest.raises(DataError, match=r"mask .*trainannot/0001TP_000003.png has no picture in train; add"):
        load("camvid", tmp_path)


@pytest.mark.parametrize(
    ("name", "make", "mask", "number", "said"),
    [
        ("camvid", camvid, "trainannot/0001TP_000001.png", 12, r"0 to 11, and 255"),
        (
            "cityscapes",
            cityscapes,
            "gtFine/train/aachen/aachen_000001_000019_gtFine_labelIds.png",
            34,
            r"0 to 33, and 255",
        ),
        ("voc", voc, "VOCdevkit/VOC2012/SegmentationClass/2007_000001.png", 21, r"0 to 20, and 255"),
    ],
)
def test_unknown_labels_are_named(
    tmp_path: Path, name: str, make: Callable[[Path], Path], mask: str, number: int, said: str
) -> None:
    file = make(tmp_path) / mask
    pixels = np.full((HEIGHT, WIDTH), 0, dtype=np.uint8)
    pixels[3, 4] = number
    Image.fromarray(pixels).save(file)
    with pytest.raises(
        DataError, match=rf"mask \S*{file.name} holds the label {number}, which means nothing; expected {said}"
    ):
        load(name, tmp_path)  # type: ignore[arg-type]


def test_several_unknown_labels_in_several_masks(tmp_path: Path) -> None:
    camvid(tmp_path)
    for number in (1, 2):
        pixels = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) % 300
        Image.fromarray(pixels).save(tmp_path / "trainannot" / f"0001TP_{number:06}.png")
    with pytest.raises(DataError, match=r"holds the labels 12, 13, 14, 15, 16, .* \(and 1 more like it\)"):
        load("camvid", tmp_path)


def test_masks_of_colours_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT)).save(camvid(tmp_path) / "valannot" / "0001TP_000100.png")
    with pytest.raises(DataError, match=r"mask \S*000100.png holds colours \(RGB\), not one number per pixel"):
        load("camvid", tmp_path)


def test_sizes_that_differ(tmp_path: Path) -> None:
    Image.new("RGB", (32, 48)).save(camvid(tmp_path) / "train" / "0001TP_000001.png")
    with pytest.raises(DataError, match=r"000001.png is 32×48, but its mask 0001TP_000001.png is 64×48"):
        load("camvid", tmp_path)


def test_damaged_files_are_named_and_counted(tmp_path: Path) -> None:
    camvid(tmp_path)
    for name in ("train/0001TP_000001.png", "val/0001TP_000101.png"):
        file = tmp_path / name
        file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"picture \S*000001.png is cut short; .*\(and 1 more like it\)"):
        load("camvid", tmp_path)
    (tmp_path / "trainannot" / "0001TP_000000.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"mask \S*000000.png cannot be decoded"):
        load("camvid", tmp_path)


def test_masks_in_which_nothing_counts(tmp_path: Path) -> None:
    camvid(tmp_path, val=1)
    nothing = Image.fromarray(np.full((HEIGHT, WIDTH), 11, dtype=np.uint8))
    nothing.save(tmp_path / "trainannot" / "0001TP_000000.png")
    assert "pictures without a pixel that counts: 1" in " ".join(load("camvid", tmp_path).notes)
    nothing.save(tmp_path / "valannot" / "0001TP_000100.png")
    with pytest.raises(DataError, match="no pixel of the val masks"):
        load("camvid", tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "names no picture"),
        ("2007_000000\n2007_000000\n", "twice"),
        ("../x\n", "no name of a picture"),
        ("2007_9\n", "missing"),
    ],
)
def test_lists_at_fault(tmp_path: Path, content: str, said: str) -> None:
    (voc(tmp_path) / "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt").write_text(content)
    with pytest.raises(DataError, match=said):
        load("voc", tmp_path)
