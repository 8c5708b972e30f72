"""The forms in which a delivered network leaves lowland: one table, each form a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lowland.core.errors import ConfigError
from lowland.delivery import network as delivered
from lowland.delivery import onnx, program

FORMATS: Mapping[str, Callable[[delivered.Network, Path], None]] = {"pt2": program.write, "onnx": onnx.write}
"""What writes each form, by the form's name, which is also its files' suffix."""


def export(folder: Path, form: str, path: Path) -> None:
    """Write the network of a run or network folder to `path` in the form named `form`.

    Raises:
        ConfigError: there is no such form.
        LowlandError: the network cannot be loaded, or the form needs packages that are not installed.
    """
    if form not in FORMATS:
        raise ConfigError(f"unknown export format {form!r}; choose {' or '.join(FORMATS)}")
    FORMATS[form](delivered.load(folder), path)
