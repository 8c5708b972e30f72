"""Every registered space keeps every promise of `Space` and `Supernet`."""

from __future__ import annotations

import weakref
from copy import deepcopy
from dataclasses import replace
from graphlib import TopologicalSorter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lowland import spaces
from lowland.core.errors import ConfigError, GenotypeError
from lowland.core.genotype import Genotype
from lowland.spaces import NetworkOptions, Space

from . import conformance
from .conformance import SHAPES, alive_samples, fully_alive, images, samples, shape

pytestmark = pytest.mark.parametrize("space", [spaces.get(name) for name in spaces.registered()], ids=lambda s: s.name)
fast = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def sampled(space: Space, seed: int) -> Genotype:
    return space.sample(np.random.default_rng(seed))


# --- genotypes -------------------------------------------------------------------------------------------------------


def test_registered_under_its_name(space):
    assert spaces.get(space.name) is space
    assert space.summary
    assert space.source
    assert set(space.default_supernet) == {"channels", "cells"}
    space.check(shape(space, **space.default_supernet, image_size=32))


def test_samples_are_legal_reproducible_and_varied(space):
    genotypes = samples(space, 300)
    for genotype in genotypes:
        space.validate(genotype)
        assert all(type(gene) is int for gene in genotype.genes)
        assert len(genotype.genes) == len(space.gene_names)
    assert genotypes == samples(space, 300)
    assert len(set(genotypes)) > 290
    assert all(len(set(values)) > 1 for values in zip(*(g.genes for g in genotypes), strict=True))


def test_size_is_the_number_of_genotypes(space):
    if space.size > 100_000:
        with pytest.raises(ConfigError, match="too many"):
            next(iter(space.all()))
        return
    genotypes = list(space.all())
    assert len(set(genotypes)) == len(genotypes) == space.size
    for genotype in genotypes[:: space.size // 500]:
        space.validate(genotype)


def test_validate_refuses_wrong_length_value_and_space(space):
    genes = samples(space, 1)[0].genes
    wrong = [(), genes[:-1], (*genes, 0), (-1, *genes[1:]), (99, *genes[1:]), (*genes[:-1], 99)]
    for bad in wrong:
        with pytest.raises(GenotypeError):
            space.validate(Genotype(space.name, bad))
    with pytest.raises(GenotypeError, match="elsewhere"):
        space.validate(Genotype("elsewhere", genes))


@fast
@given(seed=seeds)
def test_text_forms_round_trip(space, seed):
    genotype = sampled(space, seed)
    assert space.parse(space.format(genotype)) == genotype
    assert space.parse(f"  {space.format(genotype)}\n") == genotype
    assert space.parse(",".join(map(str, genotype.genes))) == genotype


@fast
@given(seed=seeds, text=st.text(max_size=12), where=st.floats(0, 1))
def test_damaged_text_is_refused_or_legal(space, seed, text, where):
    whole = space.format(sampled(space, seed))
    cut = int(where * len(whole))
    for damaged in (text, whole[:cut] + text + whole[cut:], whole[:cut] + text, text + whole[cut:]):
        try:
            space.validate(space.parse(damaged))
        except GenotypeError as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("text", ["", " ", ",", "1", "nonsense", "|", "+", "0,a", "1.5,2", "-1,0"])
def test_malformed_text_is_refused(space, text):
    with pytest.raises(GenotypeError):
        space.parse(text)
    genes = samples(space, 1)[0].genes
    with pytest.raises(GenotypeError):
        space.parse(",".join(["77", *map(str, genes[1:])]))


@fast
@given(seed=seeds)
def test_mutation(space, seed):
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
def test_crossover_takes_every_gene_from_a_parent(space, seed):
    (first, second), rng = samples(space, 2, seed), np.random.default_rng(seed)
    children = [space.crossover(first, second, rng) for _ in range(30)]
    for child in children:
        space.validate(child)
        assert all(c in (a, b) for a, b, c in zip(first.genes, second.genes, child.genes, strict=True))
    assert space.crossover(first, first, rng) == first
    if sum(a != b for a, b in zip(first.genes, second.genes, strict=True)) > len(first.genes) // 2:
        assert len(set(children)) > 2


def test_variation_draws_from_the_generator_alone(space):
    first, second = samples(space, 2)
    for vary in (
        lambda rng: space.mutate(first, rng, 0.5, None),
        lambda rng: space.crossover(first, second, rng),
        lambda rng: space.sample_path(rng, 3, per_cell=True),
    ):
        assert vary(np.random.default_rng(5)) == vary(np.random.default_rng(5))


def test_key_is_stable_and_tells_functions_apart(space):
    genotypes = alive_samples(space, 20)
    keys = [space.key(g) for g in genotypes]
    assert keys == [space.key(Genotype(g.space, tuple(g.genes))) for g in genotypes]
    assert all(isinstance(key, str) and key for key in keys)
    assert len(set(keys)) > 15


def test_encoding_is_a_fixed_length_vector_that_identifies_the_genotype(space):
    genotypes = samples(space, 50)
    vectors = np.stack([space.encode(g) for g in genotypes])
    assert np.issubdtype(vectors.dtype, np.floating)
    assert np.isin(vectors, (0, 1)).all()
    assert len(np.unique(vectors, axis=0)) == len(set(genotypes))


def test_graphs_are_acyclic_and_name_their_nodes(space):
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


def test_sample_path_gives_one_genotype_or_one_per_cell(space):
    rng = np.random.default_rng(0)
    space.validate(space.sample_path(rng, 7, per_cell=False))
    path = space.sample_path(rng, 7, per_cell=True)
    assert len(path) == 7
    assert len(set(path)) > 1
    for genotype in path:
        space.validate(genotype)


# --- size ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", SHAPES)
def test_cost_is_that_of_the_built_network(space, data):
    of = shape(space, **SHAPES[data])
    for genotype in alive_samples(space, 2):
        network = space.network(genotype, of).eval()
        cost = space.cost(genotype, of)
        assert cost.parameters == conformance.parameters(network)
        assert cost.macs == conformance.measured_macs(network, images(of))


def test_parameters_of_networks_with_dead_operations(space):
    of = shape(space)
    for genotype in samples(space, 10):
        assert space.cost(genotype, of).parameters == conformance.parameters(space.network(genotype, of))


@pytest.mark.parametrize("size", [32, 224])
def test_cost_of_the_auxiliary_head(space, size):
    of, genotype = shape(space, image_size=size), samples(space, 1)[0]
    if not conformance.supports_auxiliary(space, of):
        with pytest.raises(ConfigError, match="auxiliary"):
            space.cost(genotype, of, auxiliary=True)
        return
    network = space.network(genotype, of, NetworkOptions(auxiliary=True)).train()
    assert space.cost(genotype, of, auxiliary=True).parameters == conformance.parameters(network)
    assert space.cost(genotype, of, auxiliary=True).parameters > space.cost(genotype, of).parameters
    logits, auxiliary = network(images(of))
    assert logits.shape == auxiliary.shape == (2, of.num_classes)
    assert network.eval()(images(of)).shape == (2, of.num_classes)


def test_classifier_conventions_differ_as_documented(space):
    of, genotype = shape(space), samples(space, 1)[0]
    classifier = [m for m in space.network(genotype, of).modules() if isinstance(m, torch.nn.Linear)][-1]
    ours, profiler = space.cost(genotype, of), space.cost(genotype, of, classifier="profiler")
    assert profiler.parameters == ours.parameters
    assert profiler.macs - ours.macs == (classifier.in_features - 1) * of.num_classes


def test_cost_draws_no_random_numbers(space):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    space.cost(samples(space, 1)[0], shape(space, num_classes=11))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "change",
    [{"image_size": 0}, {"image_size": -8}, {"channels": 0}, {"cells": 0}, {"num_classes": 0}, {"in_channels": 0}],
    ids=str,
)
def test_impossible_shapes_are_refused(space, change):
    of, genotype = shape(space, **change), samples(space, 1)[0]
    for build in (space.check, space.supernet, lambda s: space.network(genotype, s), lambda s: space.cost(genotype, s)):
        with pytest.raises(ConfigError):
            build(of)


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_small_images_are_refused_or_work(space, stem):
    for size in (1, 2, 3, 4, 5, 7, 8, 12, 13, 15):
        of = shape(space, image_size=size, stem=stem)
        try:
            space.check(of)
        except ConfigError as error:
            assert str(size) in str(error)  # noqa: PT017
            continue
        for genotype in alive_samples(space, 1, seed=size):
            network = space.network(genotype, of)
            assert network.train()(images(of)).shape == (2, of.num_classes)
            assert space.cost(genotype, of).macs == conformance.measured_macs(network.eval(), images(of))


# --- networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", SHAPES)
def test_supernet_path_equals_the_standalone_network_bit_for_bit(space, data):
    of = shape(space, **SHAPES[data])
    torch.manual_seed(0)
    supernet = space.supernet(of)
    conformance.trained_looking(supernet)
    x_NCHW = images(of)
    for genotype in samples(space, 3):
        network = conformance.twin(space, supernet, genotype)
        with torch.no_grad():
            logits_NK = network.eval()(x_NCHW)
            assert torch.equal(supernet.eval()(x_NCHW, genotype), logits_NK)
            assert logits_NK.shape == (2, of.num_classes)
            assert logits_NK.isfinite().all()
            assert torch.equal(supernet.train()(x_NCHW, genotype), network.train()(x_NCHW))
        own, values = network.state_dict(), supernet.extract(genotype)
        assert own.keys() == values.keys()
        assert all(torch.equal(own[name], value) for name, value in values.items())


def test_training_steps_agree_with_the_standalone_network(space):
    torch.manual_seed(0)
    supernet = space.supernet(shape(space)).train()
    x_NCHW = images(supernet.shape)
    for genotype in alive_samples(space, 3):
        network = conformance.twin(space, supernet, genotype).train()
        path = supernet.path_parameters(genotype)
        supernet(x_NCHW, genotype).square().sum().backward()
        shared = {name: parameter.grad for name, parameter in path.items()}
        supernet.zero_grad()
        # The standalone network with the supernet's tensors, so that its gradients flow into them.
        values = supernet.extract(genotype)
        torch.func.functional_call(network, dict(values), x_NCHW).square().sum().backward()
        for name, parameter in path.items():
            assert torch.equal(parameter.grad, shared[name]), name
        supernet.zero_grad()
        if not conformance.elastic(space):
            network(x_NCHW).square().sum().backward()
            for name, parameter in network.named_parameters():
                assert torch.equal(parameter.grad, shared[supernet.inherited(genotype)[name]]), name


def test_what_measures_run_is_the_path(space):
    torch.manual_seed(0)
    supernet = space.supernet(shape(space)).eval()
    conformance.trained_looking(supernet)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    for genotype in samples(space, 3):
        measured, x_NCHW = supernet.at(genotype), images(supernet.shape)
        assert not measured.training
        with torch.no_grad():
            assert torch.equal(measured(x_NCHW, genotype), supernet(x_NCHW, genotype))
            if measured is not supernet:
                for parameter in measured.path_parameters(genotype).values():
                    parameter.zero_()
                assert measured(x_NCHW, genotype).count_nonzero() == 0
        assert any(map(spaces.is_searched, measured.path_parameters(genotype)))
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())


def test_inherited_covers_the_network_exactly(space):
    supernet = space.supernet(shape(space))
    state = supernet.state_dict()
    for genotype in samples(space, 10):
        own = space.network(genotype, supernet.shape, NetworkOptions(like_supernet=True)).state_dict()
        names = supernet.inherited(genotype)
        assert names.keys() == own.keys()
        assert len(set(names.values())) == len(names)
        assert set(names.values()) <= state.keys()
        assert {name: value.shape for name, value in supernet.extract(genotype).items()} == {
            name: value.shape for name, value in own.items()
        }
        if not conformance.elastic(space):
            assert all(own[mine].shape == state[theirs].shape for mine, theirs in names.items())


def test_searched_parameters_are_those_that_depend_on_the_genotype(space):
    supernet = space.supernet(shape(space))
    everything = {name for name, _ in supernet.named_parameters()}
    paths = [set(supernet.path_parameters(g)) for g in samples(space, 100)]
    always, ever = set.intersection(*paths), set.union(*paths)
    searched = {name for name in everything if spaces.is_searched(name)}
    assert ever == everything
    # Elastic: a part of a searched parameter may lie on every path.
    assert always >= everything - searched if conformance.elastic(space) else always == everything - searched
    assert all(name.startswith("cells.") for name in searched)
    assert {int(name.split(".")[1]) for name in searched} == set(range(supernet.num_cells))


def test_gradients_reach_exactly_the_path(space):
    torch.manual_seed(0)
    supernet = space.supernet(shape(space))
    for genotype in [*alive_samples(space, 4), *samples(space, 6)]:
        trained, path = conformance.trained_names(supernet, genotype), supernet.path_parameters(genotype)
        assert trained == set(path) if fully_alive(space, genotype) else trained <= set(path)
        assert all(p.grad.isfinite().all() for p in path.values() if p.grad is not None)
        assert list(path) == [name for name, _ in supernet.named_parameters() if name in path]


def test_gradients_of_a_path_per_cell(space):
    torch.manual_seed(0)
    supernet = space.supernet(shape(space))
    rng = np.random.default_rng(2)
    alive = alive_samples(space, 6)
    path = [alive[rng.integers(len(alive))] for _ in range(supernet.num_cells)]
    assert conformance.trained_names(supernet, path) == set(supernet.path_parameters(path))
    for cell, genotype in enumerate(path):
        mine = {n for n in supernet.path_parameters(path) if n.startswith(f"cells.{cell}.")}
        assert mine == {n for n in supernet.path_parameters(genotype) if n.startswith(f"cells.{cell}.")}


def test_gradients_are_not_all_zero(space):
    torch.manual_seed(0)
    supernet = space.supernet(shape(space))
    genotype = alive_samples(space, 1, seed=3)[0]
    conformance.trained_names(supernet, genotype)
    reached = [p.grad.abs().max() > 0 for p in supernet.path_parameters(genotype).values()]
    assert sum(reached) > 0.9 * len(reached)


def test_a_step_leaves_everything_off_the_path_untouched(space):
    torch.manual_seed(0)
    supernet = space.supernet(shape(space))
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for genotype in alive_samples(space, 2):
        before = {name: value.clone() for name, value in supernet.state_dict().items()}
        conformance.trained_names(supernet, genotype)
        optimizer.step()
        on_path = {*supernet.inherited(genotype).values(), *supernet.path_parameters(genotype)}
        changed = {name for name, value in supernet.state_dict().items() if not torch.equal(value, before[name])}
        assert changed <= on_path
        assert set(supernet.path_parameters(genotype)) & changed


def test_a_path_is_one_genotype_or_one_per_cell(space):
    torch.manual_seed(0)
    supernet = space.supernet(shape(space)).eval()
    genotype, x_NCHW = samples(space, 1)[0], images(supernet.shape)
    with torch.no_grad():
        whole = supernet(x_NCHW, genotype)
        assert torch.equal(whole, supernet(x_NCHW, [genotype] * supernet.num_cells))
        for wrong in ([], [genotype] * (supernet.num_cells + 1)):
            with pytest.raises((ValueError, GenotypeError), match=str(supernet.num_cells)):
                supernet(x_NCHW, wrong)


def test_construction_depends_on_the_seed_alone(space):
    of, genotype = shape(space), samples(space, 1)[0]
    for build in (lambda: space.supernet(of), lambda: space.network(genotype, of)):
        states = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            states.append(build().state_dict())
        assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))
        assert any(not torch.equal(a, b) for a, b in zip(states[0].values(), states[2].values(), strict=True))


def test_networks_follow_their_device_and_dtype(space):
    of, genotype = shape(space), alive_samples(space, 1)[0]
    supernet, network = space.supernet(of).to("meta"), space.network(genotype, of).to("meta")
    assert supernet(images(of).to("meta"), genotype).device.type == "meta"
    assert network(images(of).to("meta")).device.type == "meta"
    assert network.to_empty(device="cpu").double()(images(of).double()).dtype == torch.float64


def test_memory_format_changes_nothing_but_rounding(space):
    torch.manual_seed(0)
    supernet = space.supernet(shape(space)).eval()
    genotype, x_NCHW = alive_samples(space, 1)[0], images(supernet.shape)
    with torch.no_grad():
        expected = supernet(x_NCHW, genotype)
        supernet.to(memory_format=torch.channels_last)
        actual = supernet(x_NCHW.to(memory_format=torch.channels_last), genotype)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_drop_path_acts_in_training_mode_only(space):
    torch.manual_seed(0)
    of, genotype = shape(space), alive_samples(space, 1)[0]
    network = space.network(genotype, of, NetworkOptions(drop_path=0.5))
    assert network.drop_path == 0.5
    x_NCHW = images(of, count=8)
    with torch.no_grad():
        assert not torch.equal(network.train()(x_NCHW), network(x_NCHW))
        assert torch.equal(network.eval()(x_NCHW), network(x_NCHW))
        network.drop_path = 0.0
        assert torch.equal(network.train()(x_NCHW), network(x_NCHW))


def test_angle_terms_name_parameters_on_the_path(space):
    supernet = space.supernet(shape(space))
    for genotype in alive_samples(space, 5):
        terms = space.angle_terms(supernet, genotype)
        on_path = supernet.path_parameters(genotype)
        named = [t for t in terms if t.name is not None]
        assert named
        assert {t.name for t in named} <= set(on_path)
        for term in named:
            sizes = on_path[term.name].shape[: len(term.part)]
            assert all(0 <= start < stop <= size for (start, stop), size in zip(term.part, sizes, strict=True))
        assert all(t.square == 0 for t in named)
        assert all(t.times > 0 for t in terms)
        assert all(t.square > 0 for t in terms if t.name is None)
        unsearched = [t.name for t in named if not spaces.is_searched(t.name)]
        assert len(unsearched) == len(set(unsearched))
        twice = space.angle_terms(supernet, genotype, bn_scale="twice")
        assert {t.name for t in twice} <= {t.name for t in terms}


def test_foreign_genotypes_are_refused_everywhere(space):
    foreign, of = Genotype("elsewhere", samples(space, 1)[0].genes), shape(space)
    legal, rng = samples(space, 1)[0], np.random.default_rng(0)
    for use in (
        space.format,
        space.key,
        space.encode,
        space.graphs,
        lambda g: space.cost(g, of),
        lambda g: space.network(g, of),
        lambda g: space.mutate(g, rng, 0.5, None),
        lambda g: space.crossover(legal, g, rng),
        lambda g: space.supernet(of).inherited(g),
    ):
        with pytest.raises(GenotypeError):
            use(foreign)


def test_shapes_are_values(space):
    of, genotype = shape(space), samples(space, 1)[0]
    assert space.cost(genotype, of) == space.cost(genotype, replace(of))
    assert space.cost(genotype, replace(of, channels=8)).macs > space.cost(genotype, of).macs


# --- feature maps ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", SHAPES)
def test_features_are_the_last_map_of_each_stride(space, data):
    of = shape(space, **SHAPES[data])
    x_NCHW = images(of)
    for seed, genotype in enumerate(samples(space, 3)):
        torch.manual_seed(seed)
        network = space.network(genotype, of).eval()
        conformance.trained_looking(network)
        side = network.resolution or of.image_size
        with torch.no_grad():
            maps, logits_NK = network.features(x_NCHW), network(x_NCHW)
            assert torch.equal(network.head(maps[-1]), logits_NK)
            assert torch.equal(network.trunk(x_NCHW), maps[-1])
            assert all(map(torch.equal, maps, conformance.outputs(network, x_NCHW)))
        strides = [info.stride for info in network.feature_info]
        assert len(maps) == len(strides)
        assert all(after == 2 * before for before, after in pairwise(strides))
        for map_NCHW, info in zip(maps, network.feature_info, strict=True):
            pixels = conformance.rounded_up(side, info.stride)
            assert map_NCHW.shape == (2, info.channels, pixels, pixels)


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_features_of_images_of_any_size(space, stem):
    """Odd, not square, and not the shape's size: what a detector or a segmenter sends."""
    of = shape(space, stem=stem, image_size=32)
    x_NCHW = torch.randn(2, of.in_channels, 37, 50, generator=torch.Generator().manual_seed(0))
    for genotype in samples(space, 3):
        network = space.network(genotype, of).eval()
        with torch.no_grad():
            if network.resolution is not None:
                resized = [map_NCHW.shape for map_NCHW in network.features(images(of))]
                assert [map_NCHW.shape for map_NCHW in network.features(x_NCHW)] == resized
                network.resolution = None
            maps = network.features(x_NCHW)
            assert torch.equal(network.head(maps[-1]), network(x_NCHW))
        for map_NCHW, info in zip(maps, network.feature_info, strict=True):
            sides = [conformance.rounded_up(side, info.stride) for side in x_NCHW.shape[2:]]
            assert list(map_NCHW.shape) == [2, info.channels, *sides]


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_features_can_be_trained(space, stem):
    of = shape(space, stem=stem, image_size=32)
    auxiliary = conformance.supports_auxiliary(space, of)
    for genotype in alive_samples(space, 3):
        torch.manual_seed(0)
        network = space.network(genotype, of, NetworkOptions(auxiliary=auxiliary)).train()
        twin, x_NCHW = deepcopy(network), images(of)
        maps = network.features(x_NCHW)
        assert [map_NCHW.shape[1] for map_NCHW in maps] == [info.channels for info in network.feature_info]
        logits_NK = network.head(maps[-1])
        twin(x_NCHW)
        for name, value in network.state_dict().items():
            if not name.startswith("auxiliary."):
                assert torch.equal(value, twin.state_dict()[name]), name
        first = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
        for map_NCHW in maps:
            (gradient,) = torch.autograd.grad(map_NCHW.square().sum(), first.weight, retain_graph=True)
            assert gradient.isfinite().all()
            assert gradient.count_nonzero() > 0
        trained = {name for name, _ in network.named_parameters() if not name.startswith("auxiliary.")}
        logits_NK.square().sum().backward()
        assert {name for name, parameter in network.named_parameters() if parameter.grad is not None} == trained


def test_classifying_keeps_no_map_for_long(space):
    network = space.network(samples(space, 1)[0], shape(space)).eval()
    seen = []
    for info in network.feature_info:
        network.get_submodule(info.name).register_forward_hook(lambda module, inputs, y: seen.append(weakref.ref(y)))
    classifier = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    alive = []
    classifier.register_forward_pre_hook(lambda *_: alive.append([map_NCHW() is not None for map_NCHW in seen]))
    with torch.no_grad():
        network(images(shape(space)))
        assert not any(alive[0][:-1])
        maps = network.features(images(shape(space)))
        assert [map_NCHW() for map_NCHW in seen[len(maps) :]] == maps
