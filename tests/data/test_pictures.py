"""The decoder: the same pixels in training as in predict, and nothing read as what it is not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lowland.core.config import DataConfig
from lowland.core.errors import DataError, LowlandWarning
from lowland.data import DataSet, load, pictures, pixels

RNG = np.random.default_rng(0)


def opened(root: Path, **settings: object) -> DataSet:
    return load(DataConfig.model_validate({"name": str(root), **settings}), seed=0)


def grating(side: int, period: float, turn: float) -> Image.Image:
    y, x = np.mgrid[:side, :side]
    wave = np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / period)
    return Image.fromarray((127.5 + 120 * wave).astype(np.uint8)).convert("RGB")


def folder(root: Path, pictures: list[Image.Image], suffix: str = "png", **save: object) -> Path:
    for place, picture in enumerate(pictures):
        path = root / "ab"[place % 2] / f"{place}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, **save)
    return root


@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")  # fine gratings average out
@pytest.mark.parametrize("size", [32, 100])
def test_fine_gratings_are_decoded_as_in_predict(tmp_path: Path, size: int) -> None:
    gratings = [grating(1024, 2 + turn / 3, turn) for turn in range(6)]
    data = opened(folder(tmp_path, gratings, "jpg", quality=95), image_size=size)
    found = {
        x.numpy().tobytes()
        for split in (data.train, data.search, data.test)
        for x in split.images(torch.arange(len(split)))
    }
    expected = set()
    for path in tmp_path.glob("*/*"):
        with Image.open(path) as picture:
            picture.load()  # as predict may get it
            expected.add(pixels(picture, 3, size).tobytes())
    assert found == expected


def test_sets_once_decoded_otherwise_have_another_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, [grating(64, 5, turn) for turn in range(6)], "jpg")
    now = {size: opened(tmp_path, image_size=size).fingerprint for size in (16, 17)}
    monkeypatch.setattr("lowland.data.sources.HALVED", 1000)
    assert opened(tmp_path, image_size=17).fingerprint == now[17]
    assert opened(tmp_path, image_size=16).fingerprint != now[16]


def noise() -> list[Image.Image]:
    return [Image.fromarray(RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in range(6)]


def test_levels_of_unknown_range_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, noise())
    Image.fromarray(np.full((8, 8), 200, dtype=np.int32)).save(tmp_path / "a" / "x.tif")
    with pytest.raises(DataError, match=r"x\.tif cannot be decoded \(it holds 32-bit levels .*\); convert it to 8-bit"):
        opened(tmp_path)
    with pytest.raises(ValueError, match="32-bit levels"):
        pixels(Image.fromarray(np.full((8, 8), 200, dtype=np.int32)), 1, 8)


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp", "png"])
def test_further_pages_and_frames_are_counted(tmp_path: Path, suffix: str) -> None:
    folder(tmp_path, noise())
    noise()[0].save(tmp_path / "b" / f"x.{suffix}", save_all=True, append_images=noise()[:2])
    with pytest.warns(LowlandWarning, match="1 file holds several pages or frames, of which only the first is used"):
        opened(tmp_path)


def test_the_preview_in_a_telephones_picture_is_no_second_picture(tmp_path: Path) -> None:
    folder(tmp_path, noise())
    first, *others = noise()
    first.save(tmp_path / "b" / "x.jpg", format="MPO", save_all=True, append_images=others[:1])
    data = opened(tmp_path)
    assert any(words.endswith("PNG, JPEG") for words in data.found)


def test_pictures_of_too_many_pixels_are_told_apart_from_damaged_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path, noise())
    Image.new("L", (40, 40)).save(tmp_path / "a" / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(DataError, match=r"huge\.png has more than 1,000 pixels, .*; make it smaller or remove it"):
        opened(tmp_path)


def test_a_palette_with_transparency_is_put_on_white(tmp_path: Path) -> None:
    clear = Image.new("P", (8, 8), 1)
    clear.putpalette([255, 0, 0, 0, 0, 255])
    clear.putpixel((0, 0), 0)
    file = tmp_path / "clear.png"
    clear.save(file, transparency=1)
    found = pixels(Image.open(file), 3, 8)
    assert found[:, 0, 0].tolist() == [255, 0, 0]
    assert found[:, 4, 4].tolist() == [255, 255, 255]


def test_an_inverted_cmyk_jpeg_has_its_colours(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (220, 30, 60)).convert("CMYK").save(tmp_path / "c.jpg", quality=95)
    found = pixels(Image.open(tmp_path / "c.jpg"), 3, 16)[:, 8, 8]
    assert np.abs(found.astype(int) - (220, 30, 60)).max() <= 4


def test_a_bomb_of_text_within_a_picture_is_called_so(tmp_path: Path) -> None:
    notes = PngInfo()
    notes.add_text("comment", "x" * 2_000_000, zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "bomb.png", pnginfo=notes)
    with pytest.raises(DataError) as caught:
        pictures.read_picture(tmp_path / "bomb.png", 3, 8, "crop")
    assert str(caught.value) == (
        f"image {tmp_path / 'bomb.png'} holds text beside the picture that unpacks to more than is safe to read; save "
        "it anew without"
    )
