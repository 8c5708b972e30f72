"""Mean intersection over union, from one confusion matrix over a whole set.

Source: cityscapesscripts/evaluation/evalPixelLevelSemanticLabeling.py; MMSegmentation's IoUMetric. A mean over
pictures' own IoUs is another figure.

Tensor names: K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lowland.data.segmentation.classes import IGNORED
from lowland.evaluation.dense.results import Metric

METRICS = (
    Metric(key="mIoU", label="mIoU", first=True),
    Metric(key="accuracy", label="pixel accuracy", first=True),
    Metric(key="mAcc", label="mean accuracy of the classes"),
)

PREFIX = "IoU "
"""In front of a class's name: the key of its metric."""


def confusion(found: Tensor, truth: Tensor, classes: int) -> Tensor:
    """How many pixels of each class are told to be of which.

    Args:
        found: Labels 0 … K − 1 of any shape.
        truth: Of the same shape; pixels of label `IGNORED` do not count.
        classes: K.

    Returns:
        int64 (K, K) on the device of both: rows are true classes, columns found ones.
    """
    counts = truth != IGNORED
    pairs = truth[counts].long() * classes + found[counts].long()
    return torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def figures(matrix_KK: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """IoU = TP/(TP + FP + FN) of each class whose union is not empty, their mean, and accuracies; percent.

    The mean accuracy is that of the classes that there are pixels of.

    Example:
        Two of three pixels of the first class are found, and the only one of the second; there is no third:

        >>> matrix = torch.tensor([[2, 1, 0], [0, 1, 0], [0, 0, 0]])
        >>> {name: round(value, 1) for name, value in figures(matrix, ("sky", "road", "car")).items()}
        {'mIoU': 58.3, 'accuracy': 75.0, 'mAcc': 83.3, 'IoU sky': 66.7, 'IoU road': 50.0}

    Returns:
        By the keys of `METRICS` and of the classes; a class that neither is there nor was found is left out.
    """
    matrix_KK = matrix_KK.double().cpu()
    right_K, true_K, found_K = matrix_KK.diagonal(), matrix_KK.sum(1), matrix_KK.sum(0)
    union_K = true_K + found_K - right_K
    known = [place for place in range(len(classes)) if union_K[place] > 0]
    each = {place: 100 * float(right_K[place] / union_K[place]) for place in known}
    there = [100 * float(right_K[place] / true_K[place]) for place in known if true_K[place] > 0]
    return {
        "mIoU": sum(each.values()) / len(each),
        "accuracy": 100 * float(right_K.sum() / matrix_KK.sum()),
        "mAcc": sum(there) / len(there),
        **{f"{PREFIX}{classes[place]}": value for place, value in each.items()},
    }
