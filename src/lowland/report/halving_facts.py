"""What the report shows of successive halving: every design, and what it was worth at each rung that it reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lowland.core.amounts import estimate
from lowland.core.config import Config
from lowland.search.aggregation import parts
from lowland.spaces.values import AS_PUBLISHED
from lowland.store.artifacts import Searched


@dataclass(frozen=True, kw_only=True, slots=True)
class DesignFacts:
    """One design.

    `name`: of a network written by hand. `values`: by rung; None where its training failed.
    """

    genotype: str
    name: str | None
    cells: int
    channels: int
    growth: float
    norm: str
    resolution: float
    parameters: int
    macs: int
    values: tuple[str | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class HalvingFacts:
    """The rungs, in training steps, and the designs, best first. `measure` decided who went on."""

    measure: str
    halving: int
    steps: tuple[int, ...]
    designs: tuple[DesignFacts, ...]


def told(row: Mapping[str, Any]) -> str:
    """A rung's figure; of a sum, which is only an order, those of its parts."""
    found = parts(row.get("details", {}))
    if not found:
        return estimate(row["value"], row["standard_error"], "{:.3g}")
    names = {label: label.partition("(")[0].replace("_", " ") for label in found}
    return "; ".join(f"{names[label]} {estimate(part['value'], None, '{:.3g}')}" for label, part in found.items())


def halving(searched: Searched, config: Config) -> HalvingFacts | None:
    """The rungs of a search; None where it had none, as those of before."""
    designs = []
    steps: dict[int, None] = {}
    for entry in searched.ranking:
        rungs = (entry.finalist or {}).get("rungs")
        if rungs is None or entry.shape is None:
            continue
        steps |= dict.fromkeys(row["steps"] for row in rungs)
        values = tuple(told(row) if "value" in row else None for row in rungs)
        designs.append(
            DesignFacts(
                genotype=entry.genotype,
                name=(entry.finalist or {}).get("name"),
                cells=entry.shape["cells"],
                channels=entry.shape["channels"],
                growth=entry.shape.get("growth", AS_PUBLISHED["growth"]),
                norm=entry.shape.get("norm", AS_PUBLISHED["norm"]),
                resolution=entry.shape.get("resolution", AS_PUBLISHED["resolution"]),
                parameters=entry.parameters,
                macs=entry.macs,
                values=values,
            )
        )
    if not designs:
        return None
    return HalvingFacts(
        measure=config.search.promote,
        halving=config.search.halving,
        steps=tuple(sorted(steps)),
        designs=tuple(designs),
    )
