"""Flatness of a trained model named on the command line, on any data set."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from lowland.core.config import Config, DataConfig
from lowland.core.device import resolve
from lowland.core.errors import ConfigError, DataError, LowlandWarning, RunError
from lowland.core.torch_settings import settings_kept
from lowland.core.weights import read_weights
from lowland.data import DataSet, batches, load, order
from lowland.delivery import network as export
from lowland.measures.landscape import Flatness, flatness
from lowland.measures.surface.views import Views
from lowland.store.run import Run
from lowland.workflow import plugins


@settings_kept()
def flatness_of(
    model: str,
    config: Config,
    *,
    data_given: bool,
    weights: Path | None,
    weights_key: str | None = None,
    split: str,
    sigmas: tuple[float, ...],
    alpha: float,
    draws: int,
    relative: bool,
    images: int,
    views: Views | None = None,
) -> Flatness:
    """Load model and images and measure.

    Args:
        model: A run or network folder, `timm:NAME`, `torchvision:NAME`, or `package.module:function` that makes one.
        config: Data, seed and device; the data set of the run itself is used where none was given.
        data_given: Whether the person named a data set.
        weights: What to load into the model, `.safetensors` or a file of `torch.save` (`core.weights`).
        weights_key: Which of several sets of weights in it.
        split: train, search or test.
        sigmas: Noise levels.
        alpha: Weight of the depth term.
        draws: Noise draws per level.
        relative: Noise in proportion to each weight.
        images: Most images used.
        views: Curvature, sharpness and slices that are asked for besides.

    Returns:
        The flatness of the model, with standard errors.

    Raises:
        ConfigError: `split` or `images` is out of range, or nothing says which images to use.
    """
    if split not in ("train", "search", "test"):
        raise ConfigError(f"--split {split!r} is unknown; choose train, search or test")
    if images < 1:
        raise ConfigError(f"--images {images} must be at least 1")
    folder = Path(model)
    own = folder.is_dir()
    seed = config.seed
    if own and not data_given:
        if not (folder / "manifest.json").exists():
            raise ConfigError(f"{folder} does not say which images to use; name them with --data")
        with Run.open(folder, read_only=True) as run:
            plugins.require(run)
            # The run's own seed, so that its splits are the ones the network was trained with.
            config = run.config.model_copy(update={"compute": config.compute})
    compute = resolve(config.compute)
    data = load(config.data, seed=config.seed, device=compute.device)
    module = export.load(folder, compute.device) if own else _named(model, data, weights, weights_key)
    if own:
        _fits(module, data, config.data)
    chosen = getattr(data, split)
    indices = order(len(chosen), seed=seed, keys=("flatness images",))[:images].sort().values
    loader = [(data.normalise(x_NCHW), labels_N) for x_NCHW, labels_N in batches(chosen, 250, indices)]
    try:
        return flatness(
            module.body if isinstance(module, export.Network) else module.to(compute.device),
            loader,
            sigmas=sigmas,
            alpha=alpha,
            draws=draws,
            relative=relative,
            seed=seed,
            device=str(compute.device),
            **({} if views is None else views.arguments()),
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"model {model} cannot be measured on {data.in_channels}-channel images of {data.image_size} pixels: "
            f"{reason}"
        ) from error


def _fits(network: nn.Module, data: DataSet, settings: DataConfig) -> None:
    shape: Any = network.shape
    if (shape.in_channels, shape.num_classes) != (data.in_channels, data.num_classes):
        raise DataError(
            f"the network takes {shape.in_channels}-channel images of {shape.num_classes} classes, but {settings.name} "
            f"has {data.in_channels} channels and {data.num_classes} classes; name its own data set with --data"
        )


def _named(model: str, data: DataSet, weights: Path | None, key: str | None) -> nn.Module:
    kind, colon, name = model.partition(":")
    if not colon:
        raise ConfigError(
            f"model {model!r} is no folder; give a run or network folder, timm:NAME, torchvision:NAME or "
            "package.module:function"
        )
    module = _make(kind, name, data)
    if weights is not None:
        _fill(module, weights, key)
    elif kind in ("timm", "torchvision"):
        raise ConfigError(f"{model} needs trained weights: add --weights FILE.safetensors")
    return module


def _make(kind: str, name: str, data: DataSet) -> nn.Module:
    made: Any
    try:
        if kind == "timm":
            import timm

            made = timm.create_model(name, num_classes=data.num_classes, in_chans=data.in_channels)
        elif kind == "torchvision":
            from torchvision import models

            made = models.get_model(name, num_classes=data.num_classes)
        else:
            with _current_folder_first():
                made = getattr(importlib.import_module(kind), name)()
    except ImportError as error:
        raise ConfigError(f"model {kind}:{name} cannot be imported ({error}); install the package it is in") from error
    except Exception as error:  # anybody's code may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ConfigError(f"model {kind}:{name} cannot be made: {reason}") from error
    if not isinstance(made, nn.Module):
        raise ConfigError(
            f"{kind}:{name} gave a {type(made).__name__}; expected a function that returns a torch module"
        )
    return made


@contextmanager
def _current_folder_first() -> Iterator[None]:
    """Find modules in the current folder, which is not on the path of an installed command."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path.pop(0)


def _fill(module: nn.Module, weights: Path, key: str | None) -> None:
    state, taken = read_weights(weights, module.state_dict().keys(), key)
    try:
        module.load_state_dict(state)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise RunError(
            f"weights file {weights} cannot be loaded into the model: {' '.join(str(error).split())[:300]}"
        ) from error
    if taken:
        warnings.warn(f"weights of {weights}: {taken}", LowlandWarning, stacklevel=2)
