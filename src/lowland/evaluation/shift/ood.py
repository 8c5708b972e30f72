"""The suite of other images: whether networks are less sure of pictures from any folder than of the test images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field
from torch import nn

from lowland.core.config import Config as RunConfig
from lowland.core.errors import ConfigError
from lowland.core.settings import Section
from lowland.data import DataSet, Split
from lowland.data.shift import any_pictures, like_training
from lowland.evaluation.section import Figure, SuiteSection
from lowland.evaluation.shift.detection import strangeness
from lowland.evaluation.shift.judging import values_of
from lowland.evaluation.shift.others import figures, others, section
from lowland.evaluation.shift.results import OthersResults
from lowland.evaluation.suite import EvaluationContext, Suite, register


@register
class OutOfDistribution(Suite[OthersResults]):
    """How well networks tell pictures of other things from the run's test images, by what they make of them."""

    name = "ood"
    summary = "AUROC, AUPR and FPR95 of any folder of other pictures against the test images, by softmax and energy"
    source = "Hendrycks & Gimpel 2017, arXiv:1610.02136; Liu et al. 2020, arXiv:2010.03759"

    class Config(Section):
        """Which pictures."""

        folders: tuple[Path, ...] = Field(
            (), description="folders of pictures of other things, with or without folders in them (--ood)"
        )

    Results = OthersResults

    def found(self) -> dict[str, tuple[Path, ...]]:
        """The pictures of each folder by what it is called; ConfigError or DataError where there are none."""
        folders = tuple(dict.fromkeys(self.config.folders))
        if not folders:
            raise ConfigError("suite ood needs pictures of other things; give --ood FOLDER, which may be repeated")
        names = [folder.name for folder in folders]
        return {
            folder.name if names.count(folder.name) == 1 else str(folder): any_pictures(folder) for folder in folders
        }

    def require(self, config: RunConfig, data: DataSet) -> None:
        """Raise ConfigError where no folder is given, DataError where one has no pictures."""
        self.found()

    def outside(self, config: RunConfig, data: DataSet) -> str:
        """Names and sizes of the pictures."""
        digest = hashlib.sha256()
        for name, paths in self.found().items():
            digest.update(f"{name}\0".encode("utf-8", "surrogateescape"))
            for path in paths:
                digest.update(f"{path.name} {path.stat().st_size}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def run(self, networks: Mapping[str, nn.Module], context: EvaluationContext) -> OthersResults:
        """Score the test images once, and every folder."""
        data, found = context.data, self.found()
        sets: dict[str, Split] = {"known": data.test}
        sets |= {
            f"others-{place}": like_training(paths, data.in_channels, data.image_size, data.fit)
            for place, paths in enumerate(found.values())
        }
        values = values_of(networks, sets, strangeness(), context, self.name)
        told = tuple(
            others(name, values["known"], values[f"others-{place}"], seed=context.seed, suite=self.name)
            for place, name in enumerate(found)
        )
        return OthersResults(sets=told, known=f"test images of {data.name}")

    def figures(self, results: OthersResults) -> dict[str, list[Figure]]:
        """AUROC by the largest softmax, for each folder."""
        return figures(results, "auroc")

    def section(self, results: OthersResults) -> SuiteSection:
        """A table for each folder."""
        told = "Whether the networks are less sure of pictures of other things than of test images, as they should be."
        return section(results, "Pictures of other things", [told])
