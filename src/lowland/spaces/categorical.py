"""Spaces whose genes are independent choices among named operations: everything about genotypes, for one declaration.

A space of your own then only says what its networks are (docs/guide/extending.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import ClassVar

import numpy as np

from lowland.core.errors import GenotypeError
from lowland.core.genotype import Genotype
from lowland.spaces.space import Space
from lowland.spaces.values import with_gene


class CategoricalSpace(Space):
    """Gene i is the index of one of `operations`, whatever the other genes are; every combination is legal.

    The text form joins the operations' names: `conv_3x3|skip|conv_1x1`.

    Attributes:
        operations: Names of what every gene chooses among; distinct, without `|` and commas, and no numbers.
    """

    operations: ClassVar[tuple[str, ...]]

    @property
    def size(self) -> int:
        """Operations to the power of genes."""
        return int(len(self.operations) ** len(self.gene_names))

    def validate(self, genotype: Genotype) -> None:
        """Raise GenotypeError unless there is one operation of this space for every gene."""
        if genotype.space != self.name:
            raise GenotypeError(f"genotype {genotype} is of space {genotype.space}, not of {self.name}")
        if len(genotype.genes) != len(self.gene_names):
            raise GenotypeError(
                f"genotype {genotype} has {len(genotype.genes)} genes; {self.name} has {len(self.gene_names)}"
            )
        for name, gene in zip(self.gene_names, genotype.genes, strict=True):
            if not 0 <= gene < len(self.operations):
                raise GenotypeError(
                    f"gene {name!r} of {genotype} is {gene}; it must be from 0 ({self.operations[0]}) to "
                    f"{len(self.operations) - 1} ({self.operations[-1]})"
                )

    def chosen(self, genotype: Genotype) -> tuple[str, ...]:
        """The operation of every gene by name; GenotypeError for an illegal genotype."""
        self.validate(genotype)
        return tuple(self.operations[gene] for gene in genotype.genes)

    def sample(self, rng: np.random.Generator) -> Genotype:
        """Uniform over all."""
        return self._of(rng.integers(len(self.operations), size=len(self.gene_names)))

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float, genes: range | None) -> Genotype:
        """Each gene (or each in `genes`) becomes another operation, uniform over the others, with `probability`."""
        self.validate(genotype)
        count = len(self.gene_names)
        changed = rng.random(count) < probability
        shifts = rng.integers(1, len(self.operations), size=count)
        allowed = np.isin(np.arange(count), list(range(count) if genes is None else genes))
        return self._of((np.array(genotype.genes) + shifts * (changed & allowed)) % len(self.operations))

    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> Genotype:
        """Each gene from either parent with probability 1/2."""
        self.validate(first)
        self.validate(second)
        return self._of(np.where(rng.random(len(self.gene_names)) < 0.5, first.genes, second.genes))

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Those with another operation as one gene."""
        self.validate(genotype)
        for place, gene in enumerate(genotype.genes):
            yield from (with_gene(genotype, place, other) for other in range(len(self.operations)) if other != gene)

    def all(self) -> Iterator[Genotype]:
        """Every genotype, the last gene varying fastest; ConfigError for more than 100,000."""
        if self.size > 100_000:
            yield from super().all()
        for genes in product(range(len(self.operations)), repeat=len(self.gene_names)):
            yield Genotype(self.name, genes)

    def parse(self, text: str) -> Genotype:
        """From `conv_3x3|skip` or `1,0`; GenotypeError says what is wrong."""
        parts = [part.strip() for part in text.strip().split("|" if "|" in text else ",")]
        indices = {name: index for index, name in enumerate(self.operations)}
        try:
            genes = tuple(indices[part] if part in indices else int(part) for part in parts)
        except ValueError:
            raise GenotypeError(
                f"genotype {text!r} must be {len(self.gene_names)} of {', '.join(self.operations)} separated by |, or "
                "their numbers separated by commas"
            ) from None
        genotype = Genotype(self.name, genes)
        self.validate(genotype)
        return genotype

    def format(self, genotype: Genotype) -> str:
        """The operations' names, separated by `|`."""
        return "|".join(self.chosen(genotype))

    def encode(self, genotype: Genotype) -> np.ndarray:
        """One-hot, operations within genes."""
        self.validate(genotype)
        hot: np.ndarray = np.eye(len(self.operations))[list(genotype.genes)].ravel()
        return hot

    def key(self, genotype: Genotype) -> str:
        """The genes: no two genotypes are taken to be the same function."""
        self.validate(genotype)
        return str(genotype)

    def _of(self, genes: np.ndarray) -> Genotype:
        return Genotype(self.name, tuple(int(gene) for gene in genes))
