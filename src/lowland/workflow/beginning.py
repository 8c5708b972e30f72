"""What a run begins with besides random numbers: learned weights, checked before anything is written, and said."""

from __future__ import annotations

import torch

from lowland import spaces
from lowland.core.config import Config
from lowland.core.errors import ConfigError
from lowland.data import DataSet
from lowland.spaces import Shape
from lowland.spaces.mobilenetv3.checkpoint import FOR_ONE_SPACE, Learned, learned
from lowland.spaces.mobilenetv3.design import ONCE_FOR_ALL
from lowland.spaces.mobilenetv3.networks import stem_stride
from lowland.training import supernet as supernet_training
from lowland.workflow import searchers


def require(config: Config) -> None:
    """Check that the run has a supernet for the weights of `supernet.pretrained`; the file itself is not read.

    Raises:
        ConfigError: they name a model of timm, or the run trains no supernet, or one of another space.
    """
    path = config.supernet.pretrained
    if path is None:
        return
    if str(path).startswith("timm:"):
        raise ConfigError(
            f"supernet.pretrained={path} names no file: timm has no weights of a supernet; as a reference a network of "
            f"timm can begin with its own (`lowland compare RUN --with {path}@pretrained`)"
        )
    if config.space != ONCE_FOR_ALL.name:
        raise ConfigError(FOR_ONE_SPACE)
    searcher = searchers.chosen(config.search)
    if not searcher.supernet:
        raise ConfigError(
            f"supernet.pretrained (--pretrained) fills a supernet, but search.searcher={searcher.name} trains none; "
            "leave one of the two out"
        )


def lines(config: Config, data: DataSet) -> tuple[str, ...]:
    """What is said of learned weights before the first step; the file is read, to see that it fits.

    Returns:
        One line, or none where weights are random.

    Raises:
        DataError: the file cannot be read, or does not fit.
    """
    path = config.supernet.pretrained
    if path is None:
        return ()
    shape = supernet_training.shape(config, data)
    with torch.device("meta"):
        supernet = spaces.get(config.space).supernet(shape)
    found = learned(supernet, path)
    return (f"begins with {path.name}: {_said(found, shape)}; {_delivered(config)}",)


def _said(found: Learned, shape: Shape) -> str:
    """What of a file is used, and what of the supernet is new."""
    said = [f"{len(found.values):,} of {found.tensors:,} tensors used"]
    if not found.classifier:
        said.append(f"the classifier is new, for {shape.num_classes:,} classes in place of {found.classes:,}")
    if found.summed:
        said.append("the first convolution is summed over colours, for grey images")
    if stem_stride(ONCE_FOR_ALL, shape) == 1:
        said.append(
            f"images of {shape.image_size} pixels keep their resolution in the first layer, which halved it when these "
            "weights were learned (supernet.stem)"
        )
    return "; ".join(said)


def _delivered(config: Config) -> str:
    if config.retrain.inherit:
        return "the delivered network begins with what the supernet makes of them"
    return "the delivered network begins from scratch (retrain.inherit=false)"
