"""What a space promises of sizes: parameters and multiply-accumulates of what is built, and shapes it refuses."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from lowland.core.errors import ConfigError
from lowland.spaces import NetworkOptions, Space
from lowland.testing.spaces.cases import (
    SHAPES,
    alive_samples,
    images,
    measured_macs,
    parameters,
    samples,
    shape,
    supports_auxiliary,
)


class SizeTests:
    """Costs and shapes of one space."""

    @pytest.mark.parametrize("data", SHAPES)
    def test_cost_is_that_of_the_built_network(self, space: Space, data: str) -> None:
        of = shape(space, **SHAPES[data])
        for genotype in alive_samples(space, 2):
            network = space.network(genotype, of).eval()
            cost = space.cost(genotype, of)
            assert cost.parameters == parameters(network)
            assert cost.macs == measured_macs(network, images(of))

    def test_parameters_of_networks_with_dead_operations(self, space: Space) -> None:
        of = shape(space)
        for genotype in samples(space, 10):
            assert space.cost(genotype, of).parameters == parameters(space.network(genotype, of))

    @pytest.mark.parametrize("size", [32, 224])
    def test_cost_of_the_auxiliary_head(self, space: Space, size: int) -> None:
        of, genotype = shape(space, image_size=size), samples(space, 1)[0]
        if not supports_auxiliary(space, of):
            with pytest.raises(ConfigError, match="auxiliary"):
                space.cost(genotype, of, auxiliary=True)
            return
        network = space.network(genotype, of, NetworkOptions(auxiliary=True)).train()
        assert space.cost(genotype, of, auxiliary=True).parameters == parameters(network)
        assert space.cost(genotype, of, auxiliary=True).parameters > space.cost(genotype, of).parameters
        logits, auxiliary = network(images(of))
        assert logits.shape == auxiliary.shape == (2, of.num_classes)
        assert network.eval()(images(of)).shape == (2, of.num_classes)

    def test_costs_never_fall_with_the_width(self, space: Space) -> None:
        for genotype in samples(space, 2):
            widths = range(space.width_step, 34, space.width_step)
            costs = [space.cost(genotype, shape(space, channels=width)) for width in widths]
            for narrow, wide in pairwise(costs):
                assert narrow.parameters <= wide.parameters
                assert narrow.macs <= wide.macs

    def test_classifier_conventions_differ_as_documented(self, space: Space) -> None:
        of, genotype = shape(space), samples(space, 1)[0]
        classifier = [m for m in space.network(genotype, of).modules() if isinstance(m, torch.nn.Linear)][-1]
        ours, profiler = space.cost(genotype, of), space.cost(genotype, of, classifier="profiler")
        assert profiler.parameters == ours.parameters
        assert profiler.macs - ours.macs == (classifier.in_features - 1) * of.num_classes

    def test_cost_draws_no_random_numbers(self, space: Space) -> None:
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
    def test_impossible_shapes_are_refused(self, space: Space, change: dict[str, int]) -> None:
        of, genotype = shape(space, **change), samples(space, 1)[0]
        for build in (
            space.check,
            space.supernet,
            lambda s: space.network(genotype, s),
            lambda s: space.cost(genotype, s),
        ):
            with pytest.raises(ConfigError):
                build(of)

    @pytest.mark.parametrize("stem", ["cifar", "imagenet"])
    def test_small_images_are_refused_or_work(self, space: Space, stem: str) -> None:
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
                assert space.cost(genotype, of).macs == measured_macs(network.eval(), images(of))
