"""The suite `references`: was the search worth it? Hand-written networks of equal size, trained by the same recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field, field_validator
from torch import nn

from lowland.core.config import Config as RunConfig
from lowland.core.errors import ConfigError
from lowland.core.settings import Positive, Section
from lowland.data import DataSet
from lowland.evaluation.comparison import ComparisonResults, signed
from lowland.evaluation.paired import Difference
from lowland.evaluation.references import (
    Budget,
    Sized,
    Trial,
    begin_references,
    default_references,
    references_result,
    sized,
)
from lowland.evaluation.section import Estimate, Figure, SuiteSection, Table
from lowland.evaluation.shift.suite import Corruptions
from lowland.evaluation.suite import Effort, EvaluationContext, Suite, register, suite
from lowland.spaces.references import find, from_anywhere


@register
class References(Suite[ComparisonResults]):
    """The delivered network beside references, trained as it was, at the width that fills its size."""

    name = "references"
    summary = "the delivered network beside hand-written ones of equal size, trained by the same recipe"
    source = "this project"

    class Config(Section):
        """With what, and how often."""

        @field_validator("names")
        @classmethod
        def _from_anywhere(cls, names: tuple[str, ...]) -> tuple[str, ...]:
            """Files of weights by absolute paths, so that a run can be resumed from any current folder."""
            return tuple(map(from_anywhere, names))

        names: tuple[str, ...] = Field(
            (), description="references by name, as `lowland compare --with`; default: the usual ones of the space"
        )
        usual: Positive = Field(1, description="how many of the usual references, where none are named")
        seeds: Positive = Field(1, description="trainings of each network; the delivered one is its own first")
        corruptions: bool = Field(True, description="also under the corruptions of the suite of that name")

    Results = ComparisonResults

    shared = ("evaluate.batch_size", "evaluate.options", "retrain")

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._met: tuple[Trial, list[Sized]] | None = None

    def require(self, config: RunConfig, data: DataSet) -> None:
        """Raise ConfigError or GenotypeError for a name that is unknown, or where weights are inherited."""
        for name in self.config.names:
            find(name, config.space, data.image_size)
        if config.retrain.inherit:
            raise ConfigError(
                "the suite references trains networks from scratch, which is no comparison with one that begins with "
                "the supernet's weights; leave it out of evaluate.suites, or set retrain.inherit=false"
            )

    def effort(self, config: RunConfig, data: DataSet) -> Effort:
        """Trainings of every reference, each judged as the delivered network is."""
        count = len(self.config.names) or self.config.usual
        trainings = (1 + count) * self.config.seeds - 1
        judged = Effort(images=len(data.test))
        if self.config.corruptions:
            judged += suite(config, Corruptions.name).effort(config, data)
        times = trainings + 1
        return replace(judged, images=judged.images * times, as_trained=judged.as_trained * times, trainings=trainings)

    def run(self, networks: Mapping[str, nn.Module], context: EvaluationContext) -> ComparisonResults:
        """Train and judge the references; the first network as it was delivered."""
        del networks
        trial, references = self._met or self._meet(context)
        return references_result(trial, references, seeds=self.config.seeds)

    def begin(self, context: EvaluationContext) -> None:
        """Begin the trainings of the references."""
        self._met = self._meet(context)
        trial, references = self._met
        begin_references(trial, references, seeds=self.config.seeds)

    def _meet(self, context: EvaluationContext) -> tuple[Trial, list[Sized]]:
        """The first network, its terms, and the references at its size."""
        if context.trial is None:
            raise ConfigError("the suite references needs a run that trained its network; run it with `lowland run`")
        trial = context.trial(self.config.corruptions)
        budget = Budget.of(trial.delivered)
        if self.config.names:
            return trial, sized(self.config.names, trial, budget)
        return trial, default_references(trial, budget)[: self.config.usual]

    def figures(self, results: ComparisonResults) -> dict[str, list[Figure]]:
        """Of the delivered network: its top-1 minus the best reference's."""
        found = results.best.difference if results.references else None
        return {"1": [Figure(label="over reference", value=found.value, unit="points", n=found.n)]} if found else {}

    def section(self, results: ComparisonResults) -> SuiteSection:
        """The answer in plain words, and a row for every network."""
        rows = tuple(
            (
                row.name,
                (
                    Estimate(value=row.top1, n=results.images),
                    _shown(row.difference),
                    None if row.corrupted is None else Estimate(value=row.corrupted, n=results.corrupted_images),
                    _shown(row.corrupted_difference),
                    f"{row.parameters:,}",
                    f"{row.macs:,}",
                ),
            )
            for row in results.networks
        )
        columns = (
            *("Network", "Top-1, %", "Delivered is better by, points"),
            *("Under corruption, %", "Delivered is better by, points", "Parameters", "MACs"),
        )
        over = "seeds" if len(results.delivered.seeds) > 1 else "test images, of one training each"
        note = f"All trained by one recipe; intervals: 95 %, paired on the same images, over {over}."
        table = Table(columns=columns, rows=rows, note=note)
        return SuiteSection(title="Was the search worth it?", paragraphs=results.sentences, tables=(table,))


def _shown(difference: Difference | None) -> str | None:
    if difference is None:
        return None
    if difference.low is None or difference.high is None:
        return signed(difference.value)
    return f"{signed(difference.value)} ({signed(difference.low)} … {signed(difference.high)})"
