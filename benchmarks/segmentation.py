"""Does a found network segment better than a random one of its size, and than timm's mobilenetv3_small?

For every seed three backbones of equal size (`dense_candidates.py`) are trained from scratch as `lowland segment` does
it, by one preset and the same steps, on the same pictures, and judged by mIoU on the validation pictures. Of each
candidate mIoU and its 95 % interval over seeds are told, and the differences with pairs of equal seeds. A stopped
benchmark goes on, in the middle of a training too.

    python benchmarks/segmentation.py --dataset camvid --data-root DIR --found runs/mine --seeds 0 1 2
    python benchmarks/segmentation.py --report

The data: CamVid at 240×180, 367 training and 101 validation pictures. Whoever always says the commonest class has an
mIoU of 2.66 % on the latter.
"""

from __future__ import annotations

from pathlib import Path

from dense_comparison import compare, length, parser
from lowland.evaluation.segmentation.suite import SegmentationSuite


def main() -> None:
    asked = parser(__doc__, "segmentation")
    asked.add_argument("--dataset", default="camvid", help="layout: camvid, cityscapes or voc")
    asked.add_argument("--data-root", type=Path, help="folder of the data set")
    asked.add_argument("--output-stride", type=int, help="default: the preset's")
    arguments = asked.parse_args()
    config = SegmentationSuite.Config(
        dataset=arguments.dataset,
        root=arguments.data_root,
        output_stride=arguments.output_stride,
        **length(arguments),
    )
    compare(arguments, "segmentation", "mIoU", lambda: SegmentationSuite(config))


if __name__ == "__main__":
    main()
