"""One training step: the gradients of its losses, the ascent of SAM, clipping, and the optimiser's update."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from lowland.core.device import Compute
from lowland.core.recipe import OptimizationConfig
from lowland.core.seeds import seed_global
from lowland.training.optimization import optimizer
from lowland.training.parallel import World, average_gradients
from lowland.training.sam import ascent, frozen_statistics

Losses = Tensor | Iterator[Tensor]
"""The loss of a step; or several, one after another, whose gradients add up."""


class Stepper:
    """Takes the steps of one recipe on one model.

    Attributes:
        engine: The base optimiser, which has all of the optimiser's state.
        scaler: Scales losses of fp16 training; otherwise it does nothing.
    """

    def __init__(self, model: nn.Module, recipe: OptimizationConfig, compute: Compute, world: World) -> None:
        self.model, self.recipe, self.world = model, recipe, world
        self.engine = optimizer(model, recipe)
        self.scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.autocast_dtype == torch.float16)
        self._ascent = ascent(model, recipe)
        self._device = compute.device
        self._parameters = list(model.parameters())

    def step(self, losses: Callable[[], Losses], learning_rate: float, seed: int) -> Tensor:
        """Learn from one batch.

        Args:
            losses: Computes the step's losses. Called again for the second pass of SAM, where it must do the same.
            learning_rate: Of this step.
            seed: Of torch's global generator at the start of a pass: dropout is the same in both passes of SAM.

        Returns:
            The sum of the losses at the weights before the step, detached.
        """
        for group in self.engine.param_groups:
            group["lr"] = learning_rate
        loss = self._gradients(losses, seed)
        if self._ascent is None:
            self._update()
        else:
            # Two optimisers in one cycle of the scaler: an overflow in either pass leaves the step out.
            self.scaler.unscale_(self._ascent)
            self.scaler.step(self._ascent)
            if self._ascent.climbed:
                self._forget()
                with frozen_statistics(self.model):
                    self._gradients(losses, seed)
                self._ascent.back()
                self._update()
        self.scaler.update()
        self._forget()
        return loss

    def restart(self) -> None:
        """Forget the optimiser's state: momentum, and moments of AdamW with their counts."""
        self.engine.state.clear()

    def _gradients(self, losses: Callable[[], Losses], seed: int) -> Tensor:
        seed_global(seed, self._device)
        found = losses()
        parts = []
        for loss in (found,) if isinstance(found, Tensor) else found:
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            parts.append(loss.detach())
        # Averaged before unscaling, so that an overflow on one rank makes all of them skip the step; and before the
        # ascent, so that all ranks climb to the same weights.
        average_gradients(self._parameters, self.world)
        return torch.stack(parts).sum()

    def _update(self) -> None:
        self.scaler.unscale_(self.engine)
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self._parameters, self.recipe.clip)
        self.scaler.step(self.engine)

    def _forget(self) -> None:
        self.engine.zero_grad(set_to_none=self.recipe.zero_grad == "none")
