"""The DARTS space with nodes of one or two edges: a relaxation in which FairDARTS-B is legal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations, product

import numpy as np

from lowland.core.genotype import Genotype
from lowland.spaces import published
from lowland.spaces.darts.genotype import EDGES, NODE_EDGES, OPEN, OPERATIONS, parse_genes, validate
from lowland.spaces.darts.relaxed import RELAXATION
from lowland.spaces.darts.space import Darts
from lowland.spaces.relaxed import Relaxation
from lowland.spaces.space import register

Node = tuple[int, ...]
"""Genes of the edges that enter an inner node."""


@register
class OpenDarts(Darts):
    """DARTS, but inner nodes may have one edge instead of two, the others `none` (FairDARTS).

    The first node keeps two, so that every cell uses both its inputs.
    """

    name = "darts-open"
    summary = "as darts, but a node may also have one edge; networks of FairDARTS"
    source = "Chu et al., FairDARTS, ECCV 2020 (arXiv 1911.12126); cells of DARTS"
    references: Mapping[str, str] = {"fairdarts-b": str(published.get("fairdarts-cifar10").genotype)}

    @property
    def size(self) -> int:
        """(49 · ∏ (7·m + 49·m(m − 1)/2))² over the nodes behind the first, m = 3, 4, 5."""
        cell = 1
        for edges in NODE_EDGES:
            cell *= len(_legal(len(edges)))
        return cell * cell

    def validate(self, genotype: Genotype) -> None:
        """Raise GenotypeError unless genes are 0 to 7 and nodes have one or two edges not `none`, the first two."""
        validate(genotype, OPEN)

    def sample(self, rng: np.random.Generator) -> Genotype:
        """One legal genotype, uniform over all."""
        genes: list[int] = []
        for _ in range(2):
            for edges in NODE_EDGES:
                legal = _legal(len(edges))
                genes += legal[int(rng.integers(len(legal)))]
        return Genotype(OPEN, tuple(genes))

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float, genes: range | None) -> Genotype:
        """Pick every gene (or every gene in `genes`) with `probability`, and draw the nodes of picked ones anew.

        A node becomes one of those legal in which a picked gene is another and genes that were not picked are as they
        were, or, where two others hold operations already, `none`; each equally likely.

        Returns:
            A legal genotype.
        """
        self.validate(genotype)
        changed = list(genotype.genes)
        picked = rng.random(len(changed)) < probability
        for start, edges in _nodes():
            before = tuple(genotype.genes[start + edge] for edge in edges)
            chosen = [
                place
                for place, edge in enumerate(edges)
                if picked[start + edge] and (genes is None or start + edge in genes)
            ]
            if not chosen:
                continue
            others = [place for place in range(len(before)) if place not in chosen]
            found = [
                node
                for node in _legal(len(before))
                if any(node[place] != before[place] for place in chosen)
                and all(node[place] in (before[place], 0) for place in others)
            ]
            changed[start + edges.start : start + edges.stop] = found[int(rng.integers(len(found)))]
        return Genotype(OPEN, tuple(changed))

    def repaired(self, genes: Sequence[int], rng: np.random.Generator) -> Genotype:
        """Node by node: of more than two live edges random ones become `none`, of too few random ones are drawn."""
        found = list(genes)
        for start, edges in _nodes():
            live = [start + edge for edge in edges if found[start + edge]]
            for gene in rng.permutation(live)[2:].tolist() if len(live) > 2 else ():
                found[gene] = 0
            none = [start + edge for edge in edges if not found[start + edge]]
            lacking = (2 if edges.start == 0 else 1) - len(live)
            for gene in rng.permutation(none)[:lacking].tolist() if lacking > 0 else ():
                found[gene] = int(rng.integers(1, len(OPERATIONS)))
        return Genotype(OPEN, tuple(found))

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Those with another operation on one edge, one operation from another source, one edge more or one less."""
        self.validate(genotype)
        for start, edges in _nodes():
            before = tuple(genotype.genes[start + edge] for edge in edges)
            for node in _legal(len(before)):
                if _near(before, node):
                    changed = list(genotype.genes)
                    changed[start + edges.start : start + edges.stop] = node
                    yield Genotype(OPEN, tuple(changed))

    def parse(self, text: str) -> Genotype:
        """A legal genotype from 28 genes, `|` between the cells, with or without `darts-open:` in front."""
        genotype = parse_genes(text.strip().removeprefix(f"{OPEN}:"), OPEN)
        self.validate(genotype)
        return genotype

    def format(self, genotype: Genotype) -> str:
        """28 genes, `|` between the cells; the form of DARTS' code has two edges for every node."""
        self.validate(genotype)
        cells = (genotype.genes[: len(EDGES)], genotype.genes[len(EDGES) :])
        return "|".join(",".join(map(str, cell)) for cell in cells)

    @property
    def relaxation(self) -> Relaxation:
        """The cells as a gradient search sees them."""
        return replace(RELAXATION, fewest=1)


@cache
def _legal(edges: int) -> tuple[Node, ...]:
    """All ways in which one or two of so many edges hold operations; of two edges, which the first node has, both."""
    found: list[Node] = []
    for count in (1, 2) if edges > 2 else (2,):
        for places in combinations(range(edges), count):
            for held in product(range(1, len(OPERATIONS)), repeat=count):
                node = [0] * edges
                for place, choice in zip(places, held, strict=True):
                    node[place] = choice
                found.append(tuple(node))
    return tuple(found)


def _near(first: Node, second: Node) -> bool:
    """Whether one edge differs, or one operation came from another source."""
    differing = [(a, b) for a, b in zip(first, second, strict=True) if a != b]
    return len(differing) == 1 or (len(differing) == 2 and differing[0] == differing[1][::-1] and 0 in differing[0])


def _nodes() -> list[tuple[int, range]]:
    """Of each of the eight inner nodes the place of its cell's first gene, and its edges."""
    return [(start, edges) for start in (0, len(EDGES)) for edges in NODE_EDGES]
