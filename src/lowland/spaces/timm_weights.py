"""Learned weights for networks of timm: those that timm publishes, or a file of their layout, checked tensor by tensor.

timm itself fits them to other images and classes when a network is made (`timm_networks`): the first convolution is
summed over colours for grey images, and the classifier of another number of classes stays new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lowland.core.errors import ConfigError, DataError, LowlandError
from lowland.core.weights import read_weights

PUBLISHED = "pretrained"
"""`timm:MODEL@pretrained`: the weights that timm publishes for MODEL."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Learned weights of one model, in its own layout and for the images and classes it learned from.

    Attributes:
        source: Where they come from, in a few words.
        digest: SHA-256 over names, shapes and values.
        classes: So many does its classifier know.
        state: By name.
    """

    source: str
    digest: str
    classes: int
    state: Mapping[str, Tensor] = field(compare=False, repr=False)


@lru_cache(maxsize=4)
def published(model: str) -> Weights:
    """The weights that timm publishes for a model: from its cache, or fetched from where timm keeps them.

    Args:
        model: As timm names it, perhaps with a tag (`resnet10t.c3_in1k`).

    Returns:
        The weights.

    Raises:
        ConfigError: timm publishes none for it.
        DataError: they cannot be fetched, or do not fit the model.
    """
    import timm

    try:
        known = timm.models.get_pretrained_cfg(model)
    except RuntimeError:  # a tag that it does not know
        known = None
    if known is None or not known.has_weights:
        raise ConfigError(
            f"timm publishes no weights for {model}; leave @{PUBLISHED} out, or give a file: timm:{model}@FILE"
        )
    try:
        with torch.random.fork_rng(devices=[]):
            network = timm.create_model(model, pretrained=True)
    except Exception as error:  # the network, the Hub, a cache on disk: each fails in its own ways
        raise DataError(
            f"timm's weights of {model} cannot be had ({_reason(error)}); where there is no network, fetch the file "
            f"elsewhere and name it: timm:{model}@FILE (as timm's own pretrained_cfg_overlay=dict(file=FILE))"
        ) from error
    tag = f"{known.architecture}.{known.tag}" if known.tag else model
    return _weights(f"timm's {tag}", network.state_dict(), network)


def of_file(model: str, path: Path) -> Weights:
    """The weights in a file of the model's layout.

    Args:
        model: As timm names it.
        path: .safetensors, or what `torch.load` reads with `weights_only=True`.

    Returns:
        The weights.

    Raises:
        DataError: the file is missing or damaged, or its tensors are not the model's.
    """
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise DataError(
            f"timm:{model}@{path} names a file that is not there; give one of timm's layout, or timm:{model}@"
            f"{PUBLISHED} for the weights that timm publishes"
        ) from error
    return _of_file(model, path, changed)


@lru_cache(maxsize=4)
def _of_file(model: str, path: Path, changed: int) -> Weights:
    """Read once for as long as the file stays as it is."""
    del changed
    import timm

    with torch.random.fork_rng(devices=[]):
        network: nn.Module = timm.create_model(model, pretrained=False)
    try:
        state, _ = read_weights(path, network.state_dict().keys())
    except LowlandError as error:
        raise DataError(str(error)) from error
    return _weights(path.name, state, network, f"{path} ")


def _weights(source: str, state: Mapping[str, Tensor], network: nn.Module, what: str = "") -> Weights:
    """Checked: every tensor is there, of the model's shape but for the number of classes, and finite."""
    own = network.state_dict()
    name = _classifier(network)
    expected = {key: value for key, value in own.items() if not key.endswith("num_batches_tracked")}
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unknown:
        fault = f"has no tensor {missing[0]!r}" if missing else f"has an unknown tensor {unknown[0]!r}"
        raise DataError(f"{what}{fault}, so it holds no weights of {_model(network)}; give a file of that model")
    for key, value in expected.items():
        given = state[key]
        same = given.shape[1:] == value.shape[1:] if key in (f"{name}.weight", f"{name}.bias") else False
        if given.shape != value.shape and not (same and given.ndim == value.ndim):
            raise DataError(
                f"{what}holds {key!r} of shape {tuple(given.shape)}, {_model(network)} needs {tuple(value.shape)}; "
                "give a file of that model and width"
            )
        if given.is_floating_point() and not bool(given.isfinite().all()):
            raise DataError(f"{what}is damaged: not all values of {key!r} are finite numbers; get the file anew")
    return Weights(source=source, digest=_digest(state), classes=state[f"{name}.weight"].shape[0], state=dict(state))


def _classifier(network: nn.Module) -> str:
    """Name of the layer that knows the classes, as timm tells it."""
    found: Any = getattr(network, "pretrained_cfg", {}).get("classifier")
    if not isinstance(found, str) or f"{found}.weight" not in network.state_dict():
        raise ConfigError(f"{_model(network)} has no single classifier that could be made anew; leave its weights out")
    return found


def _model(network: nn.Module) -> str:
    return f"timm:{getattr(network, 'pretrained_cfg', {}).get('architecture', type(network).__name__)}"


def _digest(state: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]
