"""The suite on ImageNet-O: pictures of things that are none of ImageNet's classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field
from torch import nn

from lowland.core.config import Config as RunConfig
from lowland.core.settings import Positive, Section
from lowland.data import DataSet, Split
from lowland.data.shift import ClassFolders, class_folders, place
from lowland.evaluation.section import Figure, SuiteSection
from lowland.evaluation.shift.clean import validation
from lowland.evaluation.shift.detection import strangeness
from lowland.evaluation.shift.judging import values_of
from lowland.evaluation.shift.known import Known
from lowland.evaluation.shift.others import figures, others, section
from lowland.evaluation.shift.results import OthersResults
from lowland.evaluation.suite import EvaluationContext, Suite, published_root, register

TITLE = "ImageNet-O"


@register
class ImageNetO(Suite[OthersResults]):
    """How well networks tell ImageNet-O from ImageNet's validation images of the same 200 classes.

    The folder of a picture is not its class, which ImageNet does not have, but the one that a ResNet-50 takes it for.
    """

    name = "imagenet-o"
    summary = "AUPR, AUROC and FPR95 of 2,000 ImageNet-O images against validation images of the same 200 classes"
    source = "Hendrycks et al. 2021, arXiv:1907.07174; github.com/hendrycks/natural-adv-examples"

    class Config(Section):
        """Where it is, and how much of it."""

        folder: Path | None = Field(None, description="the set's own folder; default: imagenet-o in evaluate.root")
        clean: Path | None = Field(
            None,
            description="ImageNet's validation images in folders by wnid; default: looked for in evaluate.root",
        )
        images: Positive | None = Field(
            None, description="judge at most so many of each, of all classes in turn; default: all"
        )

    Results = OthersResults

    def found(self, root: Path | None) -> dict[str, ClassFolders]:
        """Known and other pictures; ConfigError or DataError where they are not there as published."""
        folder = place(
            root,
            self.config.folder,
            ("imagenet-o",),
            what="ImageNet-O, imagenet-o/<wnid>/",
            setting=f"evaluate.options.{self.name}.folder",
        )
        strange = class_folders(folder, TITLE, of="o")
        return {"known": validation(root, self.config.clean, self.name), "others": strange}

    def require(self, config: RunConfig, data: DataSet) -> None:
        """Raise ConfigError or DataError where a set is not there, or the networks' classes are not ImageNet's."""
        known = Known.of(data, TITLE, "o")
        for found in self.found(published_root(config)).values():
            known.pictures(found, TITLE)

    def outside(self, config: RunConfig, data: DataSet) -> str:
        """The names of the pictures of both sets."""
        return "".join(found.digest for found in self.found(published_root(config)).values())

    def run(self, networks: Mapping[str, nn.Module], context: EvaluationContext) -> OthersResults:
        """Score all pictures by the logits of the 200 classes, of which networks may know a part."""
        known, found = Known.of(context.data, TITLE, "o"), self.found(context.root)
        sets: dict[str, Split] = {
            name: known.split(each, TITLE, context.data, self.config.images) for name, each in found.items()
        }
        values = values_of(networks, sets, strangeness(known.columns), context, self.name)
        left_out = len(found["others"].paths) - len(known.pictures(found["others"], TITLE)[0])
        told = others(TITLE, values["known"], values["others"], seed=context.seed, suite=self.name)
        source = f"ImageNet's validation images of the same {len(known.labels)} of its {known.whole} classes"
        return OthersResults(sets=(told,), known=source, left_out=left_out)

    def figures(self, results: OthersResults) -> dict[str, list[Figure]]:
        """AUPR by the largest softmax, as published."""
        return figures(results, "aupr")

    def section(self, results: OthersResults) -> SuiteSection:
        """One table."""
        told = "Pictures of things that are none of ImageNet's classes, scored by the logits of 200 classes."
        if results.left_out:
            told += f" {results.left_out:,} pictures in folders of classes that the networks do not know are left out."
        return section(results, TITLE, [told])
