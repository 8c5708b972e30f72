"""The suite `detection`: RetinaNet with the first network as its backbone, trained and judged on COCO-like data."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from pydantic import Field
from torch import nn

from lowland.core.config import Config as RunConfig
from lowland.core.errors import ConfigError
from lowland.data import DataSet
from lowland.data.detection.coco import CocoSet, load
from lowland.evaluation.dense.suite import DenseSuite, Problem, TrainingSettings
from lowland.evaluation.detection.design import DESIGNS, RECIPES, Preset
from lowland.evaluation.detection.precision import METRICS, require
from lowland.evaluation.detection.retinanet import LEAST_BATCH, STRIDES, retinanet
from lowland.evaluation.detection.task import Detection
from lowland.evaluation.suite import register
from lowland.training.backbone import Backbone


@register
class DetectionSuite(DenseSuite):
    """How well objects are found with a network's maps: average precision of RetinaNet, trained on them."""

    name = "detection"
    summary = "RetinaNet with the first network as its backbone: trained on COCO's boxes, then average precision"
    source = "Lin et al. 2017, arXiv:1708.02002; GeNAS, Table 4"

    class Config(TrainingSettings):
        """On what, and how."""

        coco: Path | None = Field(
            None, description="folder in COCO's layout: annotations/instances_{train,val}*.json and pictures (--coco)"
        )
        preset: Preset = Field(
            "small", description="design and recipe: small (few pictures), torchvision, detectron2 (COCO)"
        )

    metrics = METRICS
    title = "Detection"

    @cached_property
    def data(self) -> CocoSet:
        """The data set."""
        if self.config.coco is None:
            raise ConfigError("detection needs pictures with boxes; name a folder in COCO's layout with --coco")
        return load(self.config.coco)

    def require(self, config: RunConfig, data: DataSet) -> None:
        """Raise ConfigError or DataError where data, evaluator or settings do not allow it."""
        del config, data
        self.problem()

    def outside(self, config: RunConfig, data: DataSet) -> str:
        """The fingerprint of the pictures with boxes."""
        del config, data
        return self.data.fingerprint

    def problem(self) -> Problem:
        """Detection on the data set asked for."""
        require()
        data, design = self.data, DESIGNS[self.config.preset]
        task, recipe = Detection(data), self.config.recipe(RECIPES[self.config.preset], self.name)

        def model(backbone: Backbone, mean: tuple[float, ...], std: tuple[float, ...]) -> nn.Module:
            shown = min(recipe.batch_size, task.images)
            if not backbone.pretrained and shown < LEAST_BATCH:
                raise ConfigError(
                    f"detection from scratch learns batch norm, which needs at least {LEAST_BATCH} pictures a step, "
                    f"and has {shown}; raise batch_size, give more pictures, or begin with trained weights"
                )
            built: nn.Module = retinanet(backbone, design, len(data.categories), mean, std)
            return built

        return Problem(
            task=task,
            recipe=recipe,
            strides=STRIDES,
            model=model,
            data=data.text,
            pictures=len(data.val.pictures),
            settings={"data": data.fingerprint, "design": asdict(design)},
            notes=data.notes,
        )
