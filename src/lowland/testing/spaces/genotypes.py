"""What a space promises of genotypes: drawn, written, varied, told apart."""

from __future__ import annotations

from graphlib import TopologicalSorter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowland import spaces
from lowland.core.errors import ConfigError, GenotypeError
from lowland.core.genotype import Genotype
from lowland.spaces import Space
from lowland.testing.spaces.cases import alive_samples, fast, sampled, samples, seeds, shape


class GenotypeTests:
    """Genotypes of one space."""

    def test_registered_under_its_name(self, space: Space) -> None:
        assert spaces.get(space.name) is space
        assert space.summary
        assert space.source
        assert set(space.default_supernet) == {"channels", "cells"}
        space.check(shape(space, **space.default_supernet, image_size=32))

    def test_samples_are_legal_reproducible_and_varied(self, space: Space) -> None:
        genotypes = samples(space, 300)
        for genotype in genotypes:
            space.validate(genotype)
            assert all(type(gene) is int for gene in genotype.genes)
            assert len(genotype.genes) == len(space.gene_names)
        assert genotypes == samples(space, 300)
        # Of small spaces many are drawn again: n draws give n·(1 − (1 − 1/n)ᵏ) different ones on average.
        expected = space.size * (1 - (1 - 1 / space.size) ** len(genotypes))
        assert len(set(genotypes)) > (290 if space.size > 10_000 else 0.9 * expected)
        assert all(len(set(values)) > 1 for values in zip(*(g.genes for g in genotypes), strict=True))

    def test_size_is_the_number_of_genotypes(self, space: Space) -> None:
        if space.size > 100_000:
            with pytest.raises(ConfigError, match="too many"):
                next(iter(space.all()))
            return
        genotypes = list(space.all())
        assert len(set(genotypes)) == len(genotypes) == space.size
        for genotype in genotypes[:: max(1, space.size // 500)]:
            space.validate(genotype)

    def test_validate_refuses_wrong_length_value_and_space(self, space: Space) -> None:
        genes = samples(space, 1)[0].genes
        wrong = [(), genes[:-1], (*genes, 0), (-1, *genes[1:]), (99, *genes[1:]), (*genes[:-1], 99)]
        for bad in wrong:
            with pytest.raises(GenotypeError):
                space.validate(Genotype(space.name, bad))
        with pytest.raises(GenotypeError, match="elsewhere"):
            space.validate(Genotype("elsewhere", genes))

    @fast
    @given(seed=seeds)
    def test_text_forms_round_trip(self, space: Space, seed: int) -> None:
        genotype = sampled(space, seed)
        assert space.parse(space.format(genotype)) == genotype
        assert space.parse(f"  {space.format(genotype)}\n") == genotype
        assert space.parse(",".join(map(str, genotype.genes))) == genotype

    @fast
    @given(seed=seeds, text=st.text(max_size=12), where=st.floats(0, 1))
    def test_damaged_text_is_refused_or_legal(self, space: Space, seed: int, text: str, where: float) -> None:
        whole = space.format(sampled(space, seed))
        cut = int(where * len(whole))
        for damaged in (text, whole[:cut] + text + whole[cut:], whole[:cut] + text, text + whole[cut:]):
            try:
                space.validate(space.parse(damaged))
            except GenotypeError as error:
                assert "\n" not in str(error)  # noqa: PT017

    @pytest.mark.parametrize("text", ["", " ", ",", "1", "nonsense", "|", "+", "0,a", "1.5,2", "-1,0"])
    def test_malformed_text_is_refused(self, space: Space, text: str) -> None:
        with pytest.raises(GenotypeError):
            space.parse(text)
        genes = samples(space, 1)[0].genes
        with pytest.raises(GenotypeError):
            space.parse(",".join(["77", *map(str, genes[1:])]))

    @fast
    @given(seed=seeds)
    def test_mutation(self, space: Space, seed: int) -> None:
        genotype, rng = sampled(space, seed), np.random.default_rng(seed)
        assert space.mutate(genotype, rng, 0.0, None) == genotype
        mutant = space.mutate(genotype, rng, 1.0, None)
        space.validate(mutant)
        assert mutant != genotype
        half = len(genotype.genes) // 2
        mutant = space.mutate(genotype, rng, 1.0, range(half))
        space.validate(mutant)
        assert mutant != genotype
        assert mutant.genes[half:] == genotype.genes[half:]
        space.validate(space.mutate(mutant, rng, 0.3, None))

    @fast
    @given(seed=seeds)
    def test_crossover_takes_every_gene_from_a_parent(self, space: Space, seed: int) -> None:
        (first, second), rng = samples(space, 2, seed), np.random.default_rng(seed)
        children = [space.crossover(first, second, rng) for _ in range(30)]
        for child in children:
            space.validate(child)
            assert all(c in (a, b) for a, b, c in zip(first.genes, second.genes, child.genes, strict=True))
        assert space.crossover(first, first, rng) == first
        if sum(a != b for a, b in zip(first.genes, second.genes, strict=True)) > len(first.genes) // 2:
            assert len(set(children)) > 2

    def test_variation_draws_from_the_generator_alone(self, space: Space) -> None:
        first, second = samples(space, 2)
        for vary in (
            lambda rng: space.mutate(first, rng, 0.5, None),
            lambda rng: space.crossover(first, second, rng),
            lambda rng: space.sample_path(rng, 3, per_cell=True),
        ):
            assert vary(np.random.default_rng(5)) == vary(np.random.default_rng(5))

    def test_key_is_stable_and_tells_functions_apart(self, space: Space) -> None:
        genotypes = alive_samples(space, 20)
        keys = [space.key(g) for g in genotypes]
        assert keys == [space.key(Genotype(g.space, tuple(g.genes))) for g in genotypes]
        assert all(isinstance(key, str) and key for key in keys)
        assert len(set(keys)) > 15

    def test_encoding_is_a_fixed_length_vector_that_identifies_the_genotype(self, space: Space) -> None:
        genotypes = samples(space, 50)
        vectors = np.stack([space.encode(g) for g in genotypes])
        assert np.issubdtype(vectors.dtype, np.floating)
        assert np.isin(vectors, (0, 1)).all()
        assert len(np.unique(vectors, axis=0)) == len(set(genotypes))

    def test_graphs_are_acyclic_and_name_their_nodes(self, space: Space) -> None:
        for genotype in samples(space, 20):
            graphs = space.graphs(genotype)
            assert graphs
            for graph in graphs:
                assert graph.title
                assert len(set(graph.nodes)) == len(graph.nodes)
                arrows = {node: set() for node in graph.nodes}
                for source, target, operation in graph.edges:
                    assert operation != "none"
                    assert source in arrows
                    arrows[target].add(source)
                assert set(TopologicalSorter(arrows).static_order()) == set(graph.nodes)

    def test_sample_path_gives_one_genotype_or_one_per_cell(self, space: Space) -> None:
        rng = np.random.default_rng(0)
        space.validate(space.sample_path(rng, 7, per_cell=False))
        path = space.sample_path(rng, 7, per_cell=True)
        assert len(path) == 7
        assert len(set(path)) > 1
        for genotype in path:
            space.validate(genotype)
