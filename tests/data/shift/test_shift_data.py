"""Class lists, layouts and pictures of published sets: every trap that gives wrong figures without an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from lowland.core.errors import ConfigError, DataError
from lowland.data.shift import CIFAR10, cifar100, cifar_labels, class_folders, group, imagenet_labels, place, wnids
from lowland.data.shift.pictures import as_it_is, centred
from lowland.data.shift.pictures import prepared as prepared_files
from published_sets import picture, pictures

TENCH, GOLDFISH = "n01440764", "n01443537"


# --- class lists -----------------------------------------------------------------------------------------------------


def test_wnids_are_imagenets_in_the_order_of_its_labels() -> None:
    assert len(wnids()) == 1000
    assert list(wnids()) == sorted(wnids())
    assert wnids()[0] == TENCH
    assert wnids()[999] == "n15075141"


def test_the_200_classes_of_a_o_and_r_have_the_official_sums() -> None:
    a, o, r = group("a"), group("o"), group("r")
    assert (len(a), len(o), len(r)) == (200, 200, 200)
    assert (sum(a), sum(o), sum(r)) == (102_178, 134_542, 86_135)
    assert (len(a & o), len(a & r)) == (59, 86)


def test_the_lists_equal_timms() -> None:
    timm = pytest.importorskip("timm.data")
    from importlib.resources import files

    info = files(timm).joinpath("_info")
    assert tuple(info.joinpath("imagenet_synsets.txt").read_text().split()) == wnids()
    for which in ("a", "r"):
        theirs = info.joinpath(f"imagenet_{which}_synsets.txt").read_text().split()
        assert {wnids()[label] for label in group(which)} == set(theirs)  # type: ignore[arg-type]


def test_cifar_100_has_its_classes_in_the_order_of_the_alphabet() -> None:
    assert len(set(cifar100())) == 100
    assert list(cifar100()) == sorted(cifar100())
    assert list(CIFAR10) == sorted(CIFAR10)


def test_networks_classes_are_matched_by_wnid_name_or_label() -> None:
    assert imagenet_labels([GOLDFISH, TENCH], "V2") == (1, 0)
    assert imagenet_labels(["Great_white-shark", "tench", "tench, Tinca tinca"][:2], "V2") == (2, 0)
    text_order = sorted(map(str, range(1000)))
    assert imagenet_labels(text_order, "V2") == tuple(map(int, text_order))
    imagenette = ["tench", "English springer", "cassette player", "chain saw", "church", "French horn", "garbage truck"]
    assert imagenet_labels([*imagenette, "gas pump", "golf ball", "parachute"], "V2") == (
        *(0, 217, 482, 491, 497, 566, 569),
        *(571, 574, 701),
    )


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["tench", "Hand-bag"], ["V2: the networks' class 'Hand-bag' is not ImageNet's", "by wnid"]),
        (["tench", "crane"], ["'crane' may be any of n02012849, n03126707", "by wnid"]),
        (["tench", "Tinca tinca"], ["'tench' and 'Tinca tinca' are one and the same"]),
        ([TENCH, "goldfish"], ["'goldfish' is not ImageNet's"]),
        (["0", "1", "2"], ["'0' is not ImageNet's"]),
    ],
)
def test_classes_that_are_not_imagenets_are_refused(classes: list[str], words: list[str]) -> None:
    with pytest.raises(DataError) as error:
        imagenet_labels(classes, "V2")
    assert all(word in str(error.value) for word in words), error.value


def test_cifars_classes_may_stand_in_any_order_but_must_be_all() -> None:
    assert cifar_labels(CIFAR10[::-1], CIFAR10, "CIFAR-10-C") == tuple(range(9, -1, -1))
    assert cifar_labels([str(label) for label in range(10)], CIFAR10, "CIFAR-10-C") == tuple(range(10))
    with pytest.raises(DataError, match="is about 10 classes, airplane to truck, but the networks know 9"):
        cifar_labels(CIFAR10[1:], CIFAR10, "CIFAR-10-C")
    with pytest.raises(DataError, match="'plane' is not among airplane, automobile"):
        cifar_labels(["plane", *CIFAR10[1:]], CIFAR10, "CIFAR-10-C")


# --- folders ---------------------------------------------------------------------------------------------------------


def test_v2_folders_are_labels_not_ranks(tmp_path: Path) -> None:
    """As text they sort 0, 1, 10, 100, 2: ImageFolder numbers them so, and is wrong."""
    shown = (0, 1, 10, 100, 2)
    found = class_folders(pictures(tmp_path, {str(label): [label] for label in shown}), "V2", numbered=True)
    assert found.labels == (0, 1, 2, 10, 100)
    assert [int(path.parent.name) for path in found.paths] == list(found.labels)


def test_v2_by_wnid_has_the_same_labels(tmp_path: Path) -> None:
    found = class_folders(pictures(tmp_path, {wnids()[7]: [7], wnids()[3]: [3, 3]}), "V2", numbered=True)
    assert found.labels == (3, 3, 7)


def test_readme_and_spaces_in_names_are_passed_over(tmp_path: Path) -> None:
    """As in imagenet-a.tar."""
    pictures(tmp_path, {wnids()[6]: [6, 6]}, names="0.000{}_scorpion _ 0.6.jpg")
    (tmp_path / "README.txt").write_text("ImageNet-A")
    assert class_folders(tmp_path, "A", of="a").labels == (6, 6)


@pytest.mark.parametrize(
    ("folders", "numbered", "words"),
    [
        (["0", TENCH], True, ["all alike", "'0' is none"]),
        (["0", "1"], False, ["called by wnids such as n01440764, all alike, but '0' is none"]),
        (["0", "1000"], True, ["or labels 0 to 999", "is none"]),
        (["1", "01"], True, ["is none"]),
        (["tench"], False, ["'tench' is none"]),
        ([], False, ["holds no folders"]),
    ],
)
def test_other_folders_are_refused(folders: list[str], numbered: bool, words: list[str], tmp_path: Path) -> None:
    pictures(tmp_path, {name: [0] for name in folders})
    with pytest.raises(DataError) as error:
        class_folders(tmp_path, "V2", numbered=numbered)
    assert all(word in str(error.value) for word in words), error.value


def test_what_else_is_unfit_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is none of its 200 classes"):
        class_folders(pictures(tmp_path / "a", {TENCH: [0]}), "A", of="a")
    (tmp_path / "empty" / GOLDFISH).mkdir(parents=True)
    with pytest.raises(DataError, match="holds no pictures"):
        class_folders(tmp_path / "empty", "V2")
    with pytest.raises(DataError, match="holds the folder images"):
        class_folders(pictures(tmp_path / "deep", {f"{TENCH}/images": [0]}), "V2")
    picture(0).save(tmp_path / "a" / "loose.png")
    with pytest.raises(DataError, match="1 pictures outside of class folders, such as loose"):
        class_folders(tmp_path / "a", "A")


def test_a_place_is_found_by_one_name_or_refused_with_what_is_there(tmp_path: Path) -> None:
    asked = {"what": "ImageNet-A, imagenet-a/<wnid>/", "setting": "evaluate.options.imagenet-a.folder"}
    (tmp_path / "imagenet-r").mkdir()
    with pytest.raises(DataError) as error:
        place(tmp_path, None, ["imagenet-a", "a"], **asked)
    assert f"was looked for in {tmp_path} as imagenet-a or a, but there is only imagenet-r;" in str(error.value)
    with pytest.raises(ConfigError, match="give --data-root DIR, the folder that holds imagenet-a"):
        place(None, None, ["imagenet-a"], **asked)
    with pytest.raises(DataError, match="is not a folder"):
        place(tmp_path / "nowhere", None, ["imagenet-a"], **asked)
    with pytest.raises(DataError, match="is not a folder"):
        place(None, tmp_path / "nowhere", ["imagenet-a"], **asked)
    assert place(tmp_path, None, ["imagenet-r"], **asked) == tmp_path / "imagenet-r"
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="could be"):
        place(tmp_path, None, ["imagenet-r", "a"], **asked)


# --- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [(500, 375), (375, 500), (256, 256), (300, 301), (97, 640), (40, 30)])
@pytest.mark.parametrize("size", [224, 64, 32])
def test_resize_and_centre_crop_equal_torchvisions(side: tuple[int, int], size: int) -> None:
    rng = np.random.default_rng(sum(side))
    noise = Image.fromarray(rng.integers(0, 256, (side[1], side[0], 3), dtype=np.uint8))
    theirs = transforms.Compose([transforms.Resize(round(size / 0.875)), transforms.CenterCrop(size)])(noise)
    assert np.array_equal(centred(noise, 3, size), np.asarray(theirs).transpose(2, 0, 1))


def test_224_is_resized_to_256() -> None:
    assert round(224 / 0.875) == 256


def test_imagenet_c_is_never_resized(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    assert np.array_equal(as_it_is(Image.fromarray(pixels), 3, 224), pixels.transpose(2, 0, 1))
    larger = rng.integers(0, 256, (256, 300, 3), dtype=np.uint8)
    assert np.array_equal(as_it_is(Image.fromarray(larger), 3, 224), larger[16:240, 38:262].transpose(2, 0, 1))
    Image.new("RGB", (64, 64)).save(tmp_path / "tiny.png")
    with pytest.raises(DataError, match=r"tiny\.png cannot be decoded .it is 64 × 64 pixels, but"):
        prepared_files([tmp_path / "tiny.png"], [0], 3, 224, resize=False).images(torch.tensor([0]))


def test_a_published_loader_neither_turns_nor_lays_on_white(tmp_path: Path) -> None:
    """torchvision's loader converts to RGB and does nothing else."""
    turned = Image.new("RGB", (40, 32), "black")
    turned.paste("white", (0, 0, 20, 32))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    clear = Image.new("RGBA", (40, 40), (10, 20, 30, 0))
    clear.save(tmp_path / "clear.png")
    split = prepared_files([tmp_path / "turned.png", tmp_path / "clear.png"], [0, 1], 3, 32)
    first, second = split.images(torch.tensor([0, 1]))
    assert (first[:, :, :8] == 255).all()
    assert (first[:, :, -8:] == 0).all()
    assert second.flatten(1).unique(dim=1).flatten().tolist() == [10, 20, 30]


def test_pictures_that_cannot_be_read_are_named_and_counted(tmp_path: Path) -> None:
    paths = [tmp_path / f"{place}.JPEG" for place in range(3)]
    picture(0).save(paths[0], format="JPEG")
    for path in paths[1:]:
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1\.JPEG cannot be decoded .*\(and 1 more like it\)"):
        prepared_files(paths, [0, 0, 0], 3, 32).images(torch.arange(3))
