"""What the 28 genes of the DARTS space mean: edges, legality, and the published text form.

A cell has two inputs (nodes 0 and 1: the outputs of the two cells before it) and four inner nodes 2..5. Inner node
j + 2 (j in 0..3) may be fed by every node before it; exactly two of its edges hold an operation, the others `none`:

    node = op(source) + op(source)          cell output = concatenation of the four inner nodes

Genes are the operation index of each edge, in node order and in source order within a node: 14 for the normal cell,
then 14 for the reduction cell.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from lowland.core.errors import GenotypeError
from lowland.core.genotype import Genotype

SPACE = "darts"
OPEN = "darts-open"
"""The relaxation of the space in which inner nodes but the first may also have one edge."""

FEWEST = {SPACE: 2, OPEN: 1}
"""Edges of an inner node that hold an operation, at least; at most 2. The first has 2: a cell uses both its inputs."""

NODES = 4
OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
EDGES = tuple((node, source) for node in range(NODES) for source in range(node + 2))
"""(inner node 0..3, source 0..node + 1) of each edge; sources 0 and 1 are the cell's inputs, s the inner node s − 2."""

NODE_EDGES = tuple(range(node * (node + 3) // 2, (node + 1) * (node + 4) // 2) for node in range(NODES))
"""Edge indices that enter each inner node."""

KINDS = ("normal", "reduction")
LEGAL_CELLS: int = math.prod(math.comb(len(edges), 2) for edges in NODE_EDGES) * (len(OPERATIONS) - 1) ** (2 * NODES)

_CONCAT = [2, 3, 4, 5]
_FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
_LONGEST_TEXT = 10_000

Pair = tuple[str, int]
"""(operation, source) of one live edge, as in published genotypes."""


class LiveEdge(NamedTuple):
    """An edge that holds an operation: its index 0..13, its source 0..4 and its operation 1..7."""

    edge: int
    source: int
    operation: int


LiveCell = tuple[tuple[LiveEdge, ...], ...]
"""The live edges of each inner node, in edge order: two, in the space darts-open one or two."""


def validate(genotype: Genotype, space: str | None = None) -> None:
    """Raise GenotypeError unless `genotype` is a legal one of the space; None: of darts or of darts-open."""
    if genotype.space != (space or genotype.space) or genotype.space not in FEWEST:
        raise GenotypeError(
            f"genotype {genotype} belongs to space {genotype.space!r}, expected a {space or SPACE!r} genotype"
        )
    genes = genotype.genes
    if len(genes) != 2 * len(EDGES):
        raise GenotypeError(
            f"a darts genotype has {2 * len(EDGES)} genes (14 normal, 14 reduction), got {len(genes)}: give all of them"
        )
    for index, gene in enumerate(genes):
        if type(gene) is not int or not 0 <= gene < len(OPERATIONS):
            raise GenotypeError(
                f"darts gene {index} is {gene!r}, expected an operation index 0 to {len(OPERATIONS) - 1} (0 is none)"
            )
    for kind, name in enumerate(KINDS):
        for node, edges in enumerate(NODE_EDGES):
            live = sum(genes[kind * len(EDGES) + edge] != 0 for edge in edges)
            fewest = FEWEST[genotype.space] if node else 2
            if not fewest <= live <= 2:
                wanted = "exactly 2" if fewest == 2 else f"{fewest} or 2"
                raise GenotypeError(
                    f"inner node {node} of the {name} cell has {live} edges that are not none, expected {wanted}: "
                    f"set the genes of its {len(edges)} edges accordingly"
                )


@lru_cache(maxsize=4096)
def live_edges(genotype: Genotype) -> tuple[LiveCell, LiveCell]:
    """The live edges of the normal and of the reduction cell; raises GenotypeError where the genotype is illegal."""
    validate(genotype)
    normal, reduction = (
        tuple(_live_node(genotype.genes[start : start + len(EDGES)], edges) for edges in NODE_EDGES)
        for start in (0, len(EDGES))
    )
    return normal, reduction


def _live_node(genes: Sequence[int], edges: range) -> tuple[LiveEdge, ...]:
    return tuple(LiveEdge(edge, EDGES[edge][1], genes[edge]) for edge in edges if genes[edge])


def from_pairs(normal: Sequence[Pair], reduction: Sequence[Pair]) -> Genotype:
    """Build the genotype of two cells given as eight (operation, source) pairs each, two per inner node.

    Returns:
        A legal genotype.

    Raises:
        GenotypeError: not eight pairs, an unknown operation or `none`, a source that does not come before the node, or
            one source twice in a node.
    """
    genes: list[int] = []
    for name, pairs in zip(KINDS, (normal, reduction), strict=True):
        if len(pairs) != 2 * NODES:
            raise GenotypeError(
                f"the {name} cell of a darts genotype has {2 * NODES} (operation, source) pairs, got {len(pairs)}"
            )
        cell = [0] * len(EDGES)
        for position, (operation, source) in enumerate(pairs):
            node = position // 2
            where = f"pair {position} of the {name} cell, ({operation!r}, {source!r}),"
            if operation not in OPERATIONS[1:]:
                raise GenotypeError(f"{where} names an unknown operation; use one of {', '.join(OPERATIONS[1:])}")
            if source not in range(node + 2):
                raise GenotypeError(f"{where} feeds inner node {node}, so its source must be 0 to {node + 1}")
            edge = NODE_EDGES[node][source]
            if cell[edge]:
                raise GenotypeError(f"{where} repeats a source of inner node {node}; its two sources must differ")
            cell[edge] = OPERATIONS.index(operation)
        genes += cell
    return Genotype(SPACE, tuple(genes))


def repaired(genes: Sequence[int], rng: np.random.Generator) -> Genotype:
    """Make genes that were drawn one by one legal (public code of RLNAS).

    Of a node with more than two live edges random ones become `none`; in one with fewer, random `none` edges get one of
    the seven operations.

    Returns:
        A legal genotype; of legal genes, they themselves.
    """
    found = list(genes)
    for start in (0, len(EDGES)):
        for edges in NODE_EDGES:
            node = [start + edge for edge in edges]
            live = [gene for gene in node if found[gene]]
            none = [gene for gene in node if not found[gene]]
            for gene in rng.permutation(live)[2:].tolist() if len(live) > 2 else ():
                found[gene] = 0
            for gene in rng.permutation(none)[: 2 - len(live)].tolist() if len(live) < 2 else ():
                found[gene] = int(rng.integers(1, len(OPERATIONS)))
    return Genotype(SPACE, tuple(found))


def to_pairs(cell: LiveCell) -> list[Pair]:
    """The eight (operation, source) pairs of one cell."""
    return [(OPERATIONS[live.operation], live.source) for node in cell for live in node]


def format_genotype(genotype: Genotype) -> str:
    """The Python form of the DARTS code, on one line: `Genotype(normal=[('sep_conv_3x3', 0), …], …)`."""
    normal, reduction = map(to_pairs, live_edges(genotype))
    return f"Genotype(normal={normal}, normal_concat={_CONCAT}, reduce={reduction}, reduce_concat={_CONCAT})"


def parse_genotype(text: str) -> Genotype:
    """Read a genotype from 28 genes or from the Python form of the DARTS code. Nothing is ever evaluated.

    Genes are separated by commas, with an optional `|` between the cells and an optional `darts:` in front. In the
    Python form an assignment (`NAME = Genotype(…)`), positional fields and `range(2, 6)` are understood.

    Returns:
        A legal genotype.

    Raises:
        GenotypeError: the text is malformed or names an illegal architecture.
    """
    if len(text) > _LONGEST_TEXT:
        raise GenotypeError(
            f"a darts genotype text has {len(text)} characters, expected at most {_LONGEST_TEXT}: give one genotype"
        )
    text = text.strip()
    genotype = _parse_python(text) if "(" in text else parse_genes(text.removeprefix(f"{SPACE}:"))
    validate(genotype)
    return genotype


def parse_genes(text: str, space: str = SPACE) -> Genotype:
    """Read 28 genes separated by commas, with an optional `|` between the cells.

    Returns:
        The genotype, whose legality is not looked at.

    Raises:
        GenotypeError: the text is malformed.
    """
    cells = [[_gene(word.strip()) for word in cell.split(",")] for cell in text.split("|")]
    if len(cells) > 1 and [len(cell) for cell in cells] != [len(EDGES)] * 2:
        raise GenotypeError(
            f"a darts genotype with '|' has 14 genes on each side of one '|', got {[len(cell) for cell in cells]}"
        )
    return Genotype(space, tuple(gene for cell in cells for gene in cell))


def _gene(word: str) -> int:
    # isdecimal also accepts digits of other scripts, and int() underscores and signs: ask for plain ASCII digits.
    if not (word.isascii() and word.isdecimal() and len(word) < 4):
        raise GenotypeError(
            f"darts gene {word[:40]!r} is not an operation index; give 28 comma-separated integers 0 to 7, or the form "
            "Genotype(normal=[('sep_conv_3x3', 0), …], …)"
        )
    return int(word)


def _parse_python(text: str) -> Genotype:
    fields = _fields(_genotype_call(text))
    for name in ("normal_concat", "reduce_concat"):
        if name in fields and _concat(fields[name]) != _CONCAT:
            raise GenotypeError(f"{name} of a darts genotype must be {_CONCAT}: all four inner nodes, in order")
    missing = [name for name in ("normal", "reduce") if name not in fields]
    if missing:
        raise GenotypeError(f"Genotype(…) lacks {' and '.join(missing)}: give both cells as lists of pairs")
    return from_pairs(_pairs("normal", fields["normal"]), _pairs("reduce", fields["reduce"]))


def _genotype_call(text: str) -> ast.Call:
    try:
        with warnings.catch_warnings():
            # The parser warns of odd literals such as 1or 2; such text is refused like any other.
            warnings.simplefilter("error")
            body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise GenotypeError(
            f"the darts genotype {text[:60]!r} is not well-formed; expected Genotype(normal=[…], reduce=[…])"
        ) from error
    call = body[0].value if len(body) == 1 and isinstance(body[0], ast.Expr | ast.Assign) else None
    if not isinstance(call, ast.Call) or getattr(call.func, "id", getattr(call.func, "attr", "")) != "Genotype":
        raise GenotypeError(
            f"the darts genotype {text[:60]!r} is not one Genotype(…); expected Genotype(normal=[…], reduce=[…])"
        )
    return call


def _fields(call: ast.Call) -> dict[str, ast.expr]:
    given = [*zip(_FIELDS, call.args, strict=False), *((keyword.arg, keyword.value) for keyword in call.keywords)]
    fields: dict[str, ast.expr] = {}
    for name, value in given:
        if name not in _FIELDS or name in fields:
            raise GenotypeError(f"Genotype(…) has the field {name!r} unknown or twice; its fields are {_FIELDS}")
        fields[name] = value
    if len(call.args) > len(_FIELDS):
        raise GenotypeError(f"Genotype(…) has {len(call.args)} positional fields, expected at most {len(_FIELDS)}")
    return fields


def _concat(value: ast.expr) -> list[object] | None:
    """The list of concatenated nodes, `range(a, b)` included; None where it is neither."""
    is_range = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "range"
    try:
        if is_range and isinstance(value, ast.Call) and not value.keywords:
            # Compare without building it: the end may be astronomically large.
            return list(_CONCAT) if range(*map(ast.literal_eval, value.args)) == range(2, 6) else None
        return list(ast.literal_eval(value))
    except (ValueError, TypeError, RecursionError, MemoryError):
        return None


def _pairs(name: str, value: ast.expr) -> list[Pair]:
    try:
        pairs = [(operation, source) for operation, source in ast.literal_eval(value)]
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise GenotypeError(
            f"the field {name} of Genotype(…) must be a list of pairs such as ('sep_conv_3x3', 0)"
        ) from error
    for operation, source in pairs:
        if not isinstance(operation, str) or type(source) is not int:
            raise GenotypeError(
                f"the pair ({operation!r}, {source!r}) in {name} of Genotype(…) must be an operation name and a node "
                "number, such as ('sep_conv_3x3', 0)"
            )
    return pairs
