"""Early stopping: after every epoch the model is judged on held-out images; the best epoch's weights are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lowland.core.device import Compute
from lowland.core.inference import evaluating, outputs
from lowland.data import DataSet, Split, batches

JUDGING_BATCH = 125


def accuracy(model: nn.Module, split: Split, data: DataSet, compute: Compute) -> float:
    """Share of the split's images that the model, in evaluation mode for as long as it takes, names rightly."""
    placed = ((compute.place(data.normalise(x_NCHW)), labels_N) for x_NCHW, labels_N in batches(split, JUDGING_BATCH))

    def logits(x_NCHW: Tensor) -> Tensor:
        output = model(x_NCHW)
        logits_NK: Tensor = output[0] if isinstance(output, tuple) else output  # beside an auxiliary head's
        return logits_NK

    with evaluating(model):
        right = sum(int((each.argmax(dim=1) == labels_N).sum()) for each, labels_N in outputs(logits, placed, compute))
    return right / len(split)


@dataclass
class Patience:
    """Who waits for a better epoch, and for how long.

    Attributes:
        epochs: Without a better one before training ends.
        best: The best value so far; greater is better.
        waited: Epochs since.
        weights: State of the model then.
    """

    epochs: int
    best: float = float("-inf")
    waited: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def hear(self, value: float, model: nn.Module) -> bool:
        """Take note of an epoch.

        Returns:
            Whether patience is at its end.
        """
        if value > self.best:
            self.best, self.waited = value, 0
            self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        else:
            self.waited += 1
        return self.waited >= self.epochs

    def state(self) -> dict[str, Any]:
        """All but the weights, as JSON."""
        return {"best": self.best if self.weights else None, "waited": self.waited}

    def restore(self, state: dict[str, Any], weights: dict[str, Tensor], like: dict[str, Tensor]) -> None:
        """Go on from what `state` and `weights` were, on the devices and in the memory order of `like`."""
        self.best = float("-inf") if state["best"] is None else state["best"]
        self.waited = state["waited"]
        self.weights = {name: torch.empty_like(like[name]).copy_(value) for name, value in weights.items()}
