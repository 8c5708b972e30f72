"""Resizing as OpenCV does: vectors made by OpenCV 5.0.0 (`cv2.resize`, INTER_LINEAR), and the centre of RLNAS' code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lowland.core.config import DataConfig
from lowland.data import load, pixels
from lowland.data.opencv import centre, resized

LEVELS = np.array(
    [[0, 10, 200, 255, 30], [90, 17, 3, 250, 128], [255, 254, 1, 0, 77], [12, 34, 56, 78, 90]], dtype=np.uint8
)
SMALLER = [[14, 167, 116], [160, 2, 110], [58, 47, 80]]
LARGER = [
    [0, 6, 64, 200, 239, 158, 30],
    [63, 35, 28, 62, 197, 186, 98],
    [173, 151, 97, 2, 90, 115, 103],
    [182, 185, 139, 17, 21, 48, 81],
    [12, 24, 40, 56, 72, 83, 90],
]


def test_a_smaller_picture_is_opencv_s_to_the_bit() -> None:
    assert resized(LEVELS, 3, 3).tolist() == SMALLER
    colours = np.stack([LEVELS, 255 - LEVELS], axis=2)
    assert resized(colours, 3, 3)[:, :, 0].tolist() == SMALLER


def test_a_larger_picture_is_opencv_s_to_a_level() -> None:
    assert np.abs(resized(LEVELS, 5, 7).astype(int) - np.array(LARGER)).max() <= 1


@pytest.mark.parametrize("size", [(32, 32), (256, 341), (9, 4)])
def test_it_is_bilinear_interpolation_without_antialiasing(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 80), dtype=np.uint8)
    real = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None].double(), size=size, mode="bilinear", align_corners=False, antialias=False
    )[0, 0]
    assert float((torch.from_numpy(resized(image, *size)).double() - real).abs().max()) <= 1.0


def test_the_centre_shows_seven_eighths_of_the_shorter_side() -> None:
    levels = np.tile(np.arange(120, dtype=np.uint8), (64, 1))
    found = np.asarray(centre(Image.fromarray(levels), 56))
    assert found.shape == (56, 56)
    assert (found[0, 0], found[0, -1]) == (32, 87)  # of 120 columns the middle 56
    assert np.asarray(centre(Image.fromarray(levels.T), 56)).T.tolist() == found.tolist()
    assert np.asarray(centre(Image.fromarray(np.full((300, 500, 3), 7, np.uint8)), 224)).shape == (224, 224, 3)


def test_training_and_predicting_see_the_same_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for part in ("train", "test"):
        for name in ("one", "two"):
            (tmp_path / part / name).mkdir(parents=True)
            for place in range(4):
                picture = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
                picture.save(tmp_path / part / name / f"{place}.png")
    settings = {"name": str(tmp_path), "fit": "opencv", "normalise": "none", "image_size": 28}
    data = load(DataConfig.model_validate(settings), seed=0)
    assert data.fit == "opencv"
    x_NCHW = data.test.images(torch.arange(1))
    with Image.open(tmp_path / "test" / "one" / "0.png") as picture:
        assert torch.equal(x_NCHW[0], torch.from_numpy(pixels(picture, 3, 28, "opencv").copy()))
    assert torch.allclose(data.normalise(x_NCHW), x_NCHW.float() / 255)
    assert any("data.fit=opencv" in words for words in data.found)
