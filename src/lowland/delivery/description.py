"""`network.json`, what a delivered network is: written with a digest of its own, and checked before it is believed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, get_args

from lowland.core.errors import RunError
from lowland.core.genotype import Genotype
from lowland.data import Fit
from lowland.spaces import Shape
from lowland.spaces.values import AS_PUBLISHED, GROWTH, PUBLISHED_GROWTH, RESOLUTION, Norm, Stem
from lowland.store import inside
from lowland.store.manifest_check import Fault, parsed

FORMAT = 1

FILE = "network.json"
WEIGHTS = "network.safetensors"

MOST_BYTES = 64 * 2**20
"""Room for a million class names."""

MOST = {"in_channels": 4096, "image_size": 4096, "num_classes": 1_000_000, "channels": 4096, "cells": 1000}
"""Largest sizes that are built; published networks stay far below."""

_FIELDS = ("format", "space", "genes", "genotype", "shape", "classes", "mean", "std", "sha256", "facts")
_LATER = ("fit", "digest")
"""Fields that earlier versions did not write."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What a delivered network is, besides its weights.

    Attributes:
        genotype: Its architecture, known to be one of numbers only: the space itself checks the rest.
        shape: Its size, within `MOST`.
        classes: Names in logit order, `num_classes` of them.
        mean: Of each input channel, finite.
        std: Of each input channel, finite and above zero.
        fit: How oblong images are made square.
        sha256: Of the weights.
        facts: What was written at delivery.
    """

    genotype: Genotype
    shape: Shape
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Fit
    sha256: str
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path, file: str, again: str) -> Self:
        """Read and check a description.

        Args:
            folder: Network folder, or a run directory that holds one.
            file: The description in it.
            again: What to do about a damaged one.

        Returns:
            The description; with its digest checked where it has one.

        Raises:
            RunError: It is damaged, a link, or of another format.
            OSError: It is missing or cannot be read.
        """
        where = folder / file
        try:
            values = parsed(inside.read(folder, file, MOST_BYTES))
        except Fault as error:
            raise RunError(f"{where} is damaged: it is not valid JSON ({error}); {again}") from error
        if not isinstance(values, dict):
            raise RunError(f"{where} is damaged: it holds no description of a network; {again}")
        if type(values.get("format")) is not int or values["format"] != FORMAT:
            raise RunError(
                f"{where.parent} was written in network format {repr(values.get('format'))[:40]}, this version reads "
                f"{FORMAT}; use the lowland version that wrote it"
            )
        try:
            return cls._checked(values)
        except Fault as error:
            raise RunError(f"{where} is damaged: {error}; {again}") from error

    @classmethod
    def _checked(cls, values: dict[str, Any]) -> Self:
        missing = [name for name in _FIELDS if name not in values]
        unknown = [name for name in values if name not in (*_FIELDS, *_LATER)]
        if missing or unknown:
            raise Fault(f"it has no {missing[0]!r}" if missing else f"{unknown[0][:40]!r} is none of its fields")
        if "digest" in values and values["digest"] != digest(values):
            raise Fault("it is not what was written at delivery, by its digest")
        _require(isinstance(values["space"], str), "its 'space' is no name")
        genes = _list(values["genes"], "genes", lambda gene: type(gene) is int and abs(gene) < 2**31, most=10_000)
        shape = _shape(values["shape"])
        classes = _list(values["classes"], "classes", lambda name: isinstance(name, str), most=shape.num_classes)
        _require(len(classes) == shape.num_classes, f"it names {len(classes)} classes of {shape.num_classes}")
        mean = _list(values["mean"], "mean", _finite, most=shape.in_channels)
        std = _list(values["std"], "std", lambda value: _finite(value) and value > 0, most=shape.in_channels)
        _require(len(mean) == len(std) == shape.in_channels, f"'mean' or 'std' is not of {shape.in_channels} channels")
        fit = values.get("fit", "crop")
        _require(fit in get_args(Fit), f"its 'fit' is not one of {', '.join(get_args(Fit))}")
        _require(isinstance(values["sha256"], str), "its 'sha256' is no checksum")
        _require(isinstance(values["facts"], dict), "its 'facts' are no mapping")
        return cls(
            genotype=Genotype(values["space"], tuple(genes)),
            shape=shape,
            classes=tuple(classes),
            mean=tuple(mean),
            std=tuple(std),
            fit=fit,
            sha256=values["sha256"],
            facts=values["facts"],
        )


def facts(folder: Path) -> dict[str, Any]:
    """What was written beside a network's weights at delivery; empty where none, or only part of one, is there."""
    try:
        written = Description.read(folder, FILE, "train it again")
        complete = inside.sha256(folder, WEIGHTS) == written.sha256
    except (OSError, RunError):
        return {}
    return dict(written.facts) if complete else {}


def digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of a description without its `digest`; the checksum of the weights is a part of it."""
    own = {name: value for name, value in values.items() if name != "digest"}
    return hashlib.sha256(json.dumps(own, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _shape(values: Any) -> Shape:
    names = {field.name for field in fields(Shape)} - set(AS_PUBLISHED)
    holds = isinstance(values, dict) and set(values) - set(AS_PUBLISHED) == names
    _require(holds, f"its 'shape' has not {', '.join(sorted(names))}")
    for name, most in MOST.items():
        value = values[name]
        _require(type(value) is int and 1 <= value <= most, f"{name} of its 'shape' is not from 1 to {most:,}")
    _require(values["stem"] in get_args(Stem), f"stem of its 'shape' is not one of {', '.join(get_args(Stem))}")
    growth = values.get("growth", PUBLISHED_GROWTH)
    _require(
        _finite(growth) and GROWTH[0] <= growth <= GROWTH[1],
        "growth of its 'shape' is not from {:g} to {:g}".format(*GROWTH),
    )
    resolution = values.get("resolution", 1.0)
    _require(
        _finite(resolution) and RESOLUTION[0] <= resolution <= RESOLUTION[1],
        "resolution of its 'shape' is not from {:g} to {:g}".format(*RESOLUTION),
    )
    norm = values.get("norm", "batch")
    _require(norm in get_args(Norm), f"norm of its 'shape' is not one of {', '.join(get_args(Norm))}")
    return Shape(**values)


def _list(value: Any, name: str, allowed: Callable[[Any], bool], most: int) -> list[Any]:
    _require(isinstance(value, list) and len(value) <= most, f"its {name!r} are no list of at most {most:,}")
    _require(all(map(allowed, value)), f"a value of its {name!r} is not allowed")
    return value  # type: ignore[no-any-return]  # checked above


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise Fault(fault)
