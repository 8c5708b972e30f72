"""Augmentation of pictures with labels: sizes, padding, crops that no class fills, and what stays together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as transforms

from lowland.data.segmentation import augmentation
from lowland.data.segmentation.augmentation import (
    Augmentation,
    augmented,
    distorted,
    resized,
    saturated,
    scaled_size,
)
from lowland.data.segmentation.classes import IGNORED


def plain(**changes: object) -> Augmentation:
    """Nothing but a cut."""
    return Augmentation(
        **{"base": (64, 48), "scale": (1.0, 1.0), "crop": (48, 64), "flip": 0.0, "distort": False, **changes}
    )


def picture() -> tuple[torch.Tensor, torch.Tensor]:
    """Every pixel's colour is its label."""
    labels_HW = torch.randint(0, 3, (6, 8), dtype=torch.uint8).repeat_interleave(8, 0).repeat_interleave(8, 1)
    return (labels_HW * 60)[None].repeat(3, 1, 1), labels_HW


@pytest.mark.parametrize(
    ("size", "base", "factor", "expected"),
    [
        ((1024, 2048), (2048, 1024), 2.0, (2048, 4096)),  # Cityscapes
        ((375, 500), (2048, 512), 1.0, (512, 683)),  # VOC: the shortest side decides
        ((500, 375), (2048, 512), 0.5, (341, 256)),  # upright
        ((180, 240), (240, 180), 0.5, (90, 120)),
        ((1024, 2048), (240, 180), 1.0, (120, 240)),  # the longest
    ],
)
def test_sizes_are_mmcvs(
    size: tuple[int, int], base: tuple[int, int], factor: float, expected: tuple[int, int]
) -> None:
    assert scaled_size(*size, base, factor) == expected


def test_nothing_changes_where_nothing_is_asked() -> None:
    x_3HW, labels_HW = picture()
    found, labels, inside = augmented(x_3HW, labels_HW, plain(), np.random.default_rng(0))
    assert torch.equal(found, x_3HW.float())
    assert torch.equal(labels, labels_HW)
    assert inside.all()


def test_picture_and_labels_stay_together() -> None:
    """Scaled by 2, cut, mirrored: the colour of a pixel is that of its label, but at borders."""
    x_3HW, labels_HW = picture()
    how = plain(scale=(2.0, 2.0), crop=(40, 50), flip=1.0)
    found, labels, _ = augmented(x_3HW, labels_HW, how, np.random.default_rng(1))
    assert found.shape == (3, 40, 50)
    assert labels.shape == (40, 50)
    assert (found[0] == 60 * labels.float()).float().mean() > 0.7
    mirrored, mirror, _ = augmented(x_3HW, labels_HW, plain(flip=1.0), np.random.default_rng(0))
    assert torch.equal(mirrored, x_3HW.flip(2).float())
    assert torch.equal(mirror, labels_HW.flip(1))


def test_small_pictures_are_padded_with_255_and_padding_is_known() -> None:
    x_3HW, labels_HW = picture()
    found, labels, inside = augmented(x_3HW, labels_HW, plain(scale=(0.5, 0.5)), np.random.default_rng(0))
    assert found.shape == (3, 48, 64)
    assert (labels[24:] == IGNORED).all()
    assert (labels[:, 32:] == IGNORED).all()
    assert inside[:24, :32].all()
    assert int(inside.sum()) == 24 * 32
    assert not (found * ~inside).any()


def test_a_crop_is_drawn_anew_while_a_class_fills_more_than_three_quarters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only crops across the border of two classes will do, 9 of 49; ten draws find one in 7 of 8 cases."""
    labels_HW = torch.zeros(64, 64, dtype=torch.uint8)
    labels_HW[:, 40:] = 1
    labels_HW[:8] = IGNORED  # does not count
    x_3HW = torch.zeros(3, 64, 64, dtype=torch.uint8)
    how = plain(base=(64, 64), crop=(16, 16))
    assert how.fullest == 0.75

    def full(seed: int) -> bool:
        _, labels, _ = augmented(x_3HW, labels_HW, how, np.random.default_rng(seed))
        counts = torch.bincount(labels.flatten().long(), minlength=256)[:2]
        return float(counts.max() / counts.sum()) >= 0.75

    assert sum(map(full, range(200))) < 50
    monkeypatch.setattr(augmentation, "DRAWS", 1)
    assert sum(map(full, range(200))) > 130


def test_the_same_draws_give_the_same_picture() -> None:
    x_3HW, labels_HW = picture()
    how = Augmentation(base=(64, 48), crop=(32, 32))
    first, second, other = (augmented(x_3HW, labels_HW, how, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all(map(torch.equal, first, second))
    assert not torch.equal(first[0], other[0])
    assert float(first[0].min()) >= 0
    assert float(first[0].max()) <= 255


def test_saturation_is_that_of_hsv() -> None:
    import colorsys

    x_3HW = torch.rand(3, 5, 5) * 255
    for factor in (0.5, 1.5):
        found = saturated(x_3HW, factor)
        for row in range(5):
            for column in range(5):
                h, s, v = colorsys.rgb_to_hsv(*(x_3HW[:, row, column] / 255).tolist())
                expected = colorsys.hsv_to_rgb(h, min(1.0, s * factor), v)
                assert (found[:, row, column] / 255).tolist() == pytest.approx(expected, abs=1e-5)
    grey = torch.full((3, 2, 2), 90.0)
    assert torch.equal(saturated(grey, 1.4), grey)


def test_distortion_changes_each_property_half_of_the_time() -> None:
    x_3HW = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0)) * 200 + 20
    same = [torch.equal(distorted(x_3HW, np.random.default_rng(seed)), x_3HW) for seed in range(400)]
    assert 0.02 < sum(same) / 400 < 0.12  # 1/16
    assert transforms.adjust_hue(x_3HW / 255, 0.0).shape == x_3HW.shape


def test_pictures_are_resized_smoothly() -> None:
    stripes = torch.tensor([0, 255] * 32, dtype=torch.uint8).repeat(3, 64, 1)
    assert resized(stripes, (64, 64)) is stripes
    half = resized(stripes, (32, 32))
    assert half.dtype == torch.uint8
    assert 100 < float(half[:, :, 4:-4].float().mean()) < 155
    assert float(half[:, :, 4:-4].float().std()) < 5
