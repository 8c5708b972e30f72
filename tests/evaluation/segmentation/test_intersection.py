"""mIoU: one confusion matrix over the whole set."""

from __future__ import annotations

import pytest
import torch

from lowland.data.segmentation.classes import IGNORED
from lowland.evaluation.segmentation.intersection import confusion, figures

NAMES = ("a", "b", "c", "d")


def test_it_is_torchmetrics_jaccard_index() -> None:
    torchmetrics = pytest.importorskip("torchmetrics")
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 4, (3, 9, 11), generator=generator)
    found = torch.randint(0, 4, (3, 9, 11), generator=generator)
    truth[0, :3] = IGNORED
    matrix_KK = sum(confusion(found[place], truth[place], 4) for place in range(3))
    index = torchmetrics.classification.MulticlassJaccardIndex(4, ignore_index=IGNORED)
    assert figures(matrix_KK, NAMES)["mIoU"] == pytest.approx(100 * float(index(found, truth)))


def test_it_is_not_the_mean_over_pictures() -> None:
    """Picture 1: all four pixels right. Picture 2: of one pixel each of two classes one is wrong."""
    first = confusion(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 0]), 4)
    second = confusion(torch.tensor([0, 0]), torch.tensor([0, 1]), 4)
    found = figures(first + second, NAMES)
    assert found["IoU a"] == pytest.approx(100 * 5 / 6)
    assert found["IoU b"] == 0.0
    assert found["mIoU"] == pytest.approx(100 * (5 / 6 + 0) / 2)
    assert found["accuracy"] == pytest.approx(100 * 5 / 6)
    assert found["mAcc"] == pytest.approx(50)
    assert "IoU c" not in found


def test_pixels_left_out_do_not_count_and_a_class_found_where_there_is_none_does() -> None:
    truth = torch.tensor([0, 0, IGNORED, IGNORED], dtype=torch.uint8)
    matrix_KK = confusion(torch.tensor([0, 2, 3, 1]), truth, 4)
    assert int(matrix_KK.sum()) == 2
    found = figures(matrix_KK, NAMES)
    assert {key for key in found if key.startswith("IoU")} == {"IoU a", "IoU c"}
    assert found["mIoU"] == pytest.approx(25)
    assert found["mAcc"] == pytest.approx(50)
