"""Variation gene by gene, as in the public codes: genes are drawn or exchanged freely, then the genotype is repaired.

A space's own `mutate` and `crossover` keep to legal genotypes from the start, and are the default everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lowland.core.genotype import Genotype

if TYPE_CHECKING:
    from lowland.spaces.space import Space


def redrawn(
    space: Space, genotype: Genotype, rng: np.random.Generator, probability: float, genes: range | None
) -> Genotype:
    """Each gene (or each in `genes`) is drawn anew with `probability`, uniform over all its values; then repaired.

    The mutation of the codes of RLNAS and GeNAS: a gene may be drawn as it was, and a repair may undo a change.

    Returns:
        A legal genotype.
    """
    options = space.gene_options
    drawn = [
        int(rng.integers(count)) if (genes is None or place in genes) and rng.random() < probability else gene
        for place, (gene, count) in enumerate(zip(genotype.genes, options, strict=True))
    ]
    return space.repaired(drawn, rng)


def per_gene(space: Space, first: Genotype, second: Genotype, rng: np.random.Generator) -> Genotype:
    """Each gene from either parent with probability 1/2, then repaired (codes of RLNAS and GeNAS)."""
    from_first = rng.random(len(first.genes)) < 0.5
    return space.repaired([a if c else b for a, b, c in zip(first.genes, second.genes, from_first, strict=True)], rng)


def two_point(space: Space, first: Genotype, second: Genotype, rng: np.random.Generator) -> Genotype:
    """The genes between two places from `second`, the others from `first`, then repaired (MSuNAS, FlatNAS).

    Both places are uniform among those in front of, between and behind genes.

    Returns:
        A legal genotype.
    """
    begin, end = sorted(rng.choice(len(first.genes) + 1, size=2, replace=False).tolist())
    return space.repaired([*first.genes[:begin], *second.genes[begin:end], *first.genes[end:]], rng)


def polynomial(value: int, count: int, eta: float, rng: np.random.Generator) -> int:
    """Polynomial mutation of a number from 0 to count − 1 (Deb and Agrawal, 1995), rounded to the nearest.

    The range is half a step wider at both ends, so that the first and last values are as likely as others.

    Args:
        value: The number.
        count: How many values there are.
        eta: Distribution index η ≥ 0: the greater, the nearer.
        rng: Of the draw.

    Returns:
        A number from 0 to count − 1, perhaps the same.
    """
    low, width, power = -0.5, float(count), eta + 1.0
    below = (value - low) / width
    u = float(rng.random())
    if u < 0.5:
        shift = (2 * u + (1 - 2 * u) * (1 - below) ** power) ** (1 / power) - 1
    else:
        shift = 1 - (2 * (1 - u) + 2 * (u - 0.5) * below**power) ** (1 / power)
    return int(min(max(round(value + shift * width), 0), count - 1))
