"""Genotypes of NAS-Bench-201: operations and edges, legality, text form, live edges and isomorphic cells."""

from __future__ import annotations

import difflib
from functools import cache

import numpy as np

from lowland.core.errors import GenotypeError
from lowland.core.genotype import Genotype

NAME = "nasbench201"
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
"""(target node, source node) of every gene; node 0 is the cell's input and node 3 its output."""

GENE_NAMES = tuple(f"{target}←{source}" for target, source in EDGES)

ROUTES = ((3,), (0, 4), (1, 5), (0, 2, 5))
"""Edges of the routes 0-3, 0-1-3, 0-2-3 and 0-1-2-3 from input to output."""

OUTPUT = 3
"""The output node, and the number of nodes that sum edges."""

FORM = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
"""The published text form."""

Step = tuple[int, tuple[tuple[int, int, str], ...]]
"""A node to compute, and for each of its live edges (edge, source node, operation)."""


@cache
def live_steps(genes: tuple[int, ...]) -> tuple[Step, ...]:
    """The computation of a cell: live edges by node, in order; empty where the output is zero."""
    alive, useful = {0}, {OUTPUT}
    for gene, (target, source) in zip(genes, EDGES, strict=True):
        if gene and source in alive:
            alive.add(target)
    for gene, (target, source) in reversed(list(zip(genes, EDGES, strict=True))):
        if gene and target in useful:
            useful.add(source)
    steps = []
    for node in sorted((alive & useful) - {0}):
        edges = [
            (edge, source, OPERATIONS[gene])
            for edge, (gene, (target, source)) in enumerate(zip(genes, EDGES, strict=True))
            if target == node and gene and source in alive
        ]
        steps.append((node, tuple(edges)))
    return tuple(steps)


@cache
def expression(genes: tuple[int, ...]) -> str:
    """Write the cell's output as a nested sum of operations on its input `0`, with zero terms written `#`.

    Skip connections vanish and terms are sorted, which is the published rule for isomorphic cells. It keeps zero terms
    and sorts nested sums as text, so it never merges different functions but leaves some equal ones apart.

    Returns:
        The expression, equal for isomorphic cells.
    """
    nodes = ["0"]
    for node in range(1, OUTPUT + 1):
        terms = []
        for gene, (target, source) in zip(genes, EDGES, strict=True):
            if target != node:
                continue
            if gene == 0 or nodes[source] == "#":
                terms.append("#")
            else:
                terms.append(nodes[source] if gene == 1 else f"({nodes[source]})@{OPERATIONS[gene]}")
        nodes.append("+".join(sorted(terms)))
    return nodes[OUTPUT]


def validate(genotype: Genotype) -> None:
    """Raise GenotypeError, naming the gene, unless there are 6 genes from 0 to 4 of this space."""
    if genotype.space != NAME:
        raise GenotypeError(f"genotype {genotype} belongs to space {genotype.space!r}, expected {NAME!r}")
    if len(genotype.genes) != len(EDGES):
        raise GenotypeError(
            f"genotype {genotype} has {len(genotype.genes)} genes, {NAME} needs {len(EDGES)}, one per edge"
        )
    for gene, name in zip(genotype.genes, GENE_NAMES, strict=True):
        if not isinstance(gene, int) or not 0 <= gene < len(OPERATIONS):
            legal = ", ".join(f"{i} {operation}" for i, operation in enumerate(OPERATIONS))
            raise GenotypeError(f"gene {name} of {genotype} is {gene!r}; legal are {legal}")


def parse_cell(text: str) -> tuple[int, ...]:
    """Read the published string form.

    Returns:
        Its 6 genes.

    Raises:
        GenotypeError: saying what is wrong where, and what is legal.
    """
    nodes = text.split("+")
    if len(nodes) != OUTPUT:
        raise GenotypeError(f"genotype {text!r} has {len(nodes)} nodes joined by '+', expected 3 in the form {FORM}")
    genes = []
    for number, node in enumerate(nodes, start=1):
        node = node.strip()
        entries = node[1:-1].split("|")
        if len(node) < 2 or node[0] != "|" or node[-1] != "|" or len(entries) != number:
            raise GenotypeError(
                f"node {number} of genotype {text!r} is {node!r}, expected {number} op~source between '|' as in {FORM}"
            )
        for source, entry in enumerate(entries):
            operation, tilde, index = (part.strip() for part in entry.partition("~"))
            if not tilde or index != str(source):
                raise GenotypeError(f"edge {number}←{source} of genotype {text!r} is {entry!r}, expected op~{source}")
            if operation not in OPERATIONS:
                near = difflib.get_close_matches(operation, OPERATIONS, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(OPERATIONS)}"
                raise GenotypeError(f"unknown operation {operation!r} on edge {number}←{source} of {text!r}; {hint}")
            genes.append(OPERATIONS.index(operation))
    return tuple(genes)


def connected(rng: np.random.Generator) -> Genotype:
    """Uniform over the genotypes that give every node an edge: a node is drawn again while all are `none` (RLNAS)."""
    genes: list[int] = []
    for edges in range(1, OUTPUT + 1):
        node = [0]
        while not any(node):
            node = rng.integers(len(OPERATIONS), size=edges).tolist()
        genes += node
    return Genotype(NAME, tuple(genes))


def fair_cell(rng: np.random.Generator) -> list[Genotype]:
    """Five genotypes that hold each operation once on every edge, uniform over those with a route in each of them."""
    while True:
        columns = [rng.permutation(len(OPERATIONS)).tolist() for _ in EDGES]
        cells = [tuple(genes) for genes in zip(*columns, strict=True)]
        if all(live_steps(genes) for genes in cells):
            return [Genotype(NAME, genes) for genes in cells]
