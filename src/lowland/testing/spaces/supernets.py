"""What a supernet promises: every path is the standalone network, and a step trains that path alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowland import spaces
from lowland.core.errors import GenotypeError
from lowland.core.genotype import Genotype
from lowland.spaces import NetworkOptions, Space
from lowland.testing.spaces.cases import (
    SHAPES,
    alive_samples,
    elastic,
    fully_alive,
    images,
    samples,
    shape,
    trained_looking,
    trained_names,
    twin,
)


class SupernetTests:
    """The supernet of one space."""

    @pytest.mark.parametrize("data", SHAPES)
    def test_supernet_path_equals_the_standalone_network_bit_for_bit(self, space: Space, data: str) -> None:
        of = shape(space, **SHAPES[data])
        torch.manual_seed(0)
        supernet = space.supernet(of)
        trained_looking(supernet)
        x_NCHW = images(of)
        for genotype in samples(space, 3):
            network = twin(space, supernet, genotype)
            with torch.no_grad():
                logits_NK = network.eval()(x_NCHW)
                assert torch.equal(supernet.eval()(x_NCHW, genotype), logits_NK)
                assert logits_NK.shape == (2, of.num_classes)
                assert logits_NK.isfinite().all()
                assert torch.equal(supernet.train()(x_NCHW, genotype), network.train()(x_NCHW))
            own, values = network.state_dict(), supernet.extract(genotype)
            assert own.keys() == values.keys()
            assert all(torch.equal(own[name], value) for name, value in values.items())

    def test_training_steps_agree_with_the_standalone_network(self, space: Space) -> None:
        torch.manual_seed(0)
        supernet = space.supernet(shape(space)).train()
        x_NCHW = images(supernet.shape)
        for genotype in alive_samples(space, 3):
            network = twin(space, supernet, genotype).train()
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
            if not elastic(space):
                network(x_NCHW).square().sum().backward()
                for name, parameter in network.named_parameters():
                    assert torch.equal(parameter.grad, shared[supernet.inherited(genotype)[name]]), name

    def test_what_measures_run_is_the_path(self, space: Space) -> None:
        torch.manual_seed(0)
        supernet = space.supernet(shape(space)).eval()
        trained_looking(supernet)
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

    def test_inherited_covers_the_network_exactly(self, space: Space) -> None:
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
            if not elastic(space):
                assert all(own[mine].shape == state[theirs].shape for mine, theirs in names.items())

    def test_searched_parameters_are_those_that_depend_on_the_genotype(self, space: Space) -> None:
        supernet = space.supernet(shape(space))
        everything = {name for name, _ in supernet.named_parameters()}
        paths = [set(supernet.path_parameters(g)) for g in samples(space, 100)]
        always, ever = set.intersection(*paths), set.union(*paths)
        searched = {name for name in everything if spaces.is_searched(name)}
        assert ever == everything
        # Elastic: a part of a searched parameter may lie on every path.
        assert always >= everything - searched if elastic(space) else always == everything - searched
        assert all(name.startswith("cells.") for name in searched)
        assert {int(name.split(".")[1]) for name in searched} == set(range(supernet.num_cells))

    def test_gradients_reach_exactly_the_path(self, space: Space) -> None:
        torch.manual_seed(0)
        supernet = space.supernet(shape(space))
        for genotype in [*alive_samples(space, 4), *samples(space, 6)]:
            trained, path = trained_names(supernet, genotype), supernet.path_parameters(genotype)
            assert trained == set(path) if fully_alive(space, genotype) else trained <= set(path)
            assert all(p.grad.isfinite().all() for p in path.values() if p.grad is not None)
            assert list(path) == [name for name, _ in supernet.named_parameters() if name in path]

    def test_gradients_of_a_path_per_cell(self, space: Space) -> None:
        torch.manual_seed(0)
        supernet = space.supernet(shape(space))
        rng = np.random.default_rng(2)
        alive = alive_samples(space, 6)
        path = [alive[rng.integers(len(alive))] for _ in range(supernet.num_cells)]
        assert trained_names(supernet, path) == set(supernet.path_parameters(path))
        for cell, genotype in enumerate(path):
            mine = {n for n in supernet.path_parameters(path) if n.startswith(f"cells.{cell}.")}
            assert mine == {n for n in supernet.path_parameters(genotype) if n.startswith(f"cells.{cell}.")}

    def test_gradients_are_not_all_zero(self, space: Space) -> None:
        torch.manual_seed(0)
        supernet = space.supernet(shape(space))
        genotype = alive_samples(space, 1, seed=3)[0]
        trained_names(supernet, genotype)
        reached = [p.grad.abs().max() > 0 for p in supernet.path_parameters(genotype).values()]
        assert sum(reached) > 0.9 * len(reached)

    def test_a_step_leaves_everything_off_the_path_untouched(self, space: Space) -> None:
        torch.manual_seed(0)
        supernet = space.supernet(shape(space))
        optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
        for genotype in alive_samples(space, 2):
            before = {name: value.clone() for name, value in supernet.state_dict().items()}
            trained_names(supernet, genotype)
            optimizer.step()
            on_path = {*supernet.inherited(genotype).values(), *supernet.path_parameters(genotype)}
            changed = {name for name, value in supernet.state_dict().items() if not torch.equal(value, before[name])}
            assert changed <= on_path
            assert set(supernet.path_parameters(genotype)) & changed

    def test_a_path_is_one_genotype_or_one_per_cell(self, space: Space) -> None:
        torch.manual_seed(0)
        supernet = space.supernet(shape(space)).eval()
        genotype, x_NCHW = samples(space, 1)[0], images(supernet.shape)
        with torch.no_grad():
            whole = supernet(x_NCHW, genotype)
            assert torch.equal(whole, supernet(x_NCHW, [genotype] * supernet.num_cells))
            for wrong in ([], [genotype] * (supernet.num_cells + 1)):
                with pytest.raises((ValueError, GenotypeError), match=str(supernet.num_cells)):
                    supernet(x_NCHW, wrong)

    def test_construction_depends_on_the_seed_alone(self, space: Space) -> None:
        of, genotype = shape(space), samples(space, 1)[0]
        for build in (lambda: space.supernet(of), lambda: space.network(genotype, of)):
            states = []
            for seed in (0, 0, 1):
                torch.manual_seed(seed)
                states.append(build().state_dict())
            assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))
            assert any(not torch.equal(a, b) for a, b in zip(states[0].values(), states[2].values(), strict=True))

    def test_networks_follow_their_device_and_dtype(self, space: Space) -> None:
        of, genotype = shape(space), alive_samples(space, 1)[0]
        supernet, network = space.supernet(of).to("meta"), space.network(genotype, of).to("meta")
        assert supernet(images(of).to("meta"), genotype).device.type == "meta"
        assert network(images(of).to("meta")).device.type == "meta"
        assert network.to_empty(device="cpu").double()(images(of).double()).dtype == torch.float64

    def test_memory_format_changes_nothing_but_rounding(self, space: Space) -> None:
        torch.manual_seed(0)
        supernet = space.supernet(shape(space)).eval()
        genotype, x_NCHW = alive_samples(space, 1)[0], images(supernet.shape)
        with torch.no_grad():
            expected = supernet(x_NCHW, genotype)
            supernet.to(memory_format=torch.channels_last)
            actual = supernet(x_NCHW.to(memory_format=torch.channels_last), genotype)
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)

    def test_angle_terms_name_parameters_on_the_path(self, space: Space) -> None:
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

    def test_foreign_genotypes_are_refused_everywhere(self, space: Space) -> None:
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
