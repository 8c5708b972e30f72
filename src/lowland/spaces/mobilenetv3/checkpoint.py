"""Published Once-for-All weights: a local file with the layout of `ofa_mbv3_d234_e346_k357_w1.0`, read into a supernet.

The layout of mit-han-lab/once-for-all, in its older (`mobile_inverted_conv`, `bn.bn`, `conv.conv`) and newer namings:

    first_conv, blocks.0 (the fixed block), blocks.1 … blocks.20, final_expand_layer, feature_mix_layer, classifier
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowland.core.errors import ConfigError, DataError
from lowland.core.pickled import require_readable
from lowland.spaces.mobilenetv3.design import ONCE_FOR_ALL
from lowland.spaces.mobilenetv3.supernet import MobileNetV3Supernet
from lowland.spaces.space import Supernet

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

_CLASSIFIER = "head.7."


def load_ofa(supernet: Supernet, path: Path) -> bool:
    """Fill a full-size supernet with published Once-for-All weights.

    The classifier is left as it is where the file is for another number of classes. Of batch norm, the number of
    batches seen is not read: it has no effect on the published weights.

    Args:
        supernet: One of space `mobilenetv3`, with 3 image channels and the file's width.
        path: A file that `torch.load` reads with `weights_only=True`: a state dict, or a dict with it as `state_dict`.

    Returns:
        Whether the classifier was read too.

    Raises:
        ConfigError: the supernet is of another space.
        DataError: the file cannot be read, or a tensor is missing, of another shape, or unknown; nothing is changed.
    """
    if not isinstance(supernet, MobileNetV3Supernet) or supernet.design != ONCE_FOR_ALL:
        raise ConfigError(
            "supernet.pretrained holds Once-for-All weights, which only the space mobilenetv3 can begin with; take "
            "that space or remove supernet.pretrained"
        )
    found = {_newer(name): value for name, value in _read(path).items()}
    own = {name: value for name, value in supernet.state_dict().items() if not name.endswith("num_batches_tracked")}
    del own["channels_sorted"]
    theirs = {name: _published(name) for name in own}
    unknown = sorted(n for n in found.keys() - set(theirs.values()) if not n.endswith("num_batches_tracked"))
    missing = sorted(name for name in theirs.values() if name not in found)
    if missing or unknown:
        what = f"has no tensor {missing[0]!r}" if missing else f"has an unknown tensor {unknown[0]!r}"
        raise DataError(
            f"{path} {what}, so it is not a Once-for-All MobileNetV3 of depth 2-4, expansion 3-6 and kernel 3-7; use "
            "the file ofa_mbv3_d234_e346_k357_w1.0 or remove supernet.pretrained"
        )
    classifier = len(found["classifier.linear.weight"]) == supernet.shape.num_classes
    values: dict[str, Tensor] = {}
    for name, tensor in own.items():
        if not classifier and name.startswith(_CLASSIFIER):
            continue
        value = found[theirs[name]]
        if value.shape != tensor.shape:
            raise DataError(
                f"{path} holds {theirs[name]!r} of shape {tuple(value.shape)}, the supernet needs "
                f"{tuple(tensor.shape)}; {_remedy(name, supernet)}"
            )
        values[name] = value
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)
    return classifier


def _read(path: Path) -> dict[str, Tensor]:
    """The state dict in a file."""
    try:
        require_readable(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"supernet.pretrained names {path}, which does not exist; give a local file") from error
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
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


def _remedy(name: str, supernet: MobileNetV3Supernet) -> str:
    """What to do about a tensor of another shape."""
    if name.startswith("stem.") and supernet.shape.in_channels != 3:
        return f"the published network sees 3 colours and these images have {supernet.shape.in_channels} channel(s)"
    return "take the file whose width is supernet.channels / 16, such as w1.0 for 16"
