"""The suite on CIFAR-10.1: new images collected as CIFAR-10's were."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from lowland.core.config import Config as RunConfig
from lowland.core.errors import DataError
from lowland.core.settings import Section
from lowland.data import DataSet, MemorySplit
from lowland.data.shift import CIFAR10, cifar_10_1, cifar_labels, place
from lowland.evaluation.section import Estimate, Figure, SuiteSection, Table
from lowland.evaluation.shift.judging import accuracy, hits_among, values_of
from lowland.evaluation.shift.results import Shifted, ShiftedResults
from lowland.evaluation.suite import EvaluationContext, Suite, published_root, register


@register
class Cifar101(Suite[ShiftedResults]):
    """Top-1 accuracy on CIFAR-10.1; the classes are matched by name."""

    name = "cifar10.1"
    summary = "top-1 on CIFAR-10.1, 2,000 new images of CIFAR-10's classes"
    source = "Recht et al. 2018, arXiv:1806.00451; github.com/modestyachts/CIFAR-10.1"

    class Config(Section):
        """Where it is, and which of its versions."""

        folder: Path | None = Field(
            None, description="the folder of its .npy files; default: looked for in evaluate.root by its usual names"
        )
        version: Literal["v6", "v4"] = Field("v6", description="v6: balanced, 2,000 images; v4: not quite, 2,021")

    Results = ShiftedResults

    @property
    def title(self) -> str:
        """What people call the set."""
        return f"CIFAR-10.1 {self.config.version}"

    def folder(self, root: Path | None) -> Path:
        """Where the files are; ConfigError or DataError where they are not."""
        data = f"cifar10.1_{self.config.version}_data.npy"
        return place(
            root,
            self.config.folder,
            ("CIFAR-10.1/datasets", "CIFAR-10.1", "cifar10.1", "cifar-10.1", "."),
            what=f"CIFAR-10.1, {data} with {data.replace('data', 'labels')}",
            setting="--set 'evaluate.options={cifar10.1: {folder: DIR}}'",
            holds=data,
        )

    def found(self, root: Path | None, data: DataSet) -> MemorySplit:
        """The images, with the networks' classes; ConfigError or DataError where they are missing or unfit."""
        if data.in_channels != 3:
            raise DataError(
                f"{self.title} has colour images, but the networks were trained on {data.in_channels} channel(s); "
                "judge networks that were trained on CIFAR-10"
            )
        labels = cifar_labels(data.classes, CIFAR10, self.title)
        index = tuple(labels.index(label) for label in range(len(labels)))
        return cifar_10_1(self.folder(root), self.config.version, index, data.image_size, data.fit)

    def require(self, config: RunConfig, data: DataSet) -> None:
        """Raise ConfigError or DataError where the set is not there, or the networks' classes are not CIFAR-10's."""
        self.found(published_root(config), data)

    def outside(self, config: RunConfig, data: DataSet) -> str:
        """The bytes of the images and labels, which are few."""
        split = self.found(published_root(config), data)
        digest = hashlib.sha256(split.labels_N.numpy().tobytes())
        digest.update(split.images(torch.arange(len(split))).numpy().tobytes())
        return digest.hexdigest()

    def run(self, networks: Mapping[str, nn.Module], context: EvaluationContext) -> ShiftedResults:
        """Judge all networks on the same pixels."""
        split = self.found(context.root, context.data)
        judge = hits_among(range(context.data.num_classes))
        hits = values_of(networks, {"shifted": split}, judge, context, self.name)["shifted"]
        return ShiftedResults(
            networks={rank: Shifted(top1=accuracy(hits[rank])) for rank in networks},
            title=self.title,
            classes=len(CIFAR10),
            whole=len(CIFAR10),
            shown=len(set(split.labels_N.tolist())),
        )

    def figures(self, results: ShiftedResults) -> dict[str, list[Figure]]:
        """Top-1 accuracy."""
        return {rank: [_figure(results.title, found.top1)] for rank, found in results.networks.items()}

    def section(self, results: ShiftedResults) -> SuiteSection:
        """One row for each network."""
        rows = tuple((rank, (found.top1,)) for rank, found in results.networks.items())
        n = next(iter(results.networks.values())).top1.n
        note = f"{n:,} new images of CIFAR-10's classes. ± is one standard error."
        columns = ("Network", f"{results.title} top-1, %")
        return SuiteSection(title=results.title, tables=(Table(columns=columns, rows=rows, note=note),))


def _figure(label: str, found: Estimate) -> Figure:
    return Figure(label=label, value=found.value, unit="%", standard_error=found.standard_error, n=found.n)
