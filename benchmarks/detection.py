"""Does a found network detect better than a random one of its size, and than timm's mobilenetv3_small?

For every seed three backbones of equal size (`dense_candidates.py`) are trained from scratch as `lowland detect` does
it, by one preset and the same steps, on the same pictures, and judged by COCO's average precision on the validation
pictures. Of each candidate AP and its 95 % interval over seeds are told, and the differences with pairs of equal seeds.
A stopped benchmark goes on, in the middle of a training too.

    python benchmarks/detection.py --coco DIR --found runs/mine --seeds 0 1 2
    python benchmarks/detection.py --report

The data: 128 training and 128 validation pictures of COCO at 320 pixels, so few that AP is of a few percent; what is
compared is how quickly backbones learn to find things at all.
"""

from __future__ import annotations

from pathlib import Path

from dense_comparison import compare, length, parser
from lowland.evaluation.detection.suite import DetectionSuite


def main() -> None:
    asked = parser(__doc__, "detection")
    asked.add_argument("--coco", type=Path, help="folder in COCO's layout")
    arguments = asked.parse_args()
    config = DetectionSuite.Config(coco=arguments.coco, **length(arguments))
    compare(arguments, "detection", "AP", lambda: DetectionSuite(config))


if __name__ == "__main__":
    main()
