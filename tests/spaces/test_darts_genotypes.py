"""Genotypes of DARTS: legality, mutation and crossover, text form, encoding and graphs."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_cells import SPACE, sample, seeds
from lowland.core.errors import GenotypeError
from lowland.core.genotype import Genotype
from lowland.spaces.darts.genotype import EDGES, NODE_EDGES, live_edges, to_pairs

DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[2, 3, 4, 5])"
)
GENES = "4,4,4,4,0,3,4,0,0,3,0,6,0,0,1,1,0,1,3,1,0,3,0,0,1,3,0,0"


# --- genotypes -----------------------------------------------------------------------------------------------------


def test_size_counts_every_legal_cell() -> None:
    assert SPACE.size == 1_037_664_180**2
    sources = [list(itertools.combinations(edges, 2)) for edges in NODE_EDGES]
    assert math.prod(map(len, sources)) * 7**8 == math.isqrt(SPACE.size)


def test_gene_names() -> None:
    assert len(SPACE.gene_names) == 28
    assert SPACE.gene_names[0] == "normal 2←0"
    assert SPACE.gene_names[-1] == "reduction 5←4"


@given(seeds)
def test_samples_are_legal(seed: int) -> None:
    genotype = sample(seed)
    SPACE.validate(genotype)
    for cell in live_edges(genotype):
        for node, pair in enumerate(cell):
            assert [EDGES[live.edge][0] for live in pair] == [node, node]


def test_samples_are_uniform() -> None:
    """Every edge of node j is live with probability 2 / (j + 2), and operations are equally likely."""
    rng = np.random.default_rng(1)
    n = 4000
    genes = np.array([SPACE.sample(rng).genes for _ in range(n)])
    for gene, (node, _) in enumerate(EDGES * 2):
        expected = 2 / (node + 2)
        error = math.sqrt(expected * (1 - expected) / n)
        assert np.mean(genes[:, gene] != 0) == pytest.approx(expected, abs=5 * error + 1e-12)
    counts = np.bincount(genes[genes != 0], minlength=8)[1:]
    assert counts / counts.sum() == pytest.approx(np.full(7, 1 / 7), abs=5 * math.sqrt(6 / 49 / counts.sum()))
    both = np.mean((genes[:, 9] != 0) & (genes[:, 13] != 0))
    assert both == pytest.approx(1 / 10, abs=5 * math.sqrt(0.09 / n))


@given(seeds, st.floats(0.0, 1.0), st.sampled_from([None, range(14), range(14, 28), range(3, 9)]))
def test_mutation_is_legal_and_stays_in_its_genes(seed: int, probability: float, genes: range | None) -> None:
    rng = np.random.default_rng(seed)
    parent = SPACE.sample(rng)
    child = SPACE.mutate(parent, rng, probability, genes)
    SPACE.validate(child)
    if genes is not None and genes != range(3, 9):
        outside = [i for i in range(28) if i not in genes]
        assert [child.genes[i] for i in outside] == [parent.genes[i] for i in outside]


@given(seeds)
def test_mutation_changes_nothing_at_probability_zero_and_always_at_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parent = SPACE.sample(rng)
    assert SPACE.mutate(parent, rng, 0.0, None) == parent
    for genes in (None, range(14), range(14, 28), range(7, 8)):
        assert SPACE.mutate(parent, rng, 1.0, genes) != parent


def test_single_mutations_follow_their_documented_law() -> None:
    """A live gene gets each other operation; a dead one displaces each live edge of its node; both uniformly."""
    parent = SPACE.parse(GENES)
    rng = np.random.default_rng(2)
    live = [SPACE.mutate(parent, rng, 1.0, range(8, 9)).genes[5:9] for _ in range(3000)]
    displaced = np.mean([genes[0] == 0 for genes in live])
    assert all(genes[3] != 0 and sum(g != 0 for g in genes) == 2 for genes in live)
    assert displaced == pytest.approx(0.5, abs=0.05)
    assert np.bincount([genes[3] for genes in live])[1:] / 3000 == pytest.approx(np.full(7, 1 / 7), abs=0.04)
    redrawn = [SPACE.mutate(parent, rng, 1.0, range(1)).genes for _ in range(3000)]
    counts = np.bincount([genes[0] for genes in redrawn], minlength=8)
    assert counts[0] == counts[4] == 0
    assert counts[[1, 2, 3, 5, 6, 7]] / 3000 == pytest.approx(np.full(6, 1 / 6), abs=0.04)


@given(seeds)
def test_crossover_takes_whole_nodes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = SPACE.sample(rng), SPACE.sample(rng)
    child = SPACE.crossover(first, second, rng)
    SPACE.validate(child)
    for start in (0, 14):
        for edges in NODE_EDGES:
            part = slice(start + edges.start, start + edges.stop)
            assert child.genes[part] in (first.genes[part], second.genes[part])


def test_crossover_mixes_both_parents_evenly_and_independently() -> None:
    rng = np.random.default_rng(3)
    first, second = (
        SPACE.parse(",".join([cell] * 2)) for cell in ("1,1,1,1,0,1,1,0,0,1,1,0,0,0", "2,2,2,2,0,2,2,0,0,2,2,0,0,0")
    )
    children = np.array([SPACE.crossover(first, second, rng).genes for _ in range(2000)])
    from_first = np.stack([children[:, start + edges.start] == 1 for start in (0, 14) for edges in NODE_EDGES])
    assert from_first.mean(axis=1) == pytest.approx(np.full(8, 0.5), abs=0.06)
    assert np.corrcoef(from_first) == pytest.approx(np.eye(8), abs=0.12)


# --- text ----------------------------------------------------------------------------------------------------------


@given(seeds)
def test_text_round_trips(seed: int) -> None:
    genotype = sample(seed)
    text = SPACE.format(genotype)
    assert "\n" not in text
    assert SPACE.parse(text) == genotype
    assert SPACE.parse(",".join(map(str, genotype.genes))) == genotype
    assert SPACE.parse(str(genotype)) == genotype
    halves = [", ".join(map(str, genotype.genes[i : i + 14])) for i in (0, 14)]
    assert SPACE.parse(" | ".join(halves)) == genotype


def test_published_text_has_the_published_genes() -> None:
    expected = SPACE.parse(GENES)
    assert SPACE.parse(DARTS_V2) == expected
    assert SPACE.parse(f"DARTS_V2 = {DARTS_V2}") == expected
    assert SPACE.parse(DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6)").replace("Genotype", "genotypes.Genotype")) == (
        expected
    )
    positional = DARTS_V2
    for field in ("normal_concat=", "reduce_concat=", "normal=", "reduce="):
        positional = positional.replace(field, "")
    assert SPACE.parse(positional) == expected
    assert to_pairs(live_edges(expected)[1])[2:4] == [("max_pool_3x3", 1), ("skip_connect", 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not an operation index"),
        ("3,4", "28 genes"),
        (GENES.replace("6", "8"), "gene 11 is 8"),
        (GENES.replace("6", "-1"), "gene '-1'"),
        (GENES.replace("6", "٣"), "is not an operation index"),
        (GENES.replace("4,4,4,4", "4,0,4,4"), "inner node 0 of the normal cell has 1 edges"),
        (GENES[:-1] + "5", "inner node 3 of the reduction cell has 3 edges"),
        (GENES.replace(",", "|"), "one '|'"),
        ("|".join([GENES, GENES]), "14 genes on each side"),
        ("Genotype(", "not well-formed"),
        ("Genotype('\\d')", "not well-formed"),
        ("__import__('os').system('true')", "is not one Genotype"),
        (f"{DARTS_V2}; {DARTS_V2}", "is not one Genotype"),
        ("Genotype(normal=[])", "lacks reduce"),
        ("Genotype(normal=__import__('os'), reduce=[])", "must be a list of pairs"),
        ("Genotype(normal=[], reduce=[])", "has 8 "),
        (DARTS_V2.replace("dil_conv_3x3", "dil_conv_9x9"), "unknown operation"),
        (DARTS_V2.replace("dil_conv_3x3", "none"), "unknown operation"),
        (DARTS_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)"), "must be 0 to 4"),
        (DARTS_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 0)"), "repeats a source"),
        (DARTS_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', '2')"), "must be an operation name"),
        (DARTS_V2.replace("('dil_conv_3x3', 2)", "2"), "must be a list of pairs"),
        (DARTS_V2.replace("normal_concat=[2, 3, 4, 5]", "normal_concat=[2, 4, 3, 5]"), "normal_concat"),
        (DARTS_V2.replace("reduce_concat=[2, 3, 4, 5]", "reduce_concat=range(2, 9**9)"), "reduce_concat"),
        (DARTS_V2.replace("reduce_concat", "reduction_concat"), "'reduction_concat'"),
        (DARTS_V2.replace("reduce=", "**"), "None"),
        (f"Genotype({'[' * 3000}", "not well-formed"),
        (GENES + " " * 20_000, "characters"),
    ],
)
def test_malformed_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(GenotypeError) as caught:
        SPACE.parse(text)
    assert message in str(caught.value)


@given(st.text(max_size=60))
def test_any_other_text_is_a_genotype_error(text: str) -> None:
    with pytest.raises(GenotypeError):
        SPACE.parse(text)


def test_a_genotype_of_another_space_is_refused() -> None:
    with pytest.raises(GenotypeError, match="nasbench201"):
        SPACE.validate(Genotype("nasbench201", (1,) * 28))


def test_encoding_is_one_hot() -> None:
    genotype = SPACE.parse(GENES)
    x = SPACE.encode(genotype)
    assert x.shape == (224,)
    assert tuple(x.reshape(28, 8).argmax(1)) == genotype.genes
    assert x.sum() == 28


def test_graphs_show_both_cells() -> None:
    normal, reduction = SPACE.graphs(SPACE.parse(DARTS_V2))
    assert (normal.title, reduction.title) == ("normal cell", "reduction cell")
    assert ("0", "3", "dil_conv_3x3") in normal.edges
    assert ("c_{k-2}", "0", "sep_conv_3x3") in normal.edges
    assert [edge for edge in normal.edges if edge[1] == "c_{k}"] == [(str(i), "c_{k}", "") for i in range(4)]
    assert len(reduction.edges) == 12
    assert {end for edge in reduction.edges for end in edge[:2]} <= set(reduction.nodes)
