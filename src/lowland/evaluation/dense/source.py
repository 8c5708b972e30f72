"""Where a backbone comes from: a delivered network, a published one, or one of timm; its weights and normalisation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.seeds import derive
from lowland.delivery import network as delivery
from lowland.spaces import FeatureInfo, FeatureNetwork, NetworkOptions, Shape, get, published
from lowland.spaces.output_stride import honoured
from lowland.spaces.values import AS_PUBLISHED
from lowland.training.backbone import Backbone

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB images from 0 to 1, where a network brings no normalisation of its own."""


Made = tuple[nn.Module, tuple[FeatureInfo, ...]]
"""A network and all of its maps, finest first."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A network that can be made into backbones.

    Attributes:
        name: What people call it.
        text: What it is, such as its genotype and size; with `weights` it decides what is trained.
        mean: Per channel, of images from 0 to 1.
        std: Per channel.
        build: (seed, output stride) → the network with fresh weights of that seed, and all of its maps, finest first.
            The output stride is that of its last map, or None for its own; ConfigError where it cannot be had.
        trained: (output stride) → the network with the weights that it has, and its maps; None where it has none.
        weights: Digest of these; empty where there are none.
    """

    name: str
    text: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    build: Callable[[int, int | None], Made]
    trained: Callable[[int | None], Made] | None = None
    weights: str = ""

    def backbone(
        self, strides: Sequence[int] | int, seed: int, *, scratch: bool, output_stride: int | None = None
    ) -> Backbone:
        """The network as a backbone; torch's global generator is then a function of the seed.

        Args:
            strides: Of the maps wanted, or how many of the last.
            seed: Of fresh weights.
            scratch: Whether to begin with fresh weights although the network has trained ones.
            output_stride: Of its last map, by dilation; None: its own.

        Returns:
            The backbone, on the CPU.

        Raises:
            ConfigError: it has no map of one of these strides, or cannot have the output stride.
        """
        if self.trained is None or scratch:
            body, maps = self.build(seed, output_stride)
            return Backbone(body, maps, strides, name=self.name, pretrained=False)
        torch.manual_seed(derive(seed, "network", "trained weights"))  # what stands on it is drawn
        body, maps = self.trained(output_stride)
        return Backbone(body, maps, strides, name=self.name, pretrained=True)

    def digest(self, *, scratch: bool) -> str:
        """SHA-256 of what decides the weights at the beginning, but the seed."""
        parts = [self.text, self.mean, self.std, "" if scratch else self.weights]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def of_network(
    network: FeatureNetwork, genotype: Genotype, shape: Shape, mean: Sequence[float], std: Sequence[float], name: str
) -> Source:
    """A trained network of a space; ConfigError where it does not see colour pictures."""
    _require_colour(shape.in_channels, name)

    def trained(output_stride: int | None) -> Made:
        body = _network(genotype, shape, output_stride)
        body.load_state_dict(network.state_dict())
        return body, body.feature_info

    return Source(
        name=name,
        text=_text(genotype, shape),
        mean=tuple(mean),
        std=tuple(std),
        build=_builder(genotype, shape),
        trained=trained,
        weights=_digest(network),
    )


def of_genotype(genotype: Genotype, shape: Shape, name: str) -> Source:
    """A network of a space without weights, for images normalised as ImageNet's are."""
    _require_colour(shape.in_channels, name)
    return Source(
        name=name,
        text=_text(genotype, shape),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        build=_builder(genotype, shape),
    )


def of_timm(model: str) -> Source:
    """A network of timm, from scratch.

    Returns:
        The source.

    Raises:
        ConfigError: timm is not installed, has no such model, or one without feature maps.
    """
    try:
        import timm
    except ImportError as error:
        raise ConfigError(f"timm:{model} needs the extra package: pip install 'lowland[timm]'") from error
    from lowland.spaces.timm_networks import TimmReference

    name = TimmReference.of(model).name  # refuses what timm does not know, with the nearest name

    def build(seed: int, output_stride: int | None) -> Made:
        torch.manual_seed(derive(seed, "network", "initial weights", name))
        asked: dict[str, Any] = {} if output_stride is None else {"output_stride": output_stride}
        try:
            body = timm.create_model(model, pretrained=False, features_only=True, **asked)
        except Exception as error:  # models are written by many, and refuse in many ways
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip(":")
            of = f" of output stride {output_stride}" if asked else ""
            raise ConfigError(f"{name} gives no feature maps{of} ({reason}); choose another") from error
        infos: Any = body.feature_info
        maps = tuple(
            FeatureInfo(channels, stride, module)
            for channels, stride, module in zip(infos.channels(), infos.reduction(), infos.module_name(), strict=True)
        )
        if output_stride is not None:
            _require_output_stride(body, maps, output_stride, name)
        return body, maps

    return Source(name=name, text=f"{name} {timm.__version__}", mean=IMAGENET_MEAN, std=IMAGENET_STD, build=build)


def find(text: str) -> Source:
    """The network that a person names: a run or network folder, `published:NAME` or `timm:NAME`.

    Returns:
        The source.

    Raises:
        ConfigError: there is no such network, or it does not suit.
        RunError: the folder holds no delivered network, or a damaged one.
    """
    kind, colon, name = text.partition(":")
    if colon and kind == "published":
        known = published.get(name)
        return of_genotype(known.genotype, known.shape, f"published:{known.name}")
    if colon and kind == "timm":
        return of_timm(name)
    folder = Path(text)
    if not folder.exists():
        raise ConfigError(
            f"{text} is no run or network folder, and there is no network of that name; give a folder, published:NAME "
            "(`lowland published`) or timm:NAME"
        )
    found = delivery.load(folder)
    return of_network(found.body, found.genotype, found.shape, found.mean, found.std, str(folder))


def _require_output_stride(body: nn.Module, maps: Sequence[FeatureInfo], asked: int, name: str) -> None:
    """Models of timm may swallow the argument, and some tell strides that they have not: look at the last map."""
    was = body.training
    with torch.no_grad():
        last_NCHW = body.eval()(torch.zeros(1, 3, 64, 64))[-1]
    body.train(was)
    if maps[-1].stride != asked or last_NCHW.shape[2] != 64 // asked:
        raise ConfigError(
            f"{name} ignores output_stride={asked}: its last map has stride {64 // last_NCHW.shape[2]}; take another "
            "network, or the stride that it has"
        )


def _network(genotype: Genotype, shape: Shape, output_stride: int | None) -> FeatureNetwork:
    space = get(genotype.space)
    options = NetworkOptions(output_stride=output_stride)
    return honoured(space.network(genotype, shape, options), output_stride, space.name)


def _builder(genotype: Genotype, shape: Shape) -> Callable[[int, int | None], Made]:
    def build(seed: int, output_stride: int | None) -> Made:
        torch.manual_seed(derive(seed, "network", "initial weights", genotype))
        body = _network(genotype, shape, output_stride)
        return body, body.feature_info

    return build


def _text(genotype: Genotype, shape: Shape) -> str:
    told = ("channels", "cells", "stem", "image_size", *AS_PUBLISHED)
    sizes = {name: value for name, value in shape.described().items() if name in told}
    sizes = {name: sizes[name] for name in told if name in sizes}
    return f"{genotype.space} {get(genotype.space).format(genotype)} " + json.dumps(sizes)


def _digest(network: nn.Module) -> str:
    found = hashlib.sha256()
    for name, value in network.state_dict().items():
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _require_colour(channels: int, name: str) -> None:
    if channels != 3:
        raise ConfigError(
            f"{name} takes images of {channels} channel{'s' if channels != 1 else ''}, but dense tasks show colour "
            "pictures; take a network that was made for 3 channels"
        )
