"""Networks that papers report on ImageNet in the DARTS space (or darts-open), with published size and accuracy.

Sizes are those of the ImageNet network: 14 cells, 224×224 pixels, 1000 classes, ImageNet stem, without auxiliary head.
MACs follow the papers' profiler: convolutions, and the classifier as (2·in − 1)·out.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache

from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.spaces.darts.genotype import Pair, from_pairs, parse_genes, parse_genotype, validate
from lowland.spaces.values import Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedNetwork:
    """A found network and what its paper, or the GeNAS comparison, reports for it.

    Attributes:
        name: Short name, `<method>-<data set searched on>`.
        genotype: Its genotype.
        channels: Initial width C of the ImageNet network.
        mmacs: Multiply-accumulates for one image, millions, by the papers' profiler.
        mparams: Number of weights, millions, without auxiliary head.
        top1: Published ImageNet top-1 accuracy, percent.
        source: The paper that found it.
        note: What is to be known of these figures.
    """

    name: str
    genotype: Genotype
    channels: int
    mmacs: float
    mparams: float
    top1: float
    source: str
    note: str = ""

    @property
    def searched_on(self) -> str:
        """The data set it was searched on, as the last part of its name says."""
        return {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet": "ImageNet"}[self.name.rpartition("-")[2]]

    @property
    def shape(self) -> Shape:
        """The ImageNet network's shape."""
        return Shape(image_size=224, num_classes=1000, channels=self.channels, cells=14, stem="imagenet")


_GENAS = "Jeong et al., GeNAS, IJCAI 2023 (arXiv 2305.08611)"
_RLNAS = "Zhang et al., RLNAS, CVPR 2021 (arXiv 2101.11834)"
_SDARTS = "Chen and Hsieh, SDARTS, ICML 2020 (arXiv 2002.05283)"

_PC_DARTS = "Xu et al., PC-DARTS, ICLR 2020 (arXiv 1907.05737)"
_DROPNAS = "Hong et al., DropNAS, IJCAI 2020 (arXiv 2201.10493)"
_SHAPLEY = "Xiao et al., Shapley-NAS, CVPR 2022 (arXiv 2206.09811)"

_SHORT = {
    "mx": "max_pool_3x3",
    "av": "avg_pool_3x3",
    "sk": "skip_connect",
    "s3": "sep_conv_3x3",
    "s5": "sep_conv_5x5",
    "d3": "dil_conv_3x3",
    "d5": "dil_conv_5x5",
}

# Genotypes as genes, `|` between the cells, or as (operation, source) pairs in short, two per node, `;` between the
# cells. Columns: name, genotype, channels, MMACs, Mparams, ImageNet top-1 (%), source.
_TABLE: tuple[tuple[str, str, int, float, float, float, str], ...] = (
    (
        "genas-flatness-cifar10",
        "3,6,0,4,4,0,6,6,0,0,0,0,4,3 | 5,2,0,6,4,0,3,0,6,0,0,5,0,7",
        *(52, 610.89, 5.56, 75.95, _GENAS),
    ),
    (
        "genas-angle-flatness-cifar10",
        "5,4,4,4,0,4,5,0,0,4,0,0,0,4 | 7,7,2,3,0,4,1,0,0,0,0,0,5,6",
        *(44, 593.61, 5.34, 76.06, _GENAS),
    ),
    (
        "genas-flatness-cifar100",
        "3,5,0,4,4,0,0,4,5,0,4,0,0,7 | 6,3,2,0,5,0,5,0,7,0,1,1,0,0",
        *(46, 580.21, 5.20, 76.05, _GENAS),
    ),
    (
        "genas-angle-flatness-cifar100",
        "3,5,1,4,0,0,4,0,4,0,4,0,0,5 | 6,4,0,7,2,1,3,0,0,0,4,0,0,7",
        *(48, 603.17, 5.41, 75.72, _GENAS),
    ),
    (
        "rlnas-cifar100",
        "5,5,2,5,0,4,4,0,0,0,4,0,0,4 | 3,3,0,3,2,3,7,0,0,3,0,0,0,4",
        *(46, 607.28, 5.43, 75.00, _RLNAS),
    ),
    (
        "pc-darts-cifar100",
        "d5,1 d3,0 d5,1 mx,0 d3,0 s3,3 s3,0 s3,2 ; mx,0 mx,1 mx,0 sk,2 s5,2 sk,1 s3,0 s3,2",
        *(50, 587.03, 5.28, 74.8, _PC_DARTS),
    ),
    (
        "p-darts-cifar10",
        "sk,0 d3,1 sk,0 s3,1 s3,1 s3,3 s3,0 d5,4 ; av,0 s5,1 s3,0 d5,2 mx,0 d3,1 d3,1 d5,3",
        *(48, 543.59, 4.94, 75.6, "Chen et al., P-DARTS, ICCV 2019 (arXiv 1904.12760)"),
    ),
    (
        "sdarts-rs-cifar10",
        "s3,1 s3,0 s5,1 sk,0 s3,3 sk,1 s3,1 d3,2 ; mx,0 s3,1 sk,2 mx,0 d5,3 mx,0 s3,2 s5,3",
        *(50, 613.76, 5.51, 75.5, _SDARTS),
    ),
    (
        "sdarts-adv-cifar10",
        "s3,0 s3,1 s3,1 sk,0 s5,0 d3,3 d3,4 sk,0 ; mx,0 s5,1 sk,2 mx,0 sk,3 sk,2 sk,2 s5,4",
        *(52, 620.73, 5.51, 75.6, _SDARTS),
    ),
    (
        "dropnas-cifar100",
        "sk,0 s3,1 s3,1 mx,2 s3,1 s5,2 s5,0 s5,1 ; mx,0 s5,1 d5,2 s5,1 d5,2 d5,3 d5,2 d5,4",
        *(46, 571.16, 5.13, 75.1, _DROPNAS),
    ),
    (
        "darts-v2-cifar10",
        "s3,0 s3,1 s3,0 s3,1 s3,1 sk,0 sk,0 d3,2 ; mx,0 mx,1 sk,2 mx,1 mx,0 sk,2 sk,2 mx,1",
        *(48, 530.68, 4.72, 73.3, "Liu et al., DARTS, ICLR 2019 (arXiv 1806.09055)"),
    ),
    (
        "rlnas-cifar10",
        "s5,0 s3,1 d3,0 s5,2 s3,0 d5,3 d5,1 d3,2 ; s5,0 d3,1 s3,0 s5,2 d3,1 s3,3 mx,1 s5,2",
        *(46, 580.55, 5.26, 75.7, _RLNAS),
    ),
    (
        "pc-darts-cifar10",
        "s3,1 sk,0 s3,0 d3,1 s5,0 s3,1 av,0 d3,1 ; s5,1 mx,0 s5,1 s5,2 s3,0 s3,3 s3,1 s3,2",
        *(48, 571.90, 5.271, 74.9, _PC_DARTS),
    ),
    (
        "pc-darts-imagenet",
        "sk,1 s3,0 s3,0 sk,1 s3,1 s3,3 s3,1 d5,4 ; s3,0 sk,1 d5,2 mx,1 s3,2 s3,1 s5,0 s3,3",
        *(48, 582.39, 5.342, 75.8, _PC_DARTS),
    ),
    (
        "dropnas-cifar10",
        "s3,1 sk,0 s3,1 s3,0 s3,1 s3,0 d5,4 d3,1 ; mx,0 s5,1 d5,2 s5,1 d5,3 d5,2 d5,3 d5,4",
        *(48, 597.80, 5.433, 76.0, _DROPNAS),
    ),
    (
        "shapley-cifar10",
        "s3,0 s3,1 s3,1 d3,0 d3,2 sk,3 s3,1 d5,3 ; s3,1 mx,0 d5,2 s3,0 s3,2 mx,0 d3,3 sk,2",
        *(48, 566.28, 5.139, 75.7, _SHAPLEY),
    ),
    (
        "shapley-imagenet",
        "s3,1 s5,0 d5,2 sk,1 s3,2 s5,0 s3,1 sk,2 ; s3,1 d3,0 av,2 s5,1 s3,3 sk,1 s3,2 s3,4",
        *(48, 598.80, 5.424, 76.1, _SHAPLEY),
    ),
    (
        "rlnas-imagenet",
        "s3,0 s3,1 sk,1 s3,2 s3,1 s3,2 sk,0 s3,4 ; s3,0 mx,1 s3,0 sk,1 s3,0 d3,1 sk,0 s3,1",
        *(48, 596.75, 5.464, 75.9, _RLNAS),
    ),
    (
        "fairdarts-cifar10",
        "darts-open:4,4,0,4,0,6,5,0,0,0,7,0,0,0 | 3,6,3,6,0,1,4,0,0,1,0,3,0,0",
        *(48, 541.97, 4.865, 75.1, "Chu et al., FairDARTS, ECCV 2020 (arXiv 1911.12126), FairDARTS-B"),
    ),
)

_OUTPUTS_TOO = "the paper prints {} M MACs, which count 2 for each batch-norm and 1 for each ReLU output besides"
_UNCHECKED = "the accuracy was not checked against the paper"
_NOTES = {
    "pc-darts-cifar10": _OUTPUTS_TOO.format(586),
    "pc-darts-imagenet": _OUTPUTS_TOO.format(597),
    "p-darts-cifar10": _OUTPUTS_TOO.format(557),
    "darts-v2-cifar10": "the paper prints 574 M MACs, which no way of counting explains",
    "rlnas-imagenet": _UNCHECKED,
    "fairdarts-cifar10": "of space darts-open, since darts has two edges for every node; the paper prints 541 M, 4.8 M",
}


@lru_cache(maxsize=1)
def networks() -> tuple[PublishedNetwork, ...]:
    """All published networks, in the order of GeNAS' tables (found ones first, then those it compares with)."""
    return tuple(
        PublishedNetwork(
            name=name,
            genotype=_from_genes(text) if "|" in text else _from_short(text),
            channels=channels,
            mmacs=mmacs,
            mparams=mparams,
            top1=top1,
            source=source,
            note=_NOTES.get(name, ""),
        )
        for name, text, channels, mmacs, mparams, top1, source in _TABLE
    )


def get(name: str) -> PublishedNetwork:
    """The published network called `name`, also with `c10` and `c100` for the CIFARs; ConfigError names the known."""
    whole = re.sub(r"-c(100?)$", r"-cifar\1", name)
    for network in networks():
        if network.name == whole:
            return network
    known = [network.name for network in networks()]
    near = difflib.get_close_matches(whole, known, n=1)
    guess = f" (did you mean {near[0]}?)" if near else ""
    raise ConfigError(f"unknown published network {name!r}{guess}; known ones: {', '.join(known)}")


def _from_genes(text: str) -> Genotype:
    space, colon, genes = text.rpartition(":")
    if not colon:
        return parse_genotype(text)
    genotype = parse_genes(genes, space)
    validate(genotype)
    return genotype


def _from_short(text: str) -> Genotype:
    normal, reduction = (_pairs(cell) for cell in text.split(";"))
    return from_pairs(normal, reduction)


def _pairs(cell: str) -> list[Pair]:
    return [(_SHORT[word[:2]], int(word[3:])) for word in cell.split()]
