"""The suite of common corruptions: accuracy under distribution shift, one part per corruption and severity."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from lowland.core.config import Config as RunConfig
from lowland.core.errors import ConfigError
from lowland.core.settings import Positive, Section
from lowland.data import STANDARD, CorruptedFolder, CorruptedImages, DataSet, Generated, cache_folder, check_names
from lowland.evaluation.results import Shift, ShiftResults
from lowland.evaluation.section import Estimate, Figure, SuiteSection, Table
from lowland.evaluation.shift.corruptions import corruption_accuracy
from lowland.evaluation.suite import EvaluationContext, Suite, register

NAMES = "evaluate.options.corruptions.names"


@register
class Corruptions(Suite[ShiftResults]):
    """Accuracy and error under common corruptions of the test images."""

    name = "corruptions"
    summary = "top-1 on corrupted test images, by corruption, group and severity"
    source = "Hendrycks & Dietterich 2019, arXiv:1903.12261"

    class Config(Section):
        """Which corruptions, on which images."""

        names: tuple[str, ...] | Literal["all", "none"] = Field(
            "all", description="corruptions of test images by name; all: the fifteen standard ones"
        )
        folder: Path | None = Field(
            None, description="folder of corrupted test images in the official CIFAR-10-C layout, used as they are"
        )
        severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field(
            (1, 2, 3, 4, 5), description="how severe, from 1 (mild) to 5"
        )
        images: Positive | None = Field(None, description="corrupt at most this many test images; default: all")
        cache: bool = Field(
            False,
            description="keep generated corrupted images in the user's cache folder, for runs on the same data and "
            "seed",
        )

    Results = ShiftResults

    def require(self, config: RunConfig, data: DataSet) -> None:
        """Raise ConfigError for a corruption that does not exist, DataError for a folder that does not fit."""
        names = corruption_names(self.config.names)
        if names and not self.config.severities:
            raise ConfigError("setting evaluate.options.corruptions.severities must name at least one severity")
        self.corrupted(data, config.seed)

    def corrupted(self, data: DataSet, seed: int) -> CorruptedImages:
        """The images of `folder`, or else the data set's test images, to be corrupted; DataError if unfit."""
        settings = self.config
        if settings.folder is not None:
            return CorruptedFolder(settings.folder, corruption_names(settings.names), data)
        return Generated(data, seed, cache=cache_folder() if settings.cache else None)

    def run(self, networks: Mapping[str, nn.Module], context: EvaluationContext) -> ShiftResults:
        """Judge all networks on the same pixels, in the run's memory format, since there are many images."""
        names = corruption_names(self.config.names)
        if not names:
            return ShiftResults({})
        with context.progressing("corruptions", "batch") as progress:
            found = corruption_accuracy(
                {rank: context.fast.prepare(deepcopy(model)) for rank, model in networks.items()},
                self.corrupted(context.data, context.seed),
                context.data.normalise,
                context.fast,
                names=names,
                severities=self.config.severities,
                limit=self.config.images,
                batch_size=context.batch_size,
                progress=progress,
                part=context.part,
            )
        return ShiftResults({rank: Shift.of(values) for rank, values in found.items()})

    def figures(self, results: ShiftResults) -> dict[str, list[Figure]]:
        """Mean top-1 accuracy over corruptions and severities."""
        return {
            rank: [
                Figure(label="corrupted", value=found.mean, unit="%", standard_error=found.standard_error, n=found.n)
            ]
            for rank, found in results.networks.items()
        }

    def section(self, results: ShiftResults) -> SuiteSection:
        """Errors of every network by corruption."""
        names = list(dict.fromkeys(name for found in results.networks.values() for name in found.errors))
        rows = tuple((name, tuple(found.errors.get(name) for found in results.networks.values())) for name in names)
        means = tuple(
            Estimate(value=100 - found.mean, standard_error=found.standard_error, n=found.n)
            for found in results.networks.values()
        )
        columns = ("Corruption", *(f"Network {rank}, %" for rank in results.networks))
        note = "Top-1 error, mean over severities; ± is one standard error over images."
        table = Table(columns=columns, rows=(*rows, ("mean", means)), note=note)
        return SuiteSection(title="Distribution shift", tables=(table,) if results.networks else ())


def corruption_names(setting: tuple[str, ...] | str) -> list[str]:
    """The corruptions asked for, `all` being the fifteen standard ones; raises ConfigError for an unknown one."""
    if setting == "none":
        return []
    names = list(STANDARD) if setting == "all" else list(dict.fromkeys(setting))
    check_names(names, f"{NAMES}: ")
    return names
