"""A toy search space of a few integer genes, whose costs and isomorphs are known in closed form."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from lowland.core.genotype import Genotype
from lowland.spaces.space import Space
from lowland.spaces.values import Cost


class ToySpace(Space):
    """`length` genes of `choices` values each; swapping the first two genes gives an isomorph."""

    name = "toy"
    summary = "toy"
    source = "tests"

    def __init__(self, length: int = 5, choices: int = 4) -> None:
        self.length, self.choices = length, choices
        self.gene_names = tuple(f"g{i}" for i in range(length))

    @property
    def size(self) -> int:
        return self.choices**self.length

    @property
    def functions(self) -> int:
        """Number of isomorphism classes: unordered first pairs times the rest."""
        return self.choices * (self.choices + 1) // 2 * self.choices ** (self.length - 2)

    def make(self, *genes: int) -> Genotype:
        return Genotype(self.name, genes)

    def validate(self, genotype: Genotype) -> None:
        assert len(genotype.genes) == self.length

    def sample(self, rng: np.random.Generator) -> Genotype:
        return self.make(*map(int, rng.integers(self.choices, size=self.length)))

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float, genes: range | None) -> Genotype:
        values = list(genotype.genes)
        for i in genes if genes is not None else range(self.length):
            if rng.random() < probability:
                values[i] = (values[i] + int(rng.integers(1, self.choices))) % self.choices
        return self.make(*values)

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        for i, gene in enumerate(genotype.genes):
            for other in range(self.choices):
                if other != gene:
                    yield self.make(*genotype.genes[:i], other, *genotype.genes[i + 1 :])

    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> Genotype:
        pick = rng.integers(2, size=self.length)
        return self.make(*(b if p else a for a, b, p in zip(first.genes, second.genes, pick, strict=True)))

    def all(self) -> Iterator[Genotype]:
        if self.size > 100_000:
            return super().all()
        return (self.make(*genes) for genes in itertools.product(range(self.choices), repeat=self.length))

    def key(self, genotype: Genotype) -> str:
        first, second, *rest = genotype.genes
        return ",".join(map(str, [min(first, second), max(first, second), *rest]))

    def parse(self, text: str) -> Genotype:
        return self.make(*map(int, text.split(",")))

    def format(self, genotype: Genotype) -> str:
        return ",".join(map(str, genotype.genes))

    def encode(self, genotype: Genotype) -> np.ndarray:
        return np.eye(self.choices)[list(genotype.genes)].ravel()

    def cost(self, genotype, shape=None, **_) -> Cost:  # type: ignore[no-untyped-def,override]
        """Parameters 10 + Σ i·gᵢ (i from 1), MACs 1000 + 100·Σ gᵢ."""
        return Cost(
            10 + sum(i * g for i, g in enumerate(genotype.genes, 1)),
            1000 + 100 * sum(genotype.genes),
        )

    def graphs(self, genotype):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    check = supernet = network = angle_terms = graphs  # type: ignore[assignment]
