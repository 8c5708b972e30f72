"""Average precision as COCO defines it: the twelve figures of its evaluation, by faster-coco-eval.

Source: Lin et al. 2014, arXiv:1405.0312; cocodataset.org/#detection-eval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lowland.core.errors import ConfigError
from lowland.data.detection.coco import Picture
from lowland.evaluation.dense.results import Metric

METRICS = (
    Metric(key="AP", label="AP", first=True),
    Metric(key="AP50", label="AP at IoU .5", first=True),
    Metric(key="AP75", label="AP at IoU .75"),
    Metric(key="APs", label="AP of small objects"),
    Metric(key="APm", label="AP of medium objects"),
    Metric(key="APl", label="AP of large objects"),
    Metric(key="AR1", label="AR, 1 box a picture"),
    Metric(key="AR10", label="AR, 10 boxes"),
    Metric(key="AR100", label="AR, 100 boxes"),
    Metric(key="ARs", label="AR of small objects"),
    Metric(key="ARm", label="AR of medium objects"),
    Metric(key="ARl", label="AR of large objects"),
)
"""In the order of COCO's own summary; percent. AP is the mean over IoU .5, .55 … .95 and over classes."""


def require() -> None:
    """Raise ConfigError where faster-coco-eval is not installed."""
    try:
        import faster_coco_eval  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "detection is judged by faster-coco-eval, which is not installed: pip install 'lowland[detection]'"
        ) from error


def truth(pictures: Sequence[Picture], categories: Sequence[tuple[int, str]]) -> dict[str, Any]:
    """The annotations as COCO's evaluation reads them, crowds and empty pictures included.

    They are numbered from 1: it takes an annotation of number 0 for none, and a perfect box would score 0
    (MiXaiLL76/faster_coco_eval#77).

    Returns:
        The mapping that COCO's annotation files hold.
    """
    annotations: list[dict[str, Any]] = []
    for picture in pictures:
        for place, label in enumerate(picture.labels_B.tolist()):
            x1, y1, x2, y2 = picture.boxes_B4[place].tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": picture.id,
                    "category_id": categories[label - 1][0],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": float(picture.areas_B[place]),
                    "iscrowd": int(picture.crowd_B[place]),
                }
            )
    return {
        "images": [{"id": each.id, "width": each.width, "height": each.height} for each in pictures],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in categories],
    }


def detections(
    picture: Picture, found: Mapping[str, Any], categories: Sequence[tuple[int, str]]
) -> list[dict[str, Any]]:
    """A detector's boxes on a picture as COCO's evaluation reads them, labels 1 … K back in the file's numbers."""
    rows = zip(found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist(), strict=True)
    return [
        {
            "image_id": picture.id,
            "category_id": categories[label - 1][0],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for (x1, y1, x2, y2), label, score in rows
        if label > 0  # 0 stands for none; its logit learns to be low, but may still be told
    ]


def average_precision(known: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The twelve figures.

    Args:
        known: As `truth` makes it.
        found: Boxes of all pictures, as `detections` makes them; none at all score 0.

    Returns:
        Percent, by the keys of `METRICS`; those of object sizes of which there are none are left out.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    real = COCO(dict(known))
    judged = COCOeval_faster(real, real.loadRes([dict(each) for each in found]), "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    values = np.asarray(judged.stats, dtype=np.float64)[: len(METRICS)]
    return {metric.key: 100 * float(value) for metric, value in zip(METRICS, values, strict=True) if value >= 0}
