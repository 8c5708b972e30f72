"""Oblong pictures: what each way of making them square keeps, which is chosen, and that predict does the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lowland.core.config import DataConfig
from lowland.core.errors import LowlandWarning
from lowland.data import DataSet, load, pixels
from lowland.data.corruptions.images import resized
from lowland.data.fitting import choose, fit, natural_side

RNG = np.random.default_rng(0)


def strips(root: Path, size: tuple[int, int]) -> Path:
    """Two classes that differ at the left end alone."""
    for part, count in (("train", 6), ("test", 3)):
        for label, name in enumerate(("left", "none")):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                levels = RNG.integers(30, 70, (size[1], size[0]), dtype=np.uint8)
                levels[:, : size[0] // 8] += 180 * (1 - label)
                Image.fromarray(levels).save(root / part / name / f"{i}.png")
    return root


def opened(root: Path, **settings: object) -> DataSet:
    return load(DataConfig.model_validate({"name": str(root), **settings}), seed=0)


def gap(data: DataSet) -> float:
    """How much the two classes differ at all, in levels."""
    x_NCHW = data.test.images(torch.arange(len(data.test))).float()
    return float((x_NCHW[data.test.labels_N == 0].mean(0) - x_NCHW[data.test.labels_N == 1].mean(0)).abs().max())


def test_strips_are_squashed_and_it_is_said(tmp_path: Path) -> None:
    data = opened(strips(tmp_path, (64, 8)))
    assert data.fit == "squash"
    assert data.image_size == 22  # √(8 · 64)
    assert any("squashed from oblong pictures (data.fit=squash)" in words for words in data.found)
    assert gap(data) > 130
    with pytest.warns(LowlandWarning, match=r"of 100% of the pictures most is cut away .*data\.fit=squash or pad"):
        cropped = opened(tmp_path, fit="crop")
    assert (cropped.fit, cropped.image_size) == ("crop", 8)
    assert gap(cropped) < 60
    assert cropped.fingerprint != data.fingerprint


def test_padded_pictures_keep_their_proportions(tmp_path: Path) -> None:
    data = opened(strips(tmp_path, (32, 8)), fit="pad")
    assert data.image_size == 32
    x = data.test.images(torch.arange(6))
    assert x[:, :, :12].max() == x[:, :, 20:].max() == 0
    stored = {Image.open(path).tobytes() for path in tmp_path.glob("test/*/*")}
    assert {image[0, 12:20].numpy().tobytes() for image in x} == stored


@pytest.mark.parametrize("size", [(30, 20), (20, 30), (40, 20)])
def test_pictures_that_keep_at_least_half_are_cropped(size: tuple[int, int]) -> None:
    widths, heights = (np.full(3, side) for side in size)
    assert choose("auto", widths, heights) == "crop"
    assert natural_side("crop", widths, heights, 224) == 20
    assert choose("auto", widths + 21, heights) == ("crop" if size[0] == 20 else "squash")


@pytest.mark.parametrize("how", ["crop", "squash", "pad"])
def test_square_pictures_are_the_same_in_every_fit(how: str) -> None:
    picture = Image.fromarray(RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8))
    expected = picture.resize((9, 9), Image.Resampling.BILINEAR)
    assert fit(picture, 9, how).tobytes() == expected.tobytes()  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["crop", "squash", "pad"])
def test_pixels_are_those_of_the_loaded_files(tmp_path: Path, how: str) -> None:
    data = opened(strips(tmp_path, (30, 18)), fit=how, image_size=12)
    expected = {pixels(Image.open(path), 1, 12, data.fit).tobytes() for path in tmp_path.glob("test/*/*")}
    assert {x.numpy().tobytes() for x in data.test.images(torch.arange(6))} == expected
    arrays = torch.stack([torch.from_numpy(np.array(Image.open(p)))[None] for p in sorted(tmp_path.glob("test/*/*"))])
    assert {x.numpy().tobytes() for x in resized(arrays, 12, data.fit)} == expected


def test_arrays_are_squashed_too(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (12, 8, 40), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=x, labels=np.arange(12) % 2)
    data = opened(tmp_path / "a.npz", image_size=8)
    assert data.fit == "squash"
    expected = {Image.fromarray(image).resize((8, 8), Image.Resampling.BILINEAR).tobytes() for image in x}
    assert {image.numpy().tobytes() for image in data.train.images(torch.arange(len(data.train)))} < expected


def test_wide_test_pictures_beside_square_ones_are_told(tmp_path: Path) -> None:
    x, wide = (RNG.integers(0, 256, (12, 8, width), dtype=np.uint8) for width in (8, 30))
    y = np.arange(12) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=wide, y_test=y)
    with pytest.warns(LowlandWarning, match="of 100% of the test pictures most is cut away"):
        data = opened(tmp_path / "a.npz")
    assert "centre cut out of oblong pictures (data.fit=crop)" in data.found[-1]
