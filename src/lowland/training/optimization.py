"""Optimiser, learning-rate schedule and their state as plain tensors and JSON."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lowland.core.recipe import LongConfig, OptimizationConfig
from lowland.training.muon import Muon, sgd

R = TypeVar("R", bound=LongConfig)


def optimizer(model: nn.Module, recipe: OptimizationConfig) -> torch.optim.Optimizer:
    """The recipe's base optimiser over all parameters of `model`: SGD, AdamW or Muon, without the ascent of `+sam`."""
    base = recipe.optimizer.partition("+")[0]
    if base == "muon":
        return Muon(model, recipe)
    if base == "adamw":
        return torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, foreach=True
        )
    return sgd(list(model.parameters()), recipe)


def steps_per_epoch(recipe: OptimizationConfig, images: int) -> int:
    """Whole global batches in so many images, at least one."""
    return max(1, images // recipe.batch_size)


def lengthened(recipe: R, images: int) -> R:
    """The recipe with as many epochs as `min_steps` asks for on so many images, at least its own.

    Returns:
        The same recipe where its own epochs are enough, or nothing is asked.
    """
    epochs = math.ceil(recipe.min_steps / steps_per_epoch(recipe, images))
    return recipe.model_copy(update={"epochs": epochs}) if epochs > recipe.epochs else recipe


def learning_rate(recipe: OptimizationConfig, step: int, steps_per_epoch: int) -> float:
    """Learning rate of one step: linear warm-up from 0, then cosine, linear, constant or wsd to the final rate.

    With t the share of the steps after warm-up already done: cosine lr = lr_end + (lr − lr_end)·(1 + cos πt)/2;
    linear lr = lr + (lr_end − lr)·t. wsd (warm-up, stable, decay; Hu et al., arXiv 2404.06395, §4) is constant, and
    linear over the last `decay_share` of all steps; so one stable part serves trainings of many lengths.

    Returns:
        The rate at that step, ≥ 0.
    """
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    total = recipe.epochs * steps_per_epoch
    if recipe.schedule == "constant":
        return recipe.learning_rate
    begin = max(warmup, total - round(recipe.decay_share * total)) if recipe.schedule == "wsd" else warmup
    share = max(0, step - begin) / max(1, total - begin)
    fall = 0.5 * (1.0 + math.cos(math.pi * share)) if recipe.schedule == "cosine" else 1.0 - share
    return recipe.final_learning_rate + (recipe.learning_rate - recipe.final_learning_rate) * fall


def pack(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """The optimiser's state by parameter name: tensors, and the JSON rest."""
    tensors: dict[str, Tensor] = {}
    rest: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{name}/{key}"] = value
            elif value is not None:
                rest.setdefault(name, {})[key] = value
    return tensors, rest


def unpack(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], rest: dict[str, dict[str, Any]]
) -> None:
    """Put back what `pack` took, in each parameter's memory order and on its device (step counters stay on the CPU)."""
    parameters = dict(model.named_parameters())
    for name, values in rest.items():
        optimizer.state[parameters[name]].update(values)
    for label, value in tensors.items():
        name, _, key = label.rpartition("/")
        parameter = parameters[name]
        if value.shape == parameter.shape:
            value = torch.empty_like(parameter, requires_grad=False).copy_(value)
        optimizer.state[parameter][key] = value
