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
from lowland.spaces import FeatureInfo, FeatureNetwork, Shape, get, published
from lowland.training.backbone import Backbone

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB images from 0 to 1, where a network brings no normalisation of its own."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A network that can be made into backbones.

    Attributes:
        name: What people call it.
        text: What it is, such as its genotype and size; with `weights` it decides what is trained.
        mean: Per channel, of images from 0 to 1.
        std: Per channel.
        build: (seed) → the network with fresh weights of that seed, and all of its maps, finest first.
        trained: The network with the weights that it has, and its maps; None where it has none.
        weights: Digest of these; empty where there are none.
    """

    name: str
    text: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    build: Callable[[int], tuple[nn.Module, tuple[FeatureInfo, ...]]]
    trained: Callable[[], tuple[nn.Module, tuple[FeatureInfo, ...]]] | None = None
    weights: str = ""

    def backbone(self, strides: Sequence[int], seed: int, *, scratch: bool) -> Backbone:
        """The network as a backbone.

        Args:
            strides: Of the maps wanted.
            seed: Of fresh weights.
            scratch: Whether to begin with fresh weights although the network has trained ones.

        Returns:
            The backbone, on the CPU.

        Raises:
            ConfigError: it has no map of one of these strides.
        """
        if self.trained is None or scratch:
            body, maps = self.build(seed)
            return Backbone(body, maps, strides, name=self.name, pretrained=False)
        body, maps = self.trained()
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

    def trained() -> tuple[nn.Module, tuple[FeatureInfo, ...]]:
        body = get(genotype.space).network(genotype, shape)
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

    def build(seed: int) -> tuple[nn.Module, tuple[FeatureInfo, ...]]:
        torch.manual_seed(derive(seed, "network", "initial weights", name))
        try:
            body = timm.create_model(model, pretrained=False, features_only=True)
        except Exception as error:  # models are written by many, and refuse in many ways
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ConfigError(f"{name} gives no feature maps ({reason}); choose another") from error
        infos: Any = body.feature_info
        maps = tuple(
            FeatureInfo(channels, stride, module)
            for channels, stride, module in zip(infos.channels(), infos.reduction(), infos.module_name(), strict=True)
        )
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


def _builder(genotype: Genotype, shape: Shape) -> Callable[[int], tuple[nn.Module, tuple[FeatureInfo, ...]]]:
    def build(seed: int) -> tuple[nn.Module, tuple[FeatureInfo, ...]]:
        torch.manual_seed(derive(seed, "network", "initial weights", genotype))
        body = get(genotype.space).network(genotype, shape)
        return body, body.feature_info

    return build


def _text(genotype: Genotype, shape: Shape) -> str:
    sizes: dict[str, Any] = {name: getattr(shape, name) for name in ("channels", "cells", "stem", "image_size")}
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
