"""Suites of accuracy on published variants of ImageNet: V2, A, R and Sketch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from torch import nn

from lowland.core.config import Config as RunConfig
from lowland.core.settings import Positive, Section
from lowland.data import DataSet, Split
from lowland.data.shift import ClassFolders, Group, class_folders, place
from lowland.evaluation.section import Estimate, Figure, SuiteSection, Table
from lowland.evaluation.shift.clean import Clean, clean_images
from lowland.evaluation.shift.judging import accuracy, hits_among, values_of
from lowland.evaluation.shift.known import Known
from lowland.evaluation.shift.results import Shifted, ShiftedResults
from lowland.evaluation.suite import EvaluationContext, Suite, published_root, register


class ImageNetSuite(Suite[ShiftedResults]):
    """Top-1 accuracy on a set of class folders: Resize(S / 0.875), CenterCrop(S), normalised as in training.

    Classes are matched by name, so that part of a set, and networks that know part of ImageNet, are judged on what both
    have: a network that knows fewer classes has fewer to choose from, and its figure is said with their number.

    Attributes:
        title: What people call the set.
        names: Of its folder, below the root.
        layout: What lies in that.
        numbered: Whether its folders are called by label.
        among: The set whose 200 classes alone are compared; None: all 1,000.
    """

    title: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    layout: ClassVar[str] = "<wnid>/"
    numbered: ClassVar[bool] = False
    among: ClassVar[Group | None] = None

    Results = ShiftedResults

    def found(self, root: Path | None) -> ClassFolders:
        """The set's pictures; ConfigError or DataError where they are not there as published."""
        what = f"{self.title}, {self.names[0]}/{self.layout}"
        folder = place(root, self.config.folder, self.names, what=what, setting=f"evaluate.options.{self.name}.folder")
        return class_folders(folder, self.title, numbered=self.numbered, of=self.among)

    def clean(self, root: Path | None, data: DataSet, known: Known) -> Clean | None:
        """Clean images of the same classes, where the set is compared with any."""
        return None

    def require(self, config: RunConfig, data: DataSet) -> None:
        """Raise ConfigError or DataError where the set is not there, or the networks' classes are not ImageNet's."""
        root = published_root(config)
        known = Known.of(data, self.title, self.among)
        known.pictures(self.found(root), self.title, self.config.images)
        self.clean(root, data, known)

    def outside(self, config: RunConfig, data: DataSet) -> str:
        """The names of the set's pictures, and of the clean ones."""
        root = published_root(config)
        clean = self.clean(root, data, Known.of(data, self.title, self.among))
        return self.found(root).digest + (clean.digest if clean is not None else "")

    def run(self, networks: Mapping[str, nn.Module], context: EvaluationContext) -> ShiftedResults:
        """Judge all networks on the same pixels."""
        data, most = context.data, self.config.images
        known, found = Known.of(data, self.title, self.among), self.found(context.root)
        places, _ = known.pictures(found, self.title)
        sets: dict[str, Split] = {"shifted": known.split(found, self.title, data, most)}
        clean = self.clean(context.root, data, known)
        if clean is not None:
            sets["clean"] = clean.split
        hits = values_of(networks, sets, hits_among(known.columns), context, self.name)
        return ShiftedResults(
            networks={
                rank: Shifted(
                    top1=accuracy(hits["shifted"][rank]),
                    clean=accuracy(hits["clean"][rank]) if clean is not None else None,
                )
                for rank in networks
            },
            title=self.title,
            classes=len(known.labels),
            whole=known.whole,
            shown=len({found.labels[at] for at in places}),
            left_out=len(found.paths) - len(places),
            clean=clean.source if clean is not None else "",
        )

    def figures(self, results: ShiftedResults) -> dict[str, list[Figure]]:
        """Top-1 accuracy on the set."""
        return {
            rank: [
                Figure(
                    label=results.title,
                    value=found.top1.value,
                    unit="%",
                    standard_error=found.top1.standard_error,
                    n=found.top1.n,
                )
            ]
            for rank, found in results.networks.items()
        }

    def section(self, results: ShiftedResults) -> SuiteSection:
        """One row for each network, with what it was compared by."""
        compared = any(found.clean is not None for found in results.networks.values())
        columns = ("Network", f"{results.title} top-1, %", *(("Clean top-1, %", "Gap, points") if compared else ()))
        rows: list[tuple[str, tuple[Estimate | str | None, ...]]] = [
            (rank, (found.top1, *((found.clean, found.gap) if compared else ())))
            for rank, found in results.networks.items()
        ]
        judged = next(iter(results.networks.values()))
        note = (
            f"{judged.top1.n:,} pictures of {results.shown:,} classes, each judged among the logits of "
            f"{results.classes:,} of the set's {results.whole:,} classes"
        )
        if results.left_out:
            note += f"; {results.left_out:,} pictures of classes that the networks do not know are left out"
        if judged.clean is not None:
            note += f". Clean: {judged.clean.n:,} images of the same classes among the same logits, {results.clean}"
        note += ". ± is one standard error."
        return SuiteSection(title=results.title, tables=(Table(columns=columns, rows=tuple(rows), note=note),))


@register
class ImageNetV2(ImageNetSuite):
    """ImageNet-V2, matched frequency: new images collected as ImageNet's were."""

    name = "imagenet-v2"
    summary = "top-1 on ImageNet-V2 (matched frequency), 10,000 images"
    source = "Recht et al. 2019, arXiv:1902.10811; github.com/modestyachts/ImageNetV2"

    class Config(Section):
        """Where it is, and how much of it."""

        folder: Path | None = Field(
            None, description="the set's own folder; default: looked for in evaluate.root by its usual names"
        )
        images: Positive | None = Field(None, description="judge at most so many, of all classes in turn; default: all")

    title = "ImageNet-V2"
    names = ("imagenetv2-matched-frequency-format-val", "imagenetv2-matched-frequency")
    layout = "{0…999}/"
    numbered = True


@register
class ImageNetSketch(ImageNetSuite):
    """ImageNet-Sketch: drawings of all classes."""

    name = "imagenet-sketch"
    summary = "top-1 on ImageNet-Sketch, about 50,000 drawings"
    source = "Wang et al. 2019, arXiv:1905.13549; github.com/HaohanWang/ImageNet-Sketch"

    class Config(Section):
        """Where it is, and how much of it."""

        folder: Path | None = Field(
            None, description="the set's own folder; default: looked for in evaluate.root by its usual names"
        )
        images: Positive | None = Field(None, description="judge at most so many, of all classes in turn; default: all")

    title = "ImageNet-Sketch"
    names = ("sketch", "imagenet-sketch", "ImageNet-Sketch")

    def found(self, root: Path | None) -> ClassFolders:
        """The set's pictures; the official archive's folder `sketch` may lie within another one."""
        inner = [root / name / "sketch" for name in self.names[1:]] if root is not None else []
        if self.config.folder is None and root is not None and any(each.is_dir() for each in inner):
            what = f"{self.title}, sketch/{self.layout}"
            within = ("sketch", *(f"{name}/sketch" for name in self.names[1:]))
            folder = place(root, None, within, what=what, setting=f"evaluate.options.{self.name}.folder")
            return class_folders(folder, self.title)
        return super().found(root)


@register
class ImageNetA(ImageNetSuite):
    """ImageNet-A: photographs that a ResNet-50 gets wrong, judged among their 200 classes."""

    name = "imagenet-a"
    summary = "top-1 on ImageNet-A among its 200 classes, 7,500 images, beside clean images of these"
    source = "Hendrycks et al. 2021, arXiv:1907.07174; github.com/hendrycks/natural-adv-examples"

    class Config(Section):
        """Where it is, and how much of it."""

        folder: Path | None = Field(
            None, description="the set's own folder; default: looked for in evaluate.root by its usual names"
        )
        clean: Path | None = Field(
            None,
            description="ImageNet's validation images in folders by wnid; default: looked for in evaluate.root, or "
            "else the run's own test images of the same classes",
        )
        images: Positive | None = Field(None, description="judge at most so many, of all classes in turn; default: all")

    title = "ImageNet-A"
    names = ("imagenet-a",)
    among = "a"

    def clean(self, root: Path | None, data: DataSet, known: Known) -> Clean | None:
        """Clean images of the same classes."""
        return clean_images(root, self.config.clean, data, known, self.name, self.config.images)


@register
class ImageNetR(ImageNetSuite):
    """ImageNet-R: art, cartoons, graffiti and other renditions, judged among their 200 classes."""

    name = "imagenet-r"
    summary = "top-1 on ImageNet-R among its 200 classes, 30,000 renditions, beside clean images of these"
    source = "Hendrycks et al. 2021, arXiv:2006.16241; github.com/hendrycks/imagenet-r"

    class Config(Section):
        """Where it is, and how much of it."""

        folder: Path | None = Field(
            None, description="the set's own folder; default: looked for in evaluate.root by its usual names"
        )
        clean: Path | None = Field(
            None,
            description="ImageNet's validation images in folders by wnid; default: looked for in evaluate.root, or "
            "else the run's own test images of the same classes",
        )
        images: Positive | None = Field(None, description="judge at most so many, of all classes in turn; default: all")

    title = "ImageNet-R"
    names = ("imagenet-r",)
    among = "r"

    def clean(self, root: Path | None, data: DataSet, known: Known) -> Clean | None:
        """Clean images of the same classes."""
        return clean_images(root, self.config.clean, data, known, self.name, self.config.images)
