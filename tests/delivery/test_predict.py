"""What people give to `predict`: every usual form of one picture or many, and what cannot be read in one sentence."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lowland.core.errors import ConfigError, DataError
from lowland.core.seeds import numpy_rng
from lowland.delivery import network as delivery
from lowland.delivery.network import Network
from lowland.spaces import Shape, get

RNG = np.random.default_rng(0)


def network(channels: int) -> Network:
    """An untrained network for 16×16 pictures of three classes."""
    space = get("nasbench201")
    shape = Shape(in_channels=channels, image_size=16, num_classes=3, channels=4, cells=1)
    genotype = space.sample(numpy_rng(0))
    return Network(
        space.network(genotype, shape),
        genotype=genotype,
        shape=shape,
        classes=("a", "b", "c"),
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        facts={},
    ).eval()


COLOUR, GREY = network(3), network(1)


def colour(count: int = 5) -> np.ndarray:
    return RNG.integers(0, 256, (count, 20, 24, 3), dtype=np.uint8)


def same(given: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    assert [name for name, _ in given] == [name for name, _ in expected]
    assert [value for _, value in given] == pytest.approx([value for _, value in expected], abs=1e-6)


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "list of arrays": list,
    "tuple of PIL images": lambda x: tuple(map(Image.fromarray, x)),
    "array N×H×W×C": lambda x: x,
    "array N×C×H×W": lambda x: x.transpose(0, 3, 1, 2),
    "tensor N×C×H×W": lambda x: torch.from_numpy(x).permute(0, 3, 1, 2),
    "list of tensors": lambda x: list(torch.from_numpy(x).permute(0, 3, 1, 2)),
    "generator": lambda x: (picture for picture in x),
    "of all sorts": lambda x: [x[0], Image.fromarray(x[1]), torch.from_numpy(x[2]).permute(2, 0, 1), *x[3:]],
}


@pytest.mark.parametrize("form", FORMS)
def test_many_pictures_in_any_form(form: str) -> None:
    pictures = colour()
    expected = [COLOUR.predict(Image.fromarray(picture))[0] for picture in pictures]
    same(COLOUR.predict(FORMS[form](pictures)), expected)
    assert COLOUR.preprocess(FORMS[form](pictures)).shape == (5, 3, 16, 16)


def test_one_picture_in_any_form(tmp_path: Path) -> None:
    picture = colour(1)[0]
    file = tmp_path / "one [b] ± picture.png"
    Image.fromarray(picture).save(file)
    expected = COLOUR.predict(Image.fromarray(picture))
    for given in (picture, torch.from_numpy(picture).permute(2, 0, 1), file, str(file), [str(file)]):
        same(COLOUR.predict(given), expected)
        assert torch.equal(COLOUR.preprocess(given), COLOUR.preprocess(Image.fromarray(picture)))


def test_grey_in_any_form() -> None:
    many = RNG.integers(0, 256, (5, 20, 24), dtype=np.uint8)
    expected = [GREY.predict(Image.fromarray(picture))[0] for picture in many]
    for given in (many, many[..., None], many[:, None], torch.from_numpy(many)[:, None], list(torch.from_numpy(many))):
        same(GREY.predict(given), expected)
    for one in (many[0], many[0][..., None], torch.from_numpy(many[0]), torch.from_numpy(many[:1]), many[:1]):
        same(GREY.predict(one), expected[:1])
    same(GREY.predict(many[:3]), expected[:3])


def test_transparency_lies_on_white_as_in_files(tmp_path: Path) -> None:
    picture = RNG.integers(0, 256, (20, 24, 4), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "x.png")
    expected = COLOUR.predict(tmp_path / "x.png")
    same(COLOUR.predict(picture), expected)
    same(COLOUR.predict(np.stack([picture])), expected)


@pytest.mark.parametrize("nothing", [[], (), np.zeros((0, 20, 20, 3), np.uint8), torch.zeros(0, 3, 20, 20).byte()])
def test_no_pictures_are_no_predictions(nothing: Any) -> None:
    assert COLOUR.predict(nothing) == []
    assert COLOUR.predict(nothing, top=2) == []
    assert COLOUR.preprocess(nothing).shape == (0, 3, 16, 16)


def test_top_gives_the_likeliest_classes_in_order() -> None:
    pictures = colour(4)
    first = COLOUR.predict(pictures)
    for top, length in ((1, 1), (2, 2), (5, 3)):
        found = COLOUR.predict(pictures, top=top)
        assert [len(pairs) for pairs in found] == [length] * 4
        assert [pairs[0] for pairs in found] == first
        for pairs in found:
            assert [value for _, value in pairs] == sorted((value for _, value in pairs), reverse=True)
    assert sum(value for _, value in COLOUR.predict(pictures[0], top=3)[0]) == pytest.approx(1)
    with pytest.raises(ConfigError, match="top=0 must be at least 1"):
        COLOUR.predict(pictures, top=0)


def test_long_lists_are_read_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "BATCH", 4)
    pictures = colour(10)
    read, seen = 0, []

    def one_by_one() -> Iterator[np.ndarray]:
        nonlocal read
        for picture in pictures:
            read += 1
            yield picture

    net = network(3)
    net.register_forward_pre_hook(lambda _, given: seen.append((len(given[0]), read)))
    same(net.predict(one_by_one()), net.predict(list(pictures)))
    assert seen[:3] == [(4, 4), (4, 8), (2, 10)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "NoneType is nothing that holds images; give a PIL image, a uint8 array H×W"),
        (b"bytes", "bytes is nothing that holds images"),
        ({"a": 1}, "dict is nothing that holds images"),
        ([colour(1)[0], 3], "image 1 cannot be used: it is of type int; give a PIL image"),
        ([(colour(1)[0], 3)], "image 0 cannot be used: it is of type tuple"),
        (np.zeros(9, np.uint8), r"image 0 cannot be used: arrays must be uint8 of shape .* not uint8 of shape \(9,\)"),
        (np.zeros((2, 20, 20, 5), np.uint8), r"image 0 cannot be used: arrays must be .* of shape \(20, 20, 5\)"),
        (np.zeros((3, 20, 20), np.uint8), r"shape \(3, 20, 20\) could be one picture C×H×W in colour or 3 in grey"),
        (np.zeros((20, 20, 3)), "image 0 cannot be used: arrays must be uint8 .*, not float64"),
        (np.array([[None] * 9] * 9), "arrays must be uint8 .*, not object"),
        (np.zeros((2, 20, 3), np.uint8), "image 0 is 20 × 2 pixels, but sides of at least 4 are needed"),
        (np.zeros((0, 20), np.uint8), "image 0 "),
        (
            torch.zeros(3, 20, 20),
            r"tensors must be uint8 of shape C×H×W .* not float32 .* normalised already go to",
        ),
        (torch.zeros(20, 20, 3).byte(), r"tensors must be uint8 of shape C×H×W .* of shape \(20, 20, 3\)"),
        (torch.zeros(2, 2, 3, 20, 20).byte(), "tensors must be uint8"),
        (Image.new("F", (20, 20)), "image 0 cannot be used: it holds floating-point levels .*; convert it to 8-bit"),
    ],
    ids=range(16),
)
def test_what_cannot_be_read_is_one_sentence(given: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as fault:
        COLOUR.predict(given)
    assert "\n" not in str(fault.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    good, bad, cut = tmp_path / "good.jpg", tmp_path / "bad.jpg", tmp_path / "cut.png"
    Image.fromarray(RNG.integers(0, 256, (99, 99, 3), dtype=np.uint8)).save(good)
    bad.write_text("no picture")
    Image.fromarray(RNG.integers(0, 256, (99, 99, 3), dtype=np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:4000])
    Image.new("RGB", (2, 9)).save(tmp_path / "small.png")
    for path, words in (
        (tmp_path / "none.jpg", "does not exist: check the path"),
        (tmp_path, "is a folder: give the files in it"),
        (bad, r"cannot be decoded \(its content is of no known image format\)"),
        (cut, "cannot be decoded"),
        (tmp_path / "small.png", "is 2 × 9 pixels"),
    ):
        with pytest.raises(DataError, match=words) as fault:
            COLOUR.predict([good, path])
        assert str(fault.value).startswith(f"image 1, {path}, ")
    with Image.open(cut) as opened, pytest.raises(DataError, match=r"image 1 cannot be used: .*; open an intact copy"):
        COLOUR.predict([good, opened])


def test_files_are_decoded_as_in_training(tmp_path: Path) -> None:
    """Large gratings in JPEG, which a decoder at a fraction of the size would show otherwise."""
    rows = np.arange(512)[:, None] + np.arange(512)[None]
    Image.fromarray(((rows % 3) * 120).astype(np.uint8)).save(tmp_path / "grating.jpg", quality=95)
    with Image.open(tmp_path / "grating.jpg") as picture:
        expected = GREY.preprocess(picture)
    assert torch.equal(GREY.preprocess(tmp_path / "grating.jpg"), expected)
    shutil.copy(tmp_path / "grating.jpg", tmp_path / "copy")
    assert torch.equal(GREY.preprocess(str(tmp_path / "copy")), expected)
