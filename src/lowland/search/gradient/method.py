"""A gradient method: how architecture parameters become weights, are learnt, and become a genotype. The base is DARTS.

A further method overrides what it does otherwise: its parameters, its mixture, a perturbation, a penalty, its schedule,
its choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from lowland.core.settings import NonNegative, Rate, Section
from lowland.search.gradient import architecture as maths
from lowland.search.gradient.architecture import Architecture
from lowland.spaces.relaxed import Mixture, Relaxation


class GradientConfig(Section):
    """What all gradient methods share; the weights are trained as the section `supernet` says."""

    learning_rate: Rate = Field(3e-4, description="of architecture parameters (Adam)")
    weight_decay: NonNegative = Field(1e-3, description="of architecture parameters")
    first_beta: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.5, description="β1 of Adam; β2 is .999")
    batch_size: Annotated[int, Field(ge=2)] = Field(64, description="search-split images of an architecture step")
    warmup_epochs: Annotated[int, Field(ge=0)] = Field(
        0, description="epochs in which weights alone are trained; must be below supernet.epochs"
    )
    order: Literal["first", "second"] = Field(
        "first", description="gradient at the weights as they are, or through one step of theirs"
    )
    flat_rho: NonNegative = Field(
        0.0, description="ρ of A²M: the gradient behind an ascent of that length in α, in four passes; 0: off"
    )
    flat_at: Literal["perturbed", "start"] = Field(
        "perturbed", description="where A²M takes its Hessian: behind the ascent as its code, or before it"
    )
    stop: Literal["never", "eigenvalue"] = Field(
        "never", description="eigenvalue: end where the curvature in α grows by 1.3 (R-DARTS); a reading every 2 epochs"
    )


Accuracy = Callable[[Mixture], float]
"""The share of a batch of validation images that a mixture names rightly, batch norms in eval mode."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a method is asked for something.

    Attributes:
        epoch: From 0.
        epochs: In all.
        seed: Of draws at this step.
        training_loss: Weights of operations (K, E, O) → loss of the step's training batch, batch norms in eval mode.
    """

    epoch: int
    epochs: int
    seed: int
    training_loss: Callable[[Tensor], Tensor]

    def generator(self) -> torch.Generator:
        """For the draws of this step."""
        return torch.Generator().manual_seed(self.seed)


class Method:
    """DARTS (Liu et al., ICLR 2019), and what others may do otherwise.

    Attributes:
        learns: How α is learnt: `bilevel` from images of its own, in a step in front of that of the weights;
            `together` from the same images, in the same step; `by epoch` without a gradient, in `epoch_ended`.
        none: Whether `none` is a choice.
        edges: Whether edges have weights of their own.
    """

    learns: ClassVar[Literal["bilevel", "together", "by epoch"]] = "bilevel"
    none: ClassVar[bool] = True
    edges: ClassVar[bool] = False

    options: GradientConfig

    @property
    def partial(self) -> int:
        """K of partial channel connections."""
        return 1

    def initial(self, relaxation: Relaxation, device: torch.device, seed: int) -> Architecture:
        """The architecture parameters at the start."""
        return Architecture.initial(relaxation, device, seed, none=self.none, edges=self.edges)

    def mixture(self, architecture: Architecture) -> Mixture:
        """The weights that α stands for, through which gradients flow."""
        return maths.mixture(architecture)

    def for_weights(self, architecture: Architecture, moment: Moment) -> Mixture:
        """The weights with which the step of the supernet is made; gradients reach α where both learn together."""
        del moment
        return self.mixture(architecture).detached()

    def penalty(self, architecture: Architecture) -> Tensor | None:
        """What is added to the validation loss; None: nothing."""
        del architecture
        return None

    def input_penalty(self, logits: Callable[[Tensor], Tensor], x_NCHW: Tensor, seed: int) -> Tensor | None:
        """What is added to the validation loss for how outputs follow the input; None: nothing.

        Args:
            logits: Images (N, C, H, W) → logits (N, K) of the mixture in evaluation mode, in full precision.
            x_NCHW: The validation images of the step.
            seed: Of draws in this step.

        Returns:
            A scalar.
        """
        del logits, x_NCHW, seed
        return None

    def limited(self, gradients: list[Tensor]) -> list[Tensor]:
        """The gradients that α is moved by; by default as they are."""
        return gradients

    @property
    def adam_decay(self) -> float:
        """Weight decay that Adam itself does."""
        return self.options.weight_decay

    def step(self, architecture: Architecture, optimizer: torch.optim.Optimizer) -> None:
        """Move α by the gradients it holds, where it is learnt together with the weights."""
        del architecture
        optimizer.step()

    def epoch_ended(
        self, architecture: Architecture, epoch: int, memory: dict[str, Tensor], accuracy: Accuracy, seed: int
    ) -> None:
        """Change α between epochs, where it is learnt so.

        Args:
            architecture: α, to be changed in place.
            epoch: The one that ended, from 0.
            memory: What the method wants to keep from one epoch to the next, and over a stop.
            accuracy: Judges a mixture.
            seed: Of draws in this epoch.
        """

    def genes(self, architecture: Architecture) -> tuple[int, ...]:
        """The genotype that α stands for."""
        found = self.mixture(architecture)
        weights_KEO = found.operations_KEO
        if found.edges_KE is not None:
            weights_KEO = weights_KEO * found.edges_KE.unsqueeze(-1)
        return maths.genes(architecture.relaxation, weights_KEO)
