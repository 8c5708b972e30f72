"""Convolutional networks of timm as references: built for the images at hand, counted, width-fitted.

They begin from scratch, or with learned weights (`timm_weights`), which are of the network's own width alone.

They keep what makes them what they are, an ImageNet stem included: a resnet10t sees images of 28 pixels at a quarter
of their resolution from its first stage on, which is much less than a network made for small images does.

Width: ResNets of timm (without grouped convolutions) have stages of C, 2C, 4C and 8C channels, and a deep stem of
width C/2 where they have one; C = 64 is their own width, and any even C can be had. All others have their own width
only, and serve as references only where they are within the budget as they are.

Tensor names: N batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lowland.core.errors import BudgetError, ConfigError
from lowland.spaces import timm_weights
from lowland.spaces.reference import Reference
from lowland.spaces.values import Cost, NetworkOptions, Shape
from lowland.spaces.width import widest

OWN_WIDTH = 64
"""`Shape.channels` of a network as timm has it."""

STEP = 2
"""Widths tried are its multiples."""


@dataclass(frozen=True, slots=True)
class TimmReference(Reference):
    """A network of timm. `Shape.channels` is the width C; cells and stem mean nothing.

    `weights`: what it begins with; None: random ones. `given`: how they are called.
    """

    model: str
    weights: timm_weights.Weights | None = None
    given: str = ""

    family = "timm"
    source = "timm (Wightman, github.com/huggingface/pytorch-image-models)"
    lacks = ("auxiliary_weight", "drop_path")

    @classmethod
    def of(cls, model: str, weights: str | None = None) -> TimmReference:
        """Find the reference `timm:MODEL`, `timm:MODEL@pretrained` or `timm:MODEL@FILE`.

        Args:
            model: As timm names it.
            weights: `pretrained` for those that timm publishes, which are fetched where timm's cache has them not; a
                file of that layout; or None: random ones.

        Returns:
            The reference, not yet sized.

        Raises:
            ConfigError: timm is not installed, or has no such model, with the nearest name, or no weights for it.
            DataError: the weights cannot be had, or are not the model's.
        """
        timm = _timm(model)
        if not timm.is_model(model):
            near = difflib.get_close_matches(model, timm.list_models(), n=1)
            guess = f"; did you mean timm:{near[0]}?" if near else ""
            raise ConfigError(f"timm has no model {model!r}{guess}")
        if weights is None:
            return cls(model)
        if not weights:
            raise ConfigError(f"timm:{model}@ names no weights; write @{timm_weights.PUBLISHED}, or @FILE")
        if weights == timm_weights.PUBLISHED:
            return cls(model, timm_weights.published(model), weights)
        path = Path(weights).expanduser()
        return cls(model, timm_weights.of_file(model, path), path.name)

    @property
    def name(self) -> str:  # type: ignore[override]
        """`timm:MODEL`, with `@pretrained` or `@` and the name of the file where it begins with learned weights."""
        return f"timm:{self.model}" + (f"@{self.given}" if self.given else "")

    @property
    def text(self) -> str:
        """The name, with the checksum of learned weights."""
        return self.name if self.weights is None else f"{self.name} (SHA-256 {self.weights.digest})"

    @property
    def learned(self) -> str:
        """Where the weights that it begins with were learned; empty where they are random."""
        return "" if self.weights is None else self.weights.source

    def own_shape(self, found: Shape, space: str) -> Shape:
        """The model as timm has it, for the images of the found network; ConfigError where it cannot take them."""
        del space
        shape = replace(found, channels=OWN_WIDTH, cells=1, stem="auto")
        self.cost(shape)
        return shape

    def fitted(self, shape: Shape, *, parameters: int | None, macs: int | None) -> Shape:
        """The widest within the budget; a model of one width only is refused where that is too large."""
        if self.weights is not None or not _scalable(self.model, replace(shape, channels=OWN_WIDTH)):
            own = self.cost(replace(shape, channels=OWN_WIDTH))
            if own.parameters > (parameters or own.parameters) or own.macs > (macs or own.macs):
                fixed = "no width that could be fitted, as timm's ResNets have"
                if self.weights is not None:
                    fixed = "its learned weights are of that width alone"
                raise BudgetError(
                    f"{self.name} has {own.parameters:,} parameters and {own.macs:,} MACs, above the budget, and "
                    f"{fixed}; choose another, or leave the budget out with --no-fit"
                )
            return replace(shape, channels=OWN_WIDTH)
        found = widest(
            lambda channels: self.cost(replace(shape, channels=channels)),
            STEP,
            self.name,
            parameters=parameters,
            macs=macs,
        )
        return replace(shape, channels=found)

    def cost(self, shape: Shape) -> Cost:
        """All trainable scalars, and multiply-accumulates of convolutions and linear layers for one image."""
        return _cost(self.model, shape)

    def network(self, shape: Shape, options: NetworkOptions = NetworkOptions()) -> nn.Module:
        """The model with the images' channels and classes; `options` do not apply.

        timm fits learned weights in: grey images have the first convolution summed over colours, and a classifier of
        another number of classes is new.

        Returns:
            The network, from scratch or with all other learned weights as they are.

        Raises:
            ConfigError: timm cannot make it, or not with these weights.
        """
        del options
        if self.weights is None:
            return _made(self.model, shape)
        fitted_in = {"state_dict": dict(self.weights.state), "num_classes": self.weights.classes, "label_offset": 0}
        network = _made(self.model, shape, pretrained=True, pretrained_cfg_overlay=fitted_in)
        for name, value in network.state_dict().items():
            given = self.weights.state.get(name)
            if given is not None and given.shape == value.shape and not torch.equal(given.to(value.dtype), value):
                raise ConfigError(f"timm does not take {name!r} of the weights of {self.name} as it is; leave them out")
        return network


def _timm(model: str) -> Any:
    try:
        import timm
    except ImportError as error:
        raise ConfigError(f"reference timm:{model} needs the extra package: pip install 'lowland[timm]'") from error
    return timm


def _made(model: str, shape: Shape, **weights: Any) -> nn.Module:
    widths: dict[str, Any] = weights or {"pretrained": False}
    if shape.channels != OWN_WIDTH:
        channels = shape.channels
        widths |= {"channels": tuple(channels * 2**stage for stage in range(4)), "stem_width": max(4, channels // 2)}
    try:
        made: nn.Module = _timm(model).create_model(
            model, num_classes=shape.num_classes, in_chans=shape.in_channels, **widths
        )
    except Exception as error:  # models are written by many, and refuse in many ways
        raise ConfigError(f"timm:{model} cannot be made at width {shape.channels}: {_reason(error)}") from error
    return made


@lru_cache(maxsize=1024)
def _cost(model: str, shape: Shape) -> Cost:
    with torch.random.fork_rng(devices=[]):  # initialisation draws numbers, counting must not
        network = _made(model, shape).to("meta").eval()
    # A map of one pixel cannot be halved. Torch lets it pass, but with bf16 on CPUs the weights' gradients of such a
    # convolution are then random, sometimes NaN (seen with torch 2.14).
    strided = [
        module
        for module in network.modules()
        if isinstance(module, nn.Conv2d) and max(module.stride) > 1 and max(module.kernel_size) > 1
    ]
    vanished: list[nn.Module] = []
    for module in strided:
        module.register_forward_pre_hook(lambda each, x: vanished.append(each) if max(x[0].shape[2:]) == 1 else None)
    x_NCHW = torch.zeros(1, shape.in_channels, shape.image_size, shape.image_size, device="meta")
    try:
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            logits_NK = network(x_NCHW)
        fits = tuple(logits_NK.shape) == (1, shape.num_classes)
    except Exception as error:  # as above
        raise ConfigError(
            f"timm:{model} cannot take images of {shape.image_size} pixels ({_reason(error)}); choose another, or "
            "enlarge the images with data.image_size"
        ) from error
    if vanished:
        raise ConfigError(
            f"timm:{model} cannot be used for images of {shape.image_size} pixels, since it halves a map of one pixel; "
            "choose another, or enlarge the images with data.image_size"
        )
    if not fits:
        raise ConfigError(f"timm:{model} is no classifier: it gives {tuple(logits_NK.shape)}; choose another")
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return Cost(parameters, counter.get_total_flops() // 2)


@lru_cache(maxsize=64)
def _scalable(model: str, shape: Shape) -> bool:
    """Whether it is a ResNet whose stages may have any width."""
    from timm.models.resnet import ResNet

    with torch.random.fork_rng(devices=[]):
        network = _made(model, shape)
    grouped = any(isinstance(module, nn.Conv2d) and module.groups > 1 for module in network.modules())
    return isinstance(network, ResNet) and not grouped


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
