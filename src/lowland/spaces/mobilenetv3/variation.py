"""Draws and variation of elastic MobileNetV3 genotypes, and their form as a vector. Unused genes are always zero."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from lowland.core.genotype import Genotype
from lowland.spaces.mobilenetv3.design import Design
from lowland.spaces.mobilenetv3.genotype import validate
from lowland.spaces.values import with_gene


def uniform(design: Design, rng: np.random.Generator) -> Genotype:
    """Uniform over all genotypes: a depth d is drawn with weight (kernels · expansions)^d."""
    bounds = np.cumsum(design.stage_sizes)
    depths = [
        design.depths[int(np.searchsorted(bounds, rng.integers(bounds[-1]), side="right"))] for _ in design.stages
    ]
    return _filled(design, depths, rng)


def uniform_genes(design: Design, rng: np.random.Generator) -> Genotype:
    """Every decision uniform over its options, so that shallow stages are as likely as deep ones (Once-for-All)."""
    depths = [design.depths[int(i)] for i in rng.integers(len(design.depths), size=len(design.stages))]
    return _filled(design, depths, rng)


def _filled(design: Design, depths: Sequence[int], rng: np.random.Generator) -> Genotype:
    genes: list[int] = []
    for depth in depths:
        genes.append(depth)
        for options in (design.kernels, design.expansions):
            genes += [*rng.integers(1, len(options) + 1, size=depth).tolist(), *[0] * (design.most - depth)]
    return Genotype(design.name, (*genes, int(rng.integers(len(design.resolutions)))))


def mutate(
    design: Design, genotype: Genotype, rng: np.random.Generator, probability: float, genes: range | None
) -> Genotype:
    """Every gene (or each in `genes`) is picked with `probability` and becomes another option, all equally likely.

    Blocks that a greater depth adds are drawn uniformly; those beyond the depth become zero, and picking them changes
    nothing. A change never leaves `genes`, so a depth changes only where all genes of its stage are among them.

    Returns:
        A legal genotype.
    """
    validate(design, genotype)
    picked = rng.random(design.genes) < probability
    if genes is not None:
        picked &= np.isin(np.arange(design.genes), genes)
    child = list(genotype.genes)
    for number in range(len(design.stages)):
        start = number * design.stage_genes
        whole = genes is None or (start in genes and start + design.stage_genes - 1 in genes)
        before = child[start]
        if picked[start] and whole:
            child[start] = design.depths[_other(design.depths.index(before), len(design.depths), rng)]
        for offset, options in ((1, design.kernels), (1 + design.most, design.expansions)):
            for block in range(design.most):
                at = start + offset + block
                if block >= child[start]:
                    child[at] = 0
                elif block >= before:
                    child[at] = int(rng.integers(1, len(options) + 1))
                elif picked[at]:
                    child[at] = _other(child[at] - 1, len(options), rng) + 1
    if picked[-1]:
        child[-1] = _other(child[-1], len(design.resolutions), rng)
    return Genotype(design.name, tuple(child))


def _other(index: int, count: int, rng: np.random.Generator) -> int:
    """One of `count` indices other than `index`, uniformly; `index` itself where it is the only one."""
    return (index + int(rng.integers(1, count))) % count if count > 1 else index


def repaired(design: Design, genes: Sequence[int], rng: np.random.Generator) -> Genotype:
    """Genes of blocks beyond the depth become zero; missing ones of blocks within it are drawn uniformly."""
    found = list(genes)
    for start in range(0, design.genes - 1, design.stage_genes):
        for offset, options in ((1, design.kernels), (1 + design.most, design.expansions)):
            for block in range(design.most):
                at = start + offset + block
                if block >= found[start]:
                    found[at] = 0
                elif not found[at]:
                    found[at] = int(rng.integers(1, len(options) + 1))
    return Genotype(design.name, tuple(found))


def mutate_near(
    design: Design,
    genotype: Genotype,
    rng: np.random.Generator,
    probability: float,
    step: Callable[[int, int], int],
) -> Genotype:
    """Each depth, kernel, expansion and the resolution moves with `probability`: `step`(place, options) → place.

    Returns:
        A legal genotype (`repaired`).
    """
    validate(design, genotype)
    found = list(genotype.genes)
    picked = rng.random(design.genes) < probability
    for start in range(0, design.genes - 1, design.stage_genes):
        depth = found[start]
        if picked[start]:
            found[start] = design.depths[step(design.depths.index(depth), len(design.depths))]
        for offset, options in ((1, design.kernels), (1 + design.most, design.expansions)):
            for at in range(start + offset, start + offset + depth):
                if picked[at]:
                    found[at] = step(found[at] - 1, len(options)) + 1
    if picked[-1]:
        found[-1] = step(found[-1], len(design.resolutions))
    return repaired(design, found, rng)


def neighbours(design: Design, genotype: Genotype) -> Iterator[Genotype]:
    """One decision changed: a block's kernel or expansion, a stage's depth, or the resolution.

    Blocks that a greater depth adds repeat the last one.

    Yields:
        Legal genotypes, each once.
    """
    validate(design, genotype)
    for number in range(len(design.stages)):
        start = number * design.stage_genes
        depth = genotype.genes[start]
        for other in (each for each in design.depths if each != depth):
            child = list(genotype.genes)
            child[start] = other
            for offset in (1, 1 + design.most):
                for block in range(design.most):
                    last = child[start + offset + min(depth, other) - 1]
                    at = start + offset + block
                    child[at] = 0 if block >= other else (child[at] if block < depth else last)
            yield Genotype(design.name, tuple(child))
        for offset, options in ((1, design.kernels), (1 + design.most, design.expansions)):
            for block in range(depth):
                at = start + offset + block
                values = range(1, len(options) + 1)
                yield from (with_gene(genotype, at, value) for value in values if value != genotype.genes[at])
    at = design.genes - 1
    values = range(len(design.resolutions))
    yield from (with_gene(genotype, at, value) for value in values if value != genotype.genes[at])


def crossover(design: Design, first: Genotype, second: Genotype, rng: np.random.Generator) -> Genotype:
    """Depths, resolution, and each block's kernel and expansion from either parent with probability 1/2.

    A block that only one parent has comes from that parent.

    Returns:
        A legal genotype.
    """
    validate(design, first)
    validate(design, second)
    from_first = rng.random(design.genes) < 0.5
    child = [a if c else b for a, b, c in zip(first.genes, second.genes, from_first, strict=True)]
    for start in range(0, design.genes - 1, design.stage_genes):
        depth = child[start]
        for offset in (1, 1 + design.most):
            for block in range(design.most):
                at = start + offset + block
                # Unused genes are zero, so the greater one is that of the parent who has the block.
                child[at] = 0 if block >= depth else child[at] or max(first.genes[at], second.genes[at])
    return Genotype(design.name, tuple(child))


def encode(design: Design, genotype: Genotype) -> np.ndarray:
    """One-hot per gene, all zero for the genes of unused blocks; (160,) for Once-for-All."""
    validate(design, genotype)
    parts: list[np.ndarray] = []
    for number in range(len(design.stages)):
        depth, *rest = design.stage(genotype.genes, number)
        parts.append(np.eye(len(design.depths))[design.depths.index(depth)])
        for values, options in ((rest[: design.most], design.kernels), (rest[design.most :], design.expansions)):
            parts.append(np.eye(len(options) + 1)[values][:, 1:].ravel())
    parts.append(np.eye(len(design.resolutions))[genotype.genes[-1]])
    return np.concatenate(parts)


def extremes(design: Design) -> tuple[Genotype, Genotype]:
    """The smallest and the largest network."""
    (small, large) = (
        [depth, *[kernel] * depth, *[0] * (design.most - depth), *[expansion] * depth, *[0] * (design.most - depth)]
        for depth, kernel, expansion in (
            (design.depths[0], 1, 1),
            (design.most, len(design.kernels), len(design.expansions)),
        )
    )
    stages = len(design.stages)
    return (
        Genotype(design.name, (*small * stages, 0)),
        Genotype(design.name, (*large * stages, len(design.resolutions) - 1)),
    )
