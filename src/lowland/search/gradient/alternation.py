"""The loop of a gradient search: what is learnt beside a supernet's weights, step by step, and what it leaves.

Tensor names: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lowland.core.device import Compute
from lowland.core.inference import evaluating
from lowland.core.seeds import derive, seed_global
from lowland.search.gradient import spectrum
from lowland.search.gradient.architecture import Architecture, skips
from lowland.search.gradient.gradients import Gradients, WeightStep, first_order, flat, second_order
from lowland.search.gradient.method import Method, Moment
from lowland.spaces.relaxed import Mixture, RelaxedSupernet
from lowland.training.sam import frozen_statistics
from lowland.training.step import Stepper

Batch = tuple[Tensor, Tensor]

SECOND_BETA = 0.999
FLAT_EPSILON = 1e-2
"""Length of A²M's finite difference (its code)."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a search runs on.

    Attributes:
        supernet: On the device.
        compute: Where.
        seed: Run seed.
        name: Of the training, part of every draw.
        steps_per_epoch: Of the weights.
        epochs: In all.
        validation: (step) → images (N, C, H, W) on the device and labels, from which α is learnt.
    """

    supernet: RelaxedSupernet
    compute: Compute
    seed: int
    name: str
    steps_per_epoch: int
    epochs: int
    validation: Callable[[int], Batch]


class Alternation:
    """Learns α beside the weights (`training.loop.Companion`), and notes the genotype of every epoch.

    Attributes:
        architecture: α and its like.
        weights: The mixture with which the step of the weights is made.
        epochs: What is known of each epoch, as JSON: its genes, skips by kind of cell, mean validation loss.
        memory: What the method keeps between epochs.
        chosen: The epoch whose genotype the search found.
    """

    def __init__(self, method: Method, architecture: Architecture, setting: Setting) -> None:
        self.method, self.architecture, self.setting = method, architecture, setting
        own = method.options
        self.optimizer = torch.optim.Adam(
            architecture.parameters(),
            lr=own.learning_rate,
            betas=(own.first_beta, SECOND_BETA),
            weight_decay=method.adam_decay,
        )
        self.weights: Mixture
        self.epochs: list[dict[str, Any]] = []
        self.readings: list[float] = []
        self.chosen: int | None = None
        self.memory: dict[str, Tensor] = {}
        self._losses: list[Tensor] = []

    # --- steps ---------------------------------------------------------------------------------------------------

    def loss(self, supernet: RelaxedSupernet, mixture: Mixture, batch: Batch) -> Tensor:
        """Cross-entropy of a mixture on a batch."""
        with self.setting.compute.autocast():
            logits_NK = supernet.mixed(batch[0], mixture)
        return functional.cross_entropy(logits_NK.float(), batch[1])

    def before(self, step: int, x_NCHW: Tensor, labels: Tensor, stepper: Stepper, learning_rate: float) -> None:
        """Learn α from images of its own, where it is time to, and decide the mixture of the step."""
        train: Batch = (x_NCHW, labels)
        epoch = step // self.setting.steps_per_epoch
        if self.method.learns == "bilevel" and epoch >= self.method.options.warmup_epochs:
            seed = derive(self.setting.seed, self.setting.name, "architecture step", step)
            seed_global(seed, self.setting.compute.device)
            self._learn(self.setting.validation(step), train, stepper, learning_rate)
        self.weights = self.method.for_weights(self.architecture, self._moment(step, epoch, train))

    def after(self, step: int) -> bool:
        """Learn α from what the step of the weights left, where both learn together, and note what an epoch ends with.

        Returns:
            Whether the search ends here.
        """
        if self.method.learns == "together":
            self.method.step(self.architecture, self.optimizer)
            self.optimizer.zero_grad(set_to_none=True)
        if (step + 1) % self.setting.steps_per_epoch:
            return False
        epoch = step // self.setting.steps_per_epoch
        seed = derive(self.setting.seed, self.setting.name, "epoch", epoch)
        self.method.epoch_ended(self.architecture, epoch, self.memory, partial(self._accuracy, step), seed)
        self._note(epoch)
        self.chosen = epoch
        if self.method.options.stop == "eigenvalue" and epoch % spectrum.EVERY == 0:
            stopped = spectrum.stopped_at(self.readings)
            if stopped is not None:
                self.chosen = stopped
                return True
        return False

    def _moment(self, step: int, epoch: int, train: Batch) -> Moment:
        supernet = self.setting.supernet

        def training_loss(operations_KEO: Tensor) -> Tensor:
            with evaluating(supernet):
                return self.loss(supernet, Mixture(operations_KEO), train)

        seed = derive(self.setting.seed, self.setting.name, "perturbation", step)
        return Moment(epoch, self.setting.epochs, seed, training_loss)

    def _learn(self, validation: Batch, train: Batch, stepper: Stepper, learning_rate: float) -> None:
        supernet, own = self.setting.supernet, self.method.options
        alphas = self.architecture.parameters()
        seen: list[Tensor] = []
        seed = torch.initial_seed()  # of this step, the same in every pass

        def outputs(x_NCHW: Tensor) -> Tensor:
            with evaluating(supernet):
                return supernet.mixed(x_NCHW, self.method.mixture(self.architecture)).float()

        def judged() -> Tensor:
            loss = self.loss(supernet, self.method.mixture(self.architecture), validation)
            seen.append(loss.detach())
            penalties = (
                self.method.penalty(self.architecture),
                self.method.input_penalty(outputs, validation[0], seed),
            )
            return sum((added for added in penalties if added is not None), loss)

        def trained() -> Tensor:
            return self.loss(supernet, self.method.mixture(self.architecture), train)

        def gradients() -> Gradients:
            if own.order == "first":
                return first_order(judged, alphas)
            # The weights that are looked ahead to are none that batch norms should remember.
            with frozen_statistics(supernet):
                return second_order(trained, judged, alphas, weight_step(stepper, learning_rate))

        found = flat(gradients, alphas, rho=own.flat_rho, epsilon=FLAT_EPSILON, at=own.flat_at)
        for alpha, part in zip(alphas, self.method.limited(found), strict=True):
            alpha.grad = part
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._losses.append(seen[0])

    # --- epochs --------------------------------------------------------------------------------------------------

    def _note(self, epoch: int) -> None:
        relaxation = self.architecture.relaxation
        genes = self.method.genes(self.architecture)
        mean = float(torch.stack(self._losses).mean()) if self._losses else None
        self._losses = []
        found: dict[str, Any] = {"epoch": epoch, "genes": list(genes), "skips": skips(relaxation, genes)}
        found["validation_loss"] = mean
        if self.method.options.stop == "eigenvalue" and epoch % spectrum.EVERY == 0:
            self.readings.append(self._eigenvalue(epoch))
            found["eigenvalue"] = self.readings[-1]
        self.epochs.append(found)

    def _accuracy(self, step: int, mixture: Mixture) -> float:
        supernet = self.setting.supernet
        x_NCHW, labels_N = self.setting.validation(step)
        with evaluating(supernet), torch.inference_mode(), self.setting.compute.autocast():
            logits_NK = supernet.mixed(x_NCHW, mixture)
        return float((logits_NK.argmax(dim=1) == labels_N).float().mean())

    def _eigenvalue(self, epoch: int) -> float:
        supernet = self.setting.supernet
        batch = self.setting.validation(epoch * self.setting.steps_per_epoch)
        alphas = [self.architecture.operations_KEO]

        def gradients() -> Gradients:
            loss = functional.cross_entropy(
                supernet.mixed(batch[0], self.method.mixture(self.architecture)).float(), batch[1]
            )
            return first_order(lambda: loss, alphas)

        with frozen_statistics(supernet):  # in full precision: differences of gradients are small
            return spectrum.dominant_eigenvalue(gradients, alphas)

    # --- checkpoints ---------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """α, the state of its optimiser, and what was noted."""
        tensors = {f"alpha{place}": alpha.detach() for place, alpha in enumerate(self.architecture.parameters())}
        for place, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam{place}/{key}": value for key, value in values.items()}
        tensors |= {f"memory/{key}": value for key, value in self.memory.items()}
        tensors["live"] = self.architecture.live_KEO.to(torch.uint8)
        if self._losses:
            tensors["losses"] = torch.stack(self._losses)
        return tensors, {"epochs": self.epochs, "readings": self.readings, "chosen": self.chosen}

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        device = self.architecture.operations_KEO.device
        with torch.no_grad():
            for place, alpha in enumerate(self.architecture.parameters()):
                alpha.copy_(tensors[f"alpha{place}"])
                adam = {
                    key.partition("/")[2]: value for key, value in tensors.items() if key.startswith(f"adam{place}/")
                }
                if adam:  # step counters stay on the CPU
                    self.optimizer.state[alpha] = {
                        key: value.to("cpu" if key == "step" else device, copy=True) for key, value in adam.items()
                    }
            self.architecture.live_KEO.copy_(tensors["live"].bool())
        self.memory = {
            key.partition("/")[2]: value.to(device) for key, value in tensors.items() if key.startswith("memory/")
        }
        self._losses = list(tensors["losses"].to(device).unbind()) if "losses" in tensors else []
        self.epochs, self.readings = list(state["epochs"]), list(state["readings"])
        self.chosen = state["chosen"]


def weight_step(stepper: Stepper, learning_rate: float) -> WeightStep:
    """The step that SGD is to make at this rate, with its momentum."""
    recipe = stepper.recipe
    weights = [p for p in stepper.model.parameters() if p.requires_grad]
    return WeightStep(
        weights=weights,
        rate=learning_rate,
        momentum=recipe.momentum,
        decay=recipe.weight_decay,
        buffers=[stepper.engine.state.get(p, {}).get("momentum_buffer") for p in weights],
    )
