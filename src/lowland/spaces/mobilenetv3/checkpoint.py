"""Published Once-for-All weights: a local file with the layout of `ofa_mbv3_d234_e346_k357_w1.0`, read into a supernet.

The layout of mit-han-lab/once-for-all, in its older (`mobile_inverted_conv`, `bn.bn`, `conv.conv`) and newer namings:

    first_conv, blocks.0 (the fixed block), blocks.1 … blocks.20, final_expand_layer, feature_mix_layer, classifier
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lowland.core.errors import ConfigError, DataError
from lowland.core.pickled import require_readable
from lowland.spaces.mobilenetv3.design import ONCE_FOR_ALL
from lowland.spaces.mobilenetv3.networks import WIDTH, scaled
from lowland.spaces.mobilenetv3.supernet import MobileNetV3Supernet
from lowland.spaces.space import Supernet
from lowland.spaces.values import Shape

_MODULES = {
    "stem.0": "first_conv.conv",
    "stem.1": "first_conv.bn",
    "first.depthwise.0": "blocks.0.conv.depth_conv.conv",
    "first.depthwise.1": "blocks.0.conv.depth_conv.bn",
    "first.project.0": "blocks.0.conv.point_linear.conv",
    "first.project.1": "blocks.0.conv.point_linear.bn",
    "head.0": "final_expand_layer.conv",
    "head.1": "final_expand_layer.bn",
    "head.4": "feature_mix_layer.conv",
    "head.7": "classifier.linear",
}
"""Our modules outside the searched blocks → theirs."""

_BLOCK_MODULES = {
    "expand.0": "inverted_bottleneck.conv",
    "expand.1": "inverted_bottleneck.bn",
    "depthwise.0": "depth_conv.conv",
    "depthwise.1": "depth_conv.bn",
    "squeeze.reduce": "depth_conv.se.fc.reduce",
    "squeeze.expand": "depth_conv.se.fc.expand",
    "project.0": "point_linear.conv",
    "project.1": "point_linear.bn",
}
"""Modules of a searched block → theirs."""

_OLDER = (
    (".mobile_inverted_conv.", ".conv."),
    (".bn.bn.", ".bn."),
    (".linear.linear.", ".linear."),
    (".conv.conv.weight", ".conv.weight"),
)
"""Parts of older names → newer ones."""

_STEM, _CLASSIFIER = "first_conv.conv.weight", "head.7"

FOR_ONE_SPACE = (
    "supernet.pretrained (--pretrained) holds Once-for-All weights, which only the space mobilenetv3 can begin with; "
    "take that space or leave it out: for no other are any published"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """What a supernet takes out of a file of published weights.

    Attributes:
        values: By the supernet's names, in the supernet's shapes.
        tensors: So many the file holds.
        classes: Its classifier knows so many.
        classifier: Whether that is taken, too: it is where the supernet knows as many.
        summed: Whether the weights of the first convolution are summed over colours, for grey images.
    """

    values: Mapping[str, Tensor]
    tensors: int
    classes: int
    classifier: bool
    summed: bool


def load_ofa(supernet: Supernet, path: Path) -> Learned:
    """Fill a full-size supernet with published Once-for-All weights.

    Args:
        supernet: As for `learned`.
        path: As for `learned`.

    Returns:
        What was taken.

    Raises:
        ConfigError: as `learned`.
        DataError: as `learned`; nothing is changed.
    """
    found = learned(supernet, path)
    own = supernet.state_dict()
    with torch.no_grad():
        for name, value in found.values.items():
            own[name].copy_(value)
    return found


def learned(supernet: Supernet, path: Path) -> Learned:
    """Read what a full-size supernet can take out of a file of published Once-for-All weights.

    The classifier stays as it is where the file is for another number of classes. For grey images the weights of the
    first convolution are summed over its three colours: it then answers to a grey image as it did to that image in
    three equal colours (so does timm). Of batch norm, the number of batches seen is not read: it has no effect on the
    published weights.

    Args:
        supernet: One of space `mobilenetv3` and of the file's width, on any device, also `meta`.
        path: A safetensors file, or one that `torch.load` reads with `weights_only=True`: a state dict, or a dict with
            it as `state_dict`.

    Returns:
        The values and what they are.

    Raises:
        ConfigError: the supernet is of another space.
        DataError: the file cannot be read, or a tensor is missing, of another shape, not finite, or unknown.
    """
    if not isinstance(supernet, MobileNetV3Supernet) or supernet.design != ONCE_FOR_ALL:
        raise ConfigError(FOR_ONE_SPACE)
    found = {_newer(name): value for name, value in _read(path).items() if not name.endswith("num_batches_tracked")}
    own = {name: value for name, value in supernet.state_dict().items() if not name.endswith("num_batches_tracked")}
    del own["channels_sorted"]
    theirs = {name: _published(name) for name in own}
    unknown = sorted(found.keys() - set(theirs.values()))
    missing = sorted(name for name in theirs.values() if name not in found)
    if missing or unknown:
        what = f"has no tensor {missing[0]!r}" if missing else f"has an unknown tensor {unknown[0]!r}"
        raise DataError(
            f"{path} {what}, so it is not a Once-for-All MobileNetV3 of depth 2-4, expansion 3-6 and kernel 3-7; use "
            "the file ofa_mbv3_d234_e346_k357_w1.0 or leave supernet.pretrained out"
        )
    grey = supernet.shape.in_channels == 1 and found[_STEM].shape[1:2] == (3,)
    if grey:
        found[_STEM] = found[_STEM].sum(1, keepdim=True)
    classes = _rows(found[f"{_MODULES[_CLASSIFIER]}.weight"])
    classifier = classes == supernet.shape.num_classes
    values: dict[str, Tensor] = {}
    for name, tensor in own.items():
        if not classifier and name.startswith(f"{_CLASSIFIER}."):
            continue
        value = found[theirs[name]]
        if value.shape != tensor.shape:
            raise DataError(
                f"{path} holds {theirs[name]!r} of shape {tuple(value.shape)}, the supernet needs "
                f"{tuple(tensor.shape)}; {_remedy(name, found, supernet)}"
            )
        if not value.is_floating_point() or not bool(value.isfinite().all()):
            raise DataError(
                f"{path} is damaged: not all values of {theirs[name]!r} are finite numbers; get the file anew"
            )
        values[name] = value
    return Learned(values=values, tensors=len(found), classes=classes, classifier=classifier, summed=grey)


def _read(path: Path) -> dict[str, Tensor]:
    """The state dict in a file."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        require_readable(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"supernet.pretrained names {path}, which does not exist; give a local file") from error
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise DataError(
            f"{path} cannot be read as weights alone; use the file ofa_mbv3_d234_e346_k357_w1.0 as published"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise DataError(
            f"{path} holds no state dict of tensors; use the file ofa_mbv3_d234_e346_k357_w1.0 as published"
        )
    return dict(content)


def _newer(name: str) -> str:
    for old, new in _OLDER:
        name = name.replace(old, new)
    return name


def _published(name: str) -> str:
    """The published name of one of our tensors."""
    module, _, tensor = name.rpartition(".")
    if module.startswith("cells."):
        _, index, _, part = module.split(".", 3)
        return f"blocks.{int(index) + 1}.conv.{_BLOCK_MODULES[part]}.{tensor.replace('matrix_', '')}" + (
            "_matrix" if tensor.startswith("matrix_") else ""
        )
    return f"{_MODULES[module]}.{tensor}"


def _remedy(name: str, found: Mapping[str, Tensor], supernet: MobileNetV3Supernet) -> str:
    """What to do about a tensor of another shape."""
    channels = supernet.shape.in_channels
    if name.startswith("stem.") and channels not in (1, 3):
        return f"the published network sees 3 colours and these images have {channels} channels"
    width = _width(found)
    if width is None:
        return "no supernet.channels has the file's widths; use the file ofa_mbv3_d234_e346_k357_w1.0"
    if width != supernet.shape.channels:
        return f"the file is of width {width / WIDTH:g}: set supernet.channels={width}"
    return "use the file ofa_mbv3_d234_e346_k357_w1.0 as published"


def _rows(weight: Tensor) -> int:
    """Output channels of a layer; 0 for a single number, which is none."""
    return weight.shape[0] if weight.ndim else 0


def _width(found: Mapping[str, Tensor]) -> int | None:
    """`supernet.channels` of a file; None where no whole number of sixteenths of width 1.0 makes its widths."""
    widths = (ONCE_FOR_ALL.stem, ONCE_FOR_ALL.expanded, ONCE_FOR_ALL.features)
    theirs = tuple(_rows(found[f"{_MODULES[module]}.weight"]) for module in ("stem.0", "head.0", "head.4"))
    for channels in range(1, 4 * WIDTH + 1):
        if tuple(scaled(width, Shape(channels=channels)) for width in widths) == theirs:
            return channels
    return None
