"""Nothing that is measured leaves a trace in a model: flags, buffers, gradients and random numbers come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lowland.core.seeds import derive


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """After the block, also after an exception, training flags, buffers and gradients of `model` are as they were.

    Buffers and gradients are the very tensors of before, which are not written within the block: the model has copies
    meanwhile. So are the flags that say which parameters require gradients. Weights are put back by who changes them.
    """
    flags = [(module, module.training) for module in model.modules()]
    wanted = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    try:
        for parameter, _, _ in wanted:
            parameter.grad = None  # or a loss that calls backward would add to what is the caller's
        with _own_buffers(model):
            yield
    finally:
        for module, training in flags:
            module.training = training
        for parameter, required, gradient in wanted:
            parameter.requires_grad_(required)
            parameter.grad = gradient


@contextmanager
def alike(model: nn.Module, seed: int, index: int, device: torch.device) -> Iterator[None]:
    """Within the block the model is in evaluation mode, with buffers of its own, and random numbers start from a seed.

    So the same weights give the same loss of batch `index` at every call, whatever the loss does with the model: switch
    it to training, update running statistics, draw random numbers. torch's random numbers of the caller go on as if
    none had been drawn.
    """
    flags = [(module, module.training) for module in model.modules()]
    devices = [device] if device.type == "cuda" else []
    try:
        for module, _ in flags:
            module.training = False
        with torch.random.fork_rng(devices), _own_buffers(model):
            torch.manual_seed(derive(seed, "loss", index))
            yield
    finally:
        for module, training in flags:
            module.training = training


@contextmanager
def _own_buffers(model: nn.Module) -> Iterator[None]:
    kept: list[tuple[nn.Module, Mapping[str, Tensor | None]]]
    kept = [(module, dict(module._buffers)) for module in model.modules()]
    copies: dict[int, Tensor] = {}
    try:
        for module, buffers in kept:
            for name, buffer in buffers.items():
                # By its number, so that a buffer that two modules share is still shared.
                if buffer is not None:
                    module._buffers[name] = copies.setdefault(id(buffer), buffer.clone())
        yield
    finally:
        for module, buffers in kept:
            module._buffers.clear()
            module._buffers.update(buffers)
