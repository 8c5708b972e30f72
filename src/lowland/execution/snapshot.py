"""A snapshot: what a worker on any machine needs of a run to score its candidates, without the run directory.

It holds settings with the precision that the driver resolved, the facts of the manifest by which data are known again,
and the supernet's weights; images that are held in memory go along, others are read from where the settings say.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowland.core.config import Config
from lowland.core.device import resolve
from lowland.core.errors import ConfigError, RunError
from lowland.data import DataSet, MemorySplit, Split
from lowland.store.tensors import from_safetensors


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a session in a worker is made of; it answers as a run that is only read.

    Attributes:
        path: Where the run is, for messages; nothing there is opened.
        config: Its settings; `compute.precision` is the one the driver resolved.
        manifest: The facts of its manifest that scoring asks for.
        tensors: Contents of its files of weights by name.
        chosen: Whether the precision was left to the driver's machine.
        data: The images, where they come along.
    """

    path: Path
    config: Config
    manifest: dict[str, Any]
    tensors: Mapping[str, bytes]
    chosen: bool
    data: DataSet | None = None

    def load_tensors(self, relative: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Read a file of weights.

        Returns:
            Tensors (on the CPU) and metadata.

        Raises:
            RunError: It did not come along.
        """
        if relative not in self.tensors:
            raise RunError(f"{relative} of {self.path} did not come along to the worker on {platform.node()}")
        return from_safetensors(self.tensors[relative])

    def require_precision(self) -> None:
        """Raise ConfigError where the driver's machine chose a precision that this one would not choose."""
        if not self.chosen:
            return
        wanted = self.config.compute.precision
        auto = self.config.compute.model_copy(update={"precision": "auto"})
        found = resolve(auto).precision
        if found != wanted:
            raise ConfigError(
                f"worker on {platform.node()} computes in {found}, but this run in {wanted}, as the machine it was "
                f"started on does: leave that machine out, or start the run with --set compute.precision={found}"
            )


def in_memory(data: DataSet, *, test: bool = False) -> DataSet | None:
    """A data set to go along: copies that hold nothing else; None where images are streamed.

    Args:
        data: The data set.
        test: Whether test images go along.

    Returns:
        Its images in memory, those of the test only where they are wanted.
    """
    if data.train.streamed or data.search.streamed or (test and data.test.streamed):
        return None
    unresized = data.unresized_test if test else None
    return _each(data, unresized, lambda split: _copied(split, 0 if split is data.test and not test else len(split)))


def on_device(data: DataSet, device: torch.device) -> DataSet:
    """A data set that came along, its images where a worker computes, as if it had read them itself."""
    if device.type == "cpu":
        return data
    return _each(data, data.unresized_test, lambda split: _copied(split, len(split), device))


def _each(data: DataSet, unresized: Split | None, of: Callable[[Split], Split]) -> DataSet:
    return replace(
        data,
        train=of(data.train),
        search=of(data.search),
        test=of(data.test),
        unresized_test=None if unresized is None else of(unresized),
    )


def _copied(split: Split, count: int, device: torch.device | str = "cpu") -> MemorySplit:
    return MemorySplit(split.images(torch.arange(count)).to(device), split.labels_N[:count].to(device))
