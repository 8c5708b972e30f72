"""Tiny jobs to train: digits, one cell, four channels; and what stops and keeps them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from lowland.core.config import Config, DataConfig, RetrainConfig
from lowland.core.device import Compute
from lowland.core.errors import InterruptedRun
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.data import DataSet, load
from lowland.spaces import Shape
from lowland.training import network, supernet
from lowland.training.loop import History, Job, fit

CPU = Compute(device=torch.device("cpu"), channels_last=True)
BATCH = 16
STEPS_PER_EPOCH = 3
GENOTYPE = Genotype("nasbench201", (3, 2, 1, 4, 3, 1))


@lru_cache
def digits() -> DataSet:
    """48 training and 12 search images, 8×8: three steps of 16 an epoch."""
    return load(DataConfig(name="digits", limit=60), seed=0)


def supernet_config(*, space: str = "nasbench201", seed: int = 5, cells: int = 1, **recipe: Any) -> Config:
    settings = {"channels": 4, "cells": cells, "epochs": 2, "batch_size": BATCH, "learning_rate": 0.05} | recipe
    return Config.model_validate({"seed": seed, "space": space, "supernet": settings})


def supernet_job(config: Config, compute: Compute = CPU) -> Job:
    model = compute.prepare(supernet.initial(config, digits()))
    return supernet.job(config, digits(), model, compute)


def retrain_recipe(**recipe: Any) -> RetrainConfig:
    return RetrainConfig(**({"epochs": 2, "batch_size": BATCH, "include_search_split": False} | recipe))


def network_job(recipe: RetrainConfig, genotype: Genotype = GENOTYPE, *, cells: int = 1, seed: int = 5) -> Job:
    shape = Shape(in_channels=1, image_size=8, num_classes=10, channels=4, cells=cells)
    model = CPU.prepare(network.build(genotype, shape, recipe, seed))
    return network.job(genotype, model, recipe, digits(), CPU, seed)


class StopAt(Monitor):
    """Asks for a stop once `step` steps are done."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.seen: list[int] = []

    def advance(self, done: int, **facts: Any) -> None:
        self.seen.append(done)
        self.stopping = done >= self.step


class InMemory:
    """Checkpoints that copy what they are given, contiguous as safetensors would."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[dict[str, Tensor], dict[str, Any]]] = {}
        self.steps: list[int] = []

    def save_checkpoint(self, name: str, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        copies = {key: value.detach().clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
        self.kept[name] = (copies, state)
        self.steps.append(state["step"])

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        return self.kept.get(name)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    assert first.keys() == second.keys()
    return all(torch.equal(value, second[name]) for name, value in first.items())


def fit_with_stops(make: Any, checkpoints: Any, stops: tuple[int, ...]) -> tuple[dict[str, Tensor], History]:
    """Train to the end, stopped after each of `stops` steps and begun anew from the checkpoint each time."""
    for stop in stops:
        try:
            fit(make(), checkpoints=checkpoints, checkpoint_seconds=1e9, monitor=StopAt(stop))
        except InterruptedRun:
            continue
        raise AssertionError(f"was not stopped at step {stop}")
    job = make()
    history = fit(job, checkpoints=checkpoints, checkpoint_seconds=1e9)
    return job.model.state_dict(), history
