"""What a standalone network promises: construction, devices, drop-path; and refusal of foreign genotypes."""

from __future__ import annotations

from dataclasses import replace

import torch

from lowland.spaces import NetworkOptions, Space
from lowland.testing.spaces.cases import alive_samples, images, samples, shape


class NetworkTests:
    """Standalone networks of one space."""

    def test_drop_path_acts_in_training_mode_only(self, space: Space) -> None:
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

    def test_shapes_are_values(self, space: Space) -> None:
        of, genotype = shape(space), samples(space, 1)[0]
        assert space.cost(genotype, of) == space.cost(genotype, replace(of))
        assert space.cost(genotype, replace(of, channels=8)).macs > space.cost(genotype, of).macs
