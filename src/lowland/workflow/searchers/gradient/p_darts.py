"""P-DARTS: three stages of ever deeper supernets with ever fewer operations."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lowland import spaces
from lowland.core.config import Config as RunConfig
from lowland.core.device import Compute
from lowland.core.errors import ConfigError
from lowland.core.seeds import derive
from lowland.core.settings import Positive, Probability, Rate
from lowland.data import DataSet
from lowland.search.gradient import architecture as maths
from lowland.search.gradient.alternation import Alternation
from lowland.search.gradient.architecture import Architecture
from lowland.search.gradient.method import GradientConfig, Moment
from lowland.search.gradient.progressive import best, restricted, skip_dropout
from lowland.search.record import SearchRecord
from lowland.spaces.relaxed import Mixture, RelaxedSupernet
from lowland.training.supernet import shape
from lowland.workflow.searchers.gradient import trial
from lowland.workflow.searchers.gradient.family import GradientSearcher, Ground
from lowland.workflow.searchers.searcher import Timer, register
from lowland.workflow.session import Session

STAGES = 3
DONE = "p-darts"
"""Checkpoint of the stages that are done."""


@register
class PDarts(GradientSearcher):
    """Weights and α begin anew in each stage; operations that the stage before liked least are no choice any more."""

    name = "p-darts"
    summary = "three ever deeper supernets with ever fewer operations, dropout on skips, few skips in the end"
    source = "Chen et al., P-DARTS, ICCV 2019 (arXiv 1904.12760)"

    class Config(GradientConfig):
        """The stages; `supernet.epochs` are those of each."""

        learning_rate: Rate = Field(6e-4, description="of architecture parameters (Adam)")
        warmup_epochs: Annotated[int, Field(ge=0)] = Field(10, description="epochs of a stage with α frozen")
        operations: tuple[Positive, ...] = Field(
            (8, 5, 3), description="operations of an edge in each stage; NAS-Bench-201, which has 5: 5, 3, 2"
        )
        added_cells: tuple[Annotated[int, Field(ge=0)], ...] = Field(
            (0, 6, 12), description="cells of each stage beyond supernet.cells; published 5, 11, 17 in all"
        )
        skip_dropout: tuple[Probability, ...] = Field(
            (0.1, 0.4, 0.7), description="dropout behind skips at the start of each stage; falls within it"
        )
        most_skips: Annotated[int, Field(ge=0)] = Field(2, description="skips of the normal cell in the end, at most")
        clip: Rate = Field(5.0, description="largest norm of the gradient in α")

        @model_validator(mode="after")
        def _three(self) -> Self:
            for name in ("operations", "added_cells", "skip_dropout"):
                if len(getattr(self, name)) != STAGES:
                    raise ValueError(f"{name} needs one number for each of {STAGES} stages")
            if list(self.operations) != sorted(self.operations, reverse=True):
                raise ValueError(f"operations must not grow from stage to stage, got {list(self.operations)}")
            return self

    options: PDarts.Config

    _supernet: RelaxedSupernet
    _stage: int = 0

    def require(self, config: RunConfig) -> None:
        """Refuse early stopping, which would end one stage only."""
        super().require(config)
        if self.options.stop != "never":
            raise ConfigError(f"search.options.{self.name}.stop would end one stage of three; leave it out")

    def check(self, config: RunConfig, data: DataSet) -> None:
        """Refuse sizes of which a stage cannot be built."""
        for stage in range(STAGES):
            size = replace(shape(config, data), cells=config.supernet.cells + self.options.added_cells[stage])
            with torch.device("meta"):
                spaces.get(config.space).relaxed(size, self.partial)

    def for_weights(self, architecture: Architecture, moment: Moment) -> Mixture:
        """The mixture; the dropout behind skips is set by the epoch."""
        own = self.options
        self._supernet.skip_dropout = skip_dropout(
            own.skip_dropout[self._stage], moment.epoch, moment.epochs, own.warmup_epochs
        )
        return super().for_weights(architecture, moment)

    def limited(self, gradients: list[Tensor]) -> list[Tensor]:
        """Gradients in α of at most norm `clip`."""
        norm = torch.sqrt(torch.stack([(g**2).sum() for g in gradients]).sum())
        return [g * (self.options.clip / (norm + 1e-6)).clamp(max=1.0) for g in gradients]

    def genes(self, architecture: Architecture) -> tuple[int, ...]:
        """The genotype with few skips."""
        return restricted(architecture.relaxation, maths.softmax(architecture), self.options.most_skips)

    def epoch_seconds(self, config: RunConfig, data: DataSet, compute: Compute, timed: Timer) -> float | None:
        """An epoch of each stage."""
        ground, total = trial.TrialGround(config, data, compute), 0.0
        relaxation = spaces.get(config.space).relaxation
        for stage in range(STAGES):
            self._stage, self._supernet = stage, self._built(ground, stage)
            architecture = Architecture.initial(relaxation, compute.device, config.seed, key=f"stage {stage}")
            weights_KEO = torch.ones(relaxation.size, device=compute.device)
            live_KEO = best(weights_KEO, architecture.live_KEO, self.options.operations[stage])
            architecture.live_KEO.copy_(live_KEO)
            found = self.beside(ground, self._supernet, architecture)
            total += trial.epoch_seconds(self.job(ground, self._supernet, found), timed)
        return total

    def _built(self, ground: Ground, stage: int) -> RelaxedSupernet:
        size = shape(ground.config, ground.data)
        size = replace(size, cells=size.cells + self.options.added_cells[stage])
        return ground.compute.prepare(spaces.get(ground.config.space).relaxed(size, self.partial))

    def search(self, session: Session) -> SearchRecord:
        """Stage after stage, each from its last checkpoint."""
        config, own = session.config, self.options
        kept = session.run.load_checkpoint(DONE)
        tensors, state = kept if kept is not None else ({}, {"epochs": [], "stage": 0})
        epochs: list[dict[str, Any]] = list(state["epochs"])
        device, relaxation = session.compute.device, session.space.relaxation
        live_KEO = tensors["live"].bool().to(device) if tensors else None
        names = [DONE]
        for stage in range(STAGES):
            names.append(f"{self.name}-{stage + 1}")
            if stage < state["stage"]:
                continue
            self._stage = stage
            torch.manual_seed(derive(config.seed, self.name, "initial weights", stage))
            self._supernet = supernet = self._built(session, stage)
            architecture = Architecture.initial(relaxation, device, config.seed, key=f"stage {stage}")
            if live_KEO is None:
                weights_KEO = torch.ones(relaxation.size, device=device)
                live_KEO = best(weights_KEO, architecture.live_KEO, own.operations[0])
            architecture.live_KEO.copy_(live_KEO)
            setting = replace(self.setting(session, supernet), name=names[-1])
            found = self.trained(session, supernet, Alternation(self, architecture, setting))
            done = len(epochs)
            epochs += [{**each, "epoch": done + each["epoch"], "stage": stage + 1} for each in found.epochs]
            if stage + 1 < STAGES:
                live_KEO = best(maths.softmax(architecture), architecture.live_KEO, own.operations[stage + 1])
            live = live_KEO.to(torch.uint8)
            session.run.save_checkpoint(DONE, {"live": live}, {"epochs": epochs, "stage": stage + 1})
        return self.record(session, epochs, len(epochs) - 1, names)
