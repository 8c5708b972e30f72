"""Genotypes of elastic MobileNetV3 spaces: what may be chosen, legality and text form.

Genes of a space with S stages of at most D blocks, all integers:

    S × (depth, D × kernel, D × expansion), resolution

The depth gene is the depth itself. Kernel and expansion genes are 1, 2, … for the first, second, … option, and 0 where
the block is beyond the stage's depth. The resolution gene is 0, 1, … for the first, second, … option.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from lowland.core.errors import GenotypeError
from lowland.core.genotype import Genotype
from lowland.spaces.mobilenetv3.design import FULL_RESOLUTION, Design

_BLOCK = re.compile(r"k([0-9]{1,3})e([0-9]{1,3})")
_RESOLUTION = re.compile(rf"([0-9]{{1,4}})\s*/\s*{FULL_RESOLUTION}")


@dataclass(frozen=True, slots=True)
class Choice:
    """What a genotype says of one block: kernel side, and expansion."""

    kernel: int
    expansion: int


@lru_cache(maxsize=4096)
def choices(design: Design, genotype: Genotype) -> tuple[Choice | None, ...]:
    """Look up the choice for every block of the largest network.

    Returns:
        D choices per stage; None where the stage is not that deep.

    Raises:
        GenotypeError: the genotype is illegal.
    """
    validate(design, genotype)
    found: list[Choice | None] = []
    for number in range(len(design.stages)):
        depth, *rest = design.stage(genotype.genes, number)
        pairs = list(zip(rest[: design.most], rest[design.most :], strict=True))
        found += [Choice(design.kernels[k - 1], design.expansions[e - 1]) for k, e in pairs[:depth]]
        found += [None] * (design.most - depth)
    return tuple(found)


def resolution(design: Design, genotype: Genotype) -> int:
    """The side of the network's input in 1/56 of the image size."""
    return design.resolutions[genotype.genes[-1]]


def validate(design: Design, genotype: Genotype) -> None:
    """Raise GenotypeError, naming the gene and what is legal, unless `genotype` is a legal one of this design."""
    if genotype.space != design.name:
        raise GenotypeError(f"genotype {genotype} belongs to space {genotype.space!r}, expected {design.name!r}")
    if len(genotype.genes) != design.genes:
        raise GenotypeError(
            f"genotype {genotype} has {len(genotype.genes)} genes, {design.name} needs {design.genes}: depth, "
            f"{design.most} kernels and {design.most} expansions for each of {len(design.stages)} stages, and the "
            "resolution"
        )
    for gene, name, legal in zip(genotype.genes, design.gene_names, _legal_values(design, genotype.genes), strict=True):
        if type(gene) is not int or gene not in legal:
            raise GenotypeError(f"gene {name} of {genotype} is {gene!r}, expected {_listed(legal)}")


def _legal_values(design: Design, genes: tuple[int, ...]) -> list[range | tuple[int, ...]]:
    """The legal values of every gene, given the depth genes."""
    legal: list[range | tuple[int, ...]] = []
    for number in range(len(design.stages)):
        depth = design.stage(genes, number)[0]
        if type(depth) is not int:
            depth = 0  # refused anyway
        legal.append(design.depths)
        for options in (design.kernels, design.expansions):
            legal += [range(1, len(options) + 1) if b < depth else (0,) for b in range(design.most)]
    return [*legal, range(len(design.resolutions))]


def _listed(legal: Sequence[int]) -> str:
    if len(legal) == 1:
        return f"{legal[0]} (beyond the stage's depth)"
    return f"{legal[0]} to {legal[-1]}" if len(legal) > 2 else f"{legal[0]} or {legal[1]}"


# --- text ------------------------------------------------------------------------------------------------------------


def form(design: Design) -> str:
    """The text form by example, for messages."""
    block = f"k{design.kernels[0]}e{design.expansions[-1]}"
    stages = "|".join([",".join([block] * design.depths[0]), *["…"] * (len(design.stages) > 1)])
    return f"{stages}@{design.resolutions[-1]}/{FULL_RESOLUTION}"


def format_genotype(design: Design, genotype: Genotype) -> str:
    """`k3e6,k5e4|k7e3,k3e3|…@48/56`: blocks by kernel side and expansion, stages, and the resolution as a fraction."""
    found = choices(design, genotype)
    stages = [
        ",".join(f"k{c.kernel}e{c.expansion}" for c in found[start : start + design.most] if c is not None)
        for start in range(0, len(found), design.most)
    ]
    return f"{'|'.join(stages)}@{resolution(design, genotype)}/{FULL_RESOLUTION}"


def parse_genotype(design: Design, text: str) -> Genotype:
    """Read a genotype from `format_genotype`'s form or from comma-separated genes.

    Returns:
        A legal genotype.

    Raises:
        GenotypeError: saying what is wrong where, and what is legal.
    """
    if "k" not in text and "@" not in text:
        try:
            genotype = Genotype(design.name, tuple(int(gene) for gene in text.split(",")))
        except ValueError:
            raise GenotypeError(
                f"genotype {text!r} is neither of the form {form(design)} nor {design.genes} comma-separated integers"
            ) from None
        validate(design, genotype)
        return genotype
    blocks, at, fraction = text.strip().partition("@")
    stages = blocks.split("|")
    if not at or len(stages) != len(design.stages):
        raise GenotypeError(
            f"genotype {text!r} has {len(stages)} stages and {'a' if at else 'no'} resolution, expected "
            f"{len(design.stages)} stages and a resolution as in {form(design)}"
        )
    genes = [gene for number, stage in enumerate(stages, start=1) for gene in _parse_stage(design, number, stage)]
    genotype = Genotype(design.name, (*genes, _parse_resolution(design, fraction)))
    validate(design, genotype)
    return genotype


def _parse_stage(design: Design, number: int, text: str) -> list[int]:
    entries = [entry.strip() for entry in text.split(",")]
    if len(entries) not in design.depths:
        raise GenotypeError(f"stage {number} has {len(entries)} blocks in {text!r}, expected {_listed(design.depths)}")
    kernels, expansions = [0] * design.most, [0] * design.most
    for block, entry in enumerate(entries):
        found = _BLOCK.fullmatch(entry)
        if found is None or int(found[1]) not in design.kernels or int(found[2]) not in design.expansions:
            raise GenotypeError(
                f"block {block + 1} of stage {number} is {entry!r}, expected k<kernel>e<expansion> with a kernel of "
                f"{_options(design.kernels)} and an expansion of {_options(design.expansions)}"
            )
        kernels[block] = design.kernels.index(int(found[1])) + 1
        expansions[block] = design.expansions.index(int(found[2])) + 1
    return [len(entries), *kernels, *expansions]


def _parse_resolution(design: Design, text: str) -> int:
    found = _RESOLUTION.fullmatch(text.strip())
    if found is None or int(found[1]) not in design.resolutions:
        few = design.resolutions[1] - design.resolutions[0] > 1
        legal = _options(design.resolutions) if few else f"{design.resolutions[0]} to {design.resolutions[-1]}"
        raise GenotypeError(
            f"resolution {text.strip()!r} is none that {design.name} has: expected n/{FULL_RESOLUTION} of the image "
            f"size with n {legal}"
        )
    return design.resolutions.index(int(found[1]))


def _options(values: Sequence[int]) -> str:
    *first, last = map(str, values)
    return f"{', '.join(first)} or {last}" if first else last
