"""A suite of somebody else's: brightness at which a network changes its mind, in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Self

import torch
from pydantic import Field
from torch import nn

from lowland.core.config import Config as RunConfig
from lowland.core.errors import ConfigError
from lowland.core.inference import evaluating
from lowland.core.settings import Section
from lowland.data import DataSet
from lowland.evaluation.section import Estimate, Figure, Line, Series, SuiteSection, Table
from lowland.evaluation.suite import EvaluationContext, Suite, register

ASKED: list[str] = []
"""Parts that were computed."""


@dataclass(frozen=True)
class Darkened:
    """Share of images, percent, whose prediction stays, by rank and level."""

    kept: Mapping[str, tuple[float, ...]]
    levels: tuple[float, ...]
    images: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        kept = {rank: tuple(shares) for rank, shares in values["kept"].items()}
        return cls(kept, tuple(values["levels"]), values["images"])


@register
class Darkness(Suite[Darkened]):
    name = "darkness"
    summary = "share of test images whose prediction survives darkening"
    source = "the tests"

    class Config(Section):
        levels: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field((1.0, 0.5), description="factors on the pixels")
        images: int = 20

    Results = Darkened

    def require(self, config: RunConfig, data: DataSet) -> None:
        if self.config.images > len(data.test):
            raise ConfigError(f"evaluate.options.darkness.images={self.config.images}: only {len(data.test)} there")

    def run(self, networks: Mapping[str, nn.Module], context: EvaluationContext) -> Darkened:
        x_NCHW = context.data.test.images(torch.arange(self.config.images))
        kept: dict[str, list[float]] = {rank: [] for rank in networks}

        def predicted(model: nn.Module, level: float) -> torch.Tensor:
            with torch.inference_mode():
                darker = (x_NCHW * level).to(torch.uint8)
                return model(context.data.normalise(context.exact.place(darker))).argmax(1)

        def shares(level: float) -> dict[str, float]:
            ASKED.append(f"{level:g}")
            same = {rank: predicted(model, level) == predicted(model, 1.0) for rank, model in networks.items()}
            return {rank: 100 * float(each.double().mean()) for rank, each in same.items()}

        with evaluating(*networks.values()), context.progressing("darkness", "level") as progress:
            for done, level in enumerate(self.config.levels, start=1):
                found = context.part(f"{level:g}", lambda level=level: shares(level))
                for rank, share in found.items():
                    kept[rank].append(share)
                progress(done, len(self.config.levels))
        return Darkened({rank: tuple(each) for rank, each in kept.items()}, self.config.levels, self.config.images)

    def figures(self, results: Darkened) -> dict[str, list[Figure]]:
        return {
            rank: [Figure(label="dark <b>", value=shares[-1], unit="%", standard_error=1.5, n=results.images)]
            for rank, shares in results.kept.items()
        }

    def section(self, results: Darkened) -> SuiteSection:
        rows = tuple(
            (rank, (*(Estimate(value=share, n=results.images) for share in shares), "a & b", None))
            for rank, shares in results.kept.items()
        )
        columns = ("Network", *(f"at {level:g}, %" for level in results.levels), "said", "nothing")
        lines = tuple(
            Line(label=f"network {rank}", x=results.levels, y=shares, errors=(None, 0.5))
            for rank, shares in results.kept.items()
        )
        return SuiteSection(
            title="In the <dark>",
            paragraphs=("Predictions that survive darkening & worse.",),
            tables=(Table(columns=columns, rows=rows, title="Shares", note=f"{results.images} images."),),
            series=(Series(x_label="level", y_label="kept, %", lines=lines, note="The darker, the fewer."),),
        )
