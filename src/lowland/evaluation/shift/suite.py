"""The suites of common corruptions: of the run's own test images, CIFAR-10-C, CIFAR-100-C and ImageNet-C."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import nn

from lowland.core.config import Config as RunConfig
from lowland.core.errors import ConfigError
from lowland.core.settings import Positive, Section
from lowland.data import STANDARD, CorruptedFolder, CorruptedImages, DataSet, Generated, cache_folder, check_names
from lowland.data.shift import CIFAR10, CorruptedPictures, cifar100, cifar_labels, imagenet_labels, place
from lowland.evaluation.results import Shift, ShiftResults
from lowland.evaluation.section import Estimate, Figure, SuiteSection, Table
from lowland.evaluation.shift.corruptions import corruption_accuracy
from lowland.evaluation.suite import Effort, EvaluationContext, Suite, published_root, register
from lowland.evaluation.tasks import JudgingTask


class CorruptionSuite(Suite[ShiftResults]):
    """Accuracy and error on the same images under every corruption and severity.

    Attributes:
        title: What the report calls it.
        label: What its figure is called.
    """

    title: ClassVar[str]
    label: ClassVar[str]

    Results = ShiftResults

    @abstractmethod
    def corrupted(self, data: DataSet, seed: int, root: Path | None = None) -> CorruptedImages:
        """The corrupted images; ConfigError or DataError where they are missing or unfit."""

    def names(self) -> list[str]:
        """The corruptions asked for; ConfigError for one that does not exist."""
        return corruption_names(self.config.names, self.name)

    def require(self, config: RunConfig, data: DataSet) -> None:
        """Raise ConfigError for a corruption that does not exist, DataError for images that do not fit."""
        names = self.names()
        if names and not self.config.severities:
            raise ConfigError(f"setting evaluate.options.{self.name}.severities must name at least one severity")
        self.corrupted(data, config.seed, published_root(config))

    def effort(self, config: RunConfig, data: DataSet) -> Effort:
        """Every corruption at every severity, of the run's own test images."""
        images = min(len(data.test), self.config.images or len(data.test))
        count = images * len(self.names()) * len(self.config.severities)
        return Effort(as_trained=count, corrupted=count if self.config.folder is None else 0)

    def run(self, networks: Mapping[str, nn.Module], context: EvaluationContext) -> ShiftResults:
        """Judge all networks on the same pixels, as they were trained: in the run's precision and memory format.

        There are many images, and fp32 takes twice as long on processors that know bf16; accuracy over all of them
        differs by some hundredths of a point (docs/log.md).

        Returns:
            What was found of each network.
        """
        names = self.names()
        if not names:
            return ShiftResults({})
        corrupted = self.corrupted(context.data, context.seed, context.root)
        with context.progressing(self.name, "batch") as progress, context.threaded:
            if context.ahead is not None:
                self._ahead(context.ahead, corrupted, names, context, progress)
            found = corruption_accuracy(
                {rank: context.compute.prepare(deepcopy(model)) for rank, model in networks.items()},
                corrupted,
                context.data.normalise,
                context.compute,
                names=names,
                severities=self.config.severities,
                limit=self.config.images,
                batch_size=context.batch_size,
                progress=progress,
                part=context.part,
            )
        return ShiftResults({rank: Shift.of(values) for rank, values in found.items()})

    def _ahead(
        self,
        ahead: Callable[[Mapping[str, JudgingTask]], Iterator[int]],
        corrupted: CorruptedImages,
        names: Sequence[str],
        context: EvaluationContext,
        progress: Callable[[int, int], None],
    ) -> None:
        """Have all parts computed in other processes, each as `corruption_accuracy` would."""
        count = min(len(corrupted), self.config.images or len(corrupted))
        tasks = {
            f"{name}-{severity}": JudgingTask(
                networks=context.portable, suite=self.name, name=name, severity=severity, count=count
            )
            for name in names
            for severity in self.config.severities
        }
        batches = -(-count // context.batch_size)
        for done in ahead(tasks):
            for batch in range(batches):
                progress((done - 1) * batches + batch + 1, len(tasks) * batches)

    def figures(self, results: ShiftResults) -> dict[str, list[Figure]]:
        """Mean top-1 accuracy over corruptions and severities."""
        return {
            rank: [Figure(label=self.label, value=found.mean, unit="%", standard_error=found.standard_error, n=found.n)]
            for rank, found in results.networks.items()
        }

    def section(self, results: ShiftResults) -> SuiteSection:
        """Errors of every network by corruption."""
        names = list(dict.fromkeys(name for found in results.networks.values() for name in found.errors))
        rows = [(name, tuple(found.errors.get(name) for found in results.networks.values())) for name in names]
        means = tuple(
            Estimate(value=100 - found.mean, standard_error=found.standard_error, n=found.n)
            for found in results.networks.values()
        )
        rows.append(("mean", means))
        normalised = [found.normalised_error for found in results.networks.values()]
        columns = ("Corruption", *(f"Network {rank}, %" for rank in results.networks))
        note = "Top-1 error, mean over severities; ± is one standard error over images."
        if any(value is not None for value in normalised):
            shares = tuple(None if value is None else Estimate(value=value) for value in normalised)
            rows.append(("mCE, AlexNet 100", shares))
        table = Table(columns=columns, rows=tuple(rows), note=note)
        return SuiteSection(title=self.title, tables=(table,) if results.networks else ())


@register
class Corruptions(CorruptionSuite):
    """Accuracy and error under common corruptions of the test images."""

    name = "corruptions"
    summary = "top-1 on corrupted test images, by corruption, group and severity"
    source = "Hendrycks & Dietterich 2019, arXiv:1903.12261"

    title = "Distribution shift"
    label = "corrupted"

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

    def corrupted(self, data: DataSet, seed: int, root: Path | None = None) -> CorruptedImages:
        """The images of `folder`, or else the data set's test images, to be corrupted; DataError if unfit."""
        settings = self.config
        if settings.folder is not None:
            return CorruptedFolder(settings.folder, self.names(), data)
        return Generated(data, seed, cache=cache_folder() if settings.cache else None)


class CifarC(CorruptionSuite):
    """Accuracy and error on the published corrupted test images of CIFAR-10 or CIFAR-100.

    Attributes:
        places: Names of its folder, below the root.
    """

    places: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of their labels."""

    def folder(self, root: Path | None) -> Path:
        """Where the files are; ConfigError or DataError where they are not."""
        return place(
            root,
            self.config.folder,
            self.places,
            what=f"{self.title}, {self.places[0]}/<corruption>.npy with labels.npy",
            setting=f"evaluate.options.{self.name}.folder",
            holds="labels.npy",
        )

    def corrupted(self, data: DataSet, seed: int, root: Path | None = None) -> CorruptedImages:
        """The images as they are, with the networks' classes matched by name."""
        index = cifar_labels(data.classes, self.classes, self.title)
        here = [index.index(label) for label in range(len(index))]
        return CorruptedFolder(self.folder(root), self.names(), data, index=here, suite=self.name)

    def outside(self, config: RunConfig, data: DataSet) -> str:
        """Names and sizes of the files."""
        folder = self.folder(published_root(config))
        files = sorted(f"{file.name} {file.stat().st_size}" for file in folder.glob("*.npy"))
        return hashlib.sha256("\n".join(files).encode("utf-8", "surrogateescape")).hexdigest()


@register
class Cifar10C(CifarC):
    """CIFAR-10-C: the test images of CIFAR-10 under common corruptions, as published."""

    name = "cifar10-c"
    summary = "top-1 on CIFAR-10-C, 10,000 test images under 15 corruptions at 5 severities"
    source = "Hendrycks & Dietterich 2019, arXiv:1903.12261; zenodo.org/records/2535967"

    class Config(Section):
        """Where it is, and how much of it."""

        names: tuple[str, ...] | Literal["all"] = Field(
            "all", description="corruptions by name; all: the fifteen standard ones"
        )
        folder: Path | None = Field(None, description="the set's own folder; default: CIFAR-10-C in evaluate.root")
        severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field(
            (1, 2, 3, 4, 5), description="how severe, from 1 (mild) to 5"
        )
        images: Positive | None = Field(None, description="judge at most the first so many images; default: all")

    title = "CIFAR-10-C"
    label = "CIFAR-10-C"
    places = ("CIFAR-10-C", "cifar10-c", "cifar-10-c")

    @property
    def classes(self) -> tuple[str, ...]:
        """Of CIFAR-10."""
        return CIFAR10


@register
class Cifar100C(CifarC):
    """CIFAR-100-C: the test images of CIFAR-100 under common corruptions, as published."""

    name = "cifar100-c"
    summary = "top-1 on CIFAR-100-C, 10,000 test images under 15 corruptions at 5 severities"
    source = "Hendrycks & Dietterich 2019, arXiv:1903.12261; zenodo.org/records/3555552"

    class Config(Section):
        """Where it is, and how much of it."""

        names: tuple[str, ...] | Literal["all"] = Field(
            "all", description="corruptions by name; all: the fifteen standard ones"
        )
        folder: Path | None = Field(None, description="the set's own folder; default: CIFAR-100-C in evaluate.root")
        severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field(
            (1, 2, 3, 4, 5), description="how severe, from 1 (mild) to 5"
        )
        images: Positive | None = Field(None, description="judge at most the first so many images; default: all")

    title = "CIFAR-100-C"
    label = "CIFAR-100-C"
    places = ("CIFAR-100-C", "cifar100-c", "cifar-100-c")

    @property
    def classes(self) -> tuple[str, ...]:
        """Of CIFAR-100."""
        return cifar100()


@register
class ImageNetC(CorruptionSuite):
    """ImageNet-C: ImageNet's validation images under common corruptions, cut out 224 × 224 and not resized."""

    name = "imagenet-c"
    summary = "top-1 and mCE on ImageNet-C, 50,000 images under 15 corruptions at 5 severities"
    source = "Hendrycks & Dietterich 2019, arXiv:1903.12261; zenodo.org/records/2235448"

    class Config(Section):
        """Where it is, and how much of it."""

        names: tuple[str, ...] | Literal["all"] = Field(
            "all", description="corruptions by name; all: the fifteen standard ones"
        )
        folder: Path | None = Field(None, description="the set's own folder; default: imagenet-c in evaluate.root")
        severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field(
            (1, 2, 3, 4, 5), description="how severe, from 1 (mild) to 5"
        )
        images: Positive | None = Field(None, description="judge at most so many, of all classes in turn; default: all")

    title = "ImageNet-C"
    label = "ImageNet-C"

    def corrupted(self, data: DataSet, seed: int, root: Path | None = None) -> CorruptedPictures:
        """The pictures of the classes that the networks know."""
        labels = imagenet_labels(data.classes, self.title)
        folder = place(
            root,
            self.config.folder,
            ("imagenet-c", "ImageNet-C", "Imagenet-C"),
            what="ImageNet-C, imagenet-c/<corruption>/<1…5>/<wnid>/",
            setting=f"evaluate.options.{self.name}.folder",
        )
        places = {label: column for column, label in enumerate(labels)}
        return CorruptedPictures(
            folder, self.names(), self.config.severities, places, data.in_channels, data.image_size
        )

    def require(self, config: RunConfig, data: DataSet) -> None:
        """Raise ConfigError or DataError where pictures are missing or differ between corruptions and severities."""
        super().require(config, data)
        found = self.corrupted(data, config.seed, published_root(config))
        for name in self.names():
            for severity in self.config.severities:
                found.check(name, severity)

    def outside(self, config: RunConfig, data: DataSet) -> str:
        """The names of the pictures, which are the same under every corruption and severity."""
        return self.corrupted(data, config.seed, published_root(config)).digest


def corruption_names(setting: tuple[str, ...] | str, suite: str = "corruptions") -> list[str]:
    """The corruptions asked for, `all` being the fifteen standard ones; raises ConfigError for an unknown one."""
    if setting == "none":
        return []
    names = list(STANDARD) if setting == "all" else list(dict.fromkeys(setting))
    check_names(names, f"evaluate.options.{suite}.names: ")
    if not names and suite != "corruptions":
        raise ConfigError(f"setting evaluate.options.{suite}.names must name at least one corruption")
    return names
