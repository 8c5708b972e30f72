"""The suite `segmentation`: DeepLabv3 with the first network as its backbone, trained and judged on a data set."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field
from torch import nn

from lowland.core.config import Config as RunConfig
from lowland.core.errors import ConfigError
from lowland.data import DataSet
from lowland.data.segmentation.layout import Name
from lowland.data.segmentation.scenes import Scenes, load
from lowland.evaluation.dense.results import DenseResults, Metric
from lowland.evaluation.dense.suite import DenseSuite, Problem, TrainingSettings
from lowland.evaluation.segmentation.deeplab import MAPS, Segmenter, atrous_rates
from lowland.evaluation.segmentation.design import DESIGNS, RECIPES, Preset
from lowland.evaluation.segmentation.intersection import METRICS, PREFIX
from lowland.evaluation.segmentation.task import Segmentation
from lowland.evaluation.suite import register
from lowland.training.backbone import Backbone

LEAST_BATCH = 2
"""Pictures of a step: of one alone, batch norm of the pooled picture has a single value per channel."""


@register
class SegmentationSuite(DenseSuite):
    """How well every pixel's class is told with a network's maps: mIoU of DeepLabv3, trained on them."""

    name = "segmentation"
    summary = "DeepLabv3 with the first network as its backbone: trained on labelled pixels, then mIoU"
    source = "Chen et al. 2017, arXiv:1706.05587; GeNAS, Table 4"

    class Config(TrainingSettings):
        """On what, and how."""

        dataset: Name | None = Field(None, description="layout of the data set: cityscapes, camvid or voc (--dataset)")
        root: Path | None = Field(None, description="its folder (--data-root)")
        preset: Preset = Field(
            "small", description="design and recipe: small (processors), paper (MMSegmentation's, as in GeNAS)"
        )
        output_stride: Literal[8, 16, 32] | None = Field(
            None, description="stride of the network's last map; default: the preset's"
        )

    metrics = METRICS
    title = "Segmentation"

    @classmethod
    def told(cls, results: DenseResults) -> tuple[Metric, ...]:
        """The three of every data set, and the IoU of each class."""
        found = (key for outcome in results.outcomes for key in (*outcome.metrics, *outcome.test))
        keys = dict.fromkeys(key for key in found if key.startswith(PREFIX))
        return (*cls.metrics, *(Metric(key=key, label=f"IoU, {key.removeprefix(PREFIX)}") for key in keys))

    @cached_property
    def data(self) -> Scenes:
        """The data set."""
        if self.config.dataset is None or self.config.root is None:
            raise ConfigError(
                "segmentation needs labelled pictures; name the data set with --dataset cityscapes, camvid or voc, and "
                "its folder with --data-root"
            )
        return load(self.config.dataset, self.config.root)

    def require(self, config: RunConfig, data: DataSet) -> None:
        """Raise ConfigError or DataError where data or settings do not allow it."""
        del config, data
        self.problem()

    def outside(self, config: RunConfig, data: DataSet) -> str:
        """The fingerprint of the labelled pictures."""
        del config, data
        return self.data.fingerprint + self.data.test_fingerprint

    def problem(self) -> Problem:
        """Segmentation of the data set asked for."""
        data, design = self.data, DESIGNS[self.config.preset]
        recipe = self.config.recipe(RECIPES[self.config.preset], self.name)
        augmentation = design.augmentation[data.name]
        output_stride = self.config.output_stride or design.output_stride
        task = Segmentation(data, augmentation, design.auxiliary)
        shown = min(recipe.batch_size, task.images)
        if shown < LEAST_BATCH:
            raise ConfigError(
                f"segmentation learns batch norm of pooled pictures, which needs at least {LEAST_BATCH} pictures a "
                f"step, and has {shown}; raise batch_size, or give more pictures"
            )

        def model(backbone: Backbone, mean: tuple[float, ...], std: tuple[float, ...]) -> nn.Module:
            return Segmenter(backbone, len(data.classes), mean, std)

        return Problem(
            task=task,
            recipe=recipe,
            strides=MAPS,
            output_stride=output_stride,
            model=model,
            data=data.text,
            pictures=len(data.val),
            test_pictures=len(data.test),
            settings={
                "data": data.fingerprint,
                "augmentation": asdict(augmentation),
                "output_stride": output_stride,
                "atrous_rates": atrous_rates(output_stride),
                "auxiliary": design.auxiliary,
            },
            notes=(f"output stride {output_stride}", *data.notes),
        )
