"""What a network promises of its feature maps."""

from __future__ import annotations

import weakref
from copy import deepcopy
from itertools import pairwise

import pytest
import torch

from lowland.core.errors import ConfigError
from lowland.spaces import FeatureNetwork, NetworkOptions, Shape, Space
from lowland.spaces.output_stride import OUTPUT_STRIDES
from lowland.testing.spaces.cases import (
    SHAPES,
    alive_samples,
    images,
    outputs,
    rounded_up,
    samples,
    shape,
    supports_auxiliary,
    trained_looking,
)


class FeatureTests:
    """Feature maps of one space."""

    @pytest.mark.parametrize("data", SHAPES)
    def test_features_are_the_last_map_of_each_stride(self, space: Space, data: str) -> None:
        of = shape(space, **SHAPES[data])
        x_NCHW = images(of)
        for seed, genotype in enumerate(samples(space, 3)):
            torch.manual_seed(seed)
            network = space.network(genotype, of).eval()
            trained_looking(network)
            side = network.resolution or of.image_size
            with torch.no_grad():
                maps, logits_NK = network.features(x_NCHW), network(x_NCHW)
                assert torch.equal(network.head(maps[-1]), logits_NK)
                assert torch.equal(network.trunk(x_NCHW), maps[-1])
                assert all(map(torch.equal, maps, outputs(network, x_NCHW)))
            strides = [info.stride for info in network.feature_info]
            assert len(maps) == len(strides)
            assert all(after == 2 * before for before, after in pairwise(strides))
            for map_NCHW, info in zip(maps, network.feature_info, strict=True):
                pixels = rounded_up(side, info.stride)
                assert map_NCHW.shape == (2, info.channels, pixels, pixels)

    @pytest.mark.parametrize("stem", ["cifar", "imagenet"])
    def test_features_of_images_of_any_size(self, space: Space, stem: str) -> None:
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
                sides = [rounded_up(side, info.stride) for side in x_NCHW.shape[2:]]
                assert list(map_NCHW.shape) == [2, info.channels, *sides]

    @pytest.mark.parametrize("output_stride", [1, 2, 4, 7, *OUTPUT_STRIDES])
    def test_an_output_stride_is_honoured_or_refused(self, space: Space, output_stride: int) -> None:
        """Never ignored: a segmenter would get maps of another size than it was promised."""
        of = shape(space, stem="imagenet", image_size=32)
        genotype = samples(space, 1)[0]
        plain = space.network(genotype, of)
        options = NetworkOptions(output_stride=output_stride)
        own = plain.feature_info[-1].stride
        if output_stride > own or output_stride not in (own, *OUTPUT_STRIDES):
            with pytest.raises(ConfigError, match=f"output_stride={output_stride}"):
                space.network(genotype, of, options)
            return
        network = _dilated(space, of, output_stride)
        if network is None:
            assert output_stride != own
            return
        network.load_state_dict(plain.state_dict())
        network.resolution = None
        x_NCHW = torch.randn(2, of.in_channels, 37, 50, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            maps = network.features(x_NCHW)
            assert torch.equal(network.head(maps[-1]), network(x_NCHW))
        for map_NCHW, info, before in zip(maps, network.feature_info, plain.feature_info, strict=True):
            assert (info.channels, info.name) == (before.channels, before.name)
            assert info.stride == min(before.stride, output_stride)
            sides = [rounded_up(side, info.stride) for side in x_NCHW.shape[2:]]
            assert list(map_NCHW.shape) == [2, info.channels, *sides]

    @pytest.mark.parametrize("stem", ["cifar", "imagenet"])
    def test_features_can_be_trained(self, space: Space, stem: str) -> None:
        of = shape(space, stem=stem, image_size=32)
        auxiliary = supports_auxiliary(space, of)
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

    def test_classifying_keeps_no_map_for_long(self, space: Space) -> None:
        network = space.network(samples(space, 1)[0], shape(space)).eval()
        seen = []
        for info in network.feature_info:
            network.get_submodule(info.name).register_forward_hook(
                lambda module, inputs, y: seen.append(weakref.ref(y))
            )
        classifier = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
        alive = []
        classifier.register_forward_pre_hook(lambda *_: alive.append([map_NCHW() is not None for map_NCHW in seen]))
        with torch.no_grad():
            network(images(shape(space)))
            assert not any(alive[0][:-1])
            maps = network.features(images(shape(space)))
            assert [map_NCHW() for map_NCHW in seen[len(maps) :]] == maps


def _dilated(space: Space, of: Shape, output_stride: int) -> FeatureNetwork | None:
    """The first sample with an output stride; None where the space refuses it."""
    try:
        return space.network(samples(space, 1)[0], of, NetworkOptions(output_stride=output_stride)).eval()
    except ConfigError:
        return None
