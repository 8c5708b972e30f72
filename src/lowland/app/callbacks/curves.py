"""What all loggers of curves do: choose the points, name the figures, and put them somewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lowland.app.callbacks.callback import Callback
from lowland.core.config import Config
from lowland.core.settings import flat

if TYPE_CHECKING:
    from lowland.workflow.result import RunResult


class Curves(Callback):
    """Points of curves: in training at every new reading of the loss, in a search at every candidate.

    A subclass says where they go: `curve` and `point`, and what else it does at begin and end.
    """

    def __init__(self) -> None:
        self._loss: dict[str, float | None] = {}

    def curve(self, stage: str, done: int) -> None:
        """A stage has its first point in this session, after `done` units."""

    def point(self, stage: str, done: int, figures: Mapping[str, float]) -> None:
        """Finite figures by name after `done` units of a stage."""

    def on_advance(self, stage: str, done: int, total: int, figures: Mapping[str, Any]) -> None:
        """Choose the points."""
        found = {name: float(value) for name, value in figures.items() if _finite(value)}
        if not found:
            return
        if stage not in self._loss:
            self.curve(stage, done)
        # A loss is read from the device every few steps, and between these the last one is told again.
        elif "loss" in found and found["loss"] == self._loss[stage] and done < total:
            return
        self._loss[stage] = found.get("loss")
        self.point(stage, done, found)


def parameters(config: Config) -> dict[str, Any]:
    """Settings by dotted key; lists as text."""
    values = flat(config.model_dump(mode="json"))
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in values.items()
    }


def final_figures(result: RunResult) -> Iterator[tuple[int, dict[str, float]]]:
    """Rank of each delivered network, and its size, score and figures of all suites by their labels."""
    for row in result.networks:
        found = {name: row[name] for name in ("score", "parameters", "macs")}
        for figure in row["figures"]:
            found[figure.label] = figure.value
            found[f"{figure.label} standard error"] = figure.standard_error
        yield row["rank"], {name: float(value) for name, value in found.items() if _finite(value)}


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
