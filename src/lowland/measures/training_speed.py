"""Training speed: the loss over a few steps of gradient descent from inherited weights, at a high learning rate.

Array names: T steps.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from lowland.core.errors import DataError, NotFiniteError
from lowland.core.genotype import Genotype
from lowland.core.seeds import torch_generator
from lowland.core.settings import Positive, Rate, Section
from lowland.measures.measure import Context, Measure, Score, register
from lowland.spaces.space import Supernet, inherit
from lowland.spaces.values import NetworkOptions

MOMENTUM = 0.9
CLIP = 5.0


@register
class TrainingSpeed(Measure):
    """−(mean loss, in nats, over the last half of `steps` steps of SGD).

    The candidate's own network begins with the weights of the supernet. Each step takes a batch of
    `batch` of the `measure.calibration_images` training images, in an order drawn from the run seed,
    the same for all candidates, and drawn anew for every pass. The learning rate is constant
    (`learning_rate`), with Nesterov momentum 0.9 and gradients clipped to norm 5; batch norm uses the
    batch. At a high rate the steps keep the weights from settling in a sharp minimum, so a low loss tells of one that
    is low and wide. The standard error is s/√n of the n losses that are averaged, as if they were independent.
    """

    name = "training_speed"
    summary = "negative training loss (nats) over a few steps at a high learning rate from inherited weights"
    source = "TSE-E (Ru et al., Speedy Performance Estimation, NeurIPS 2021), here from inherited weights"

    needs = ("calibration_images",)

    class Config(Section):
        """Settings of the training."""

        steps: Positive = Field(50, description="steps of training")
        batch: Annotated[int, Field(ge=2)] = Field(64, description="training images of one step")
        learning_rate: Rate = Field(0.1, description="constant; high, so that sharp minima are left")

    options: Config

    def score(self, supernet: Supernet, genotype: Genotype, context: Context) -> Score:
        """Train a copy of the candidate for some steps; the supernet stays as it is.

        Returns:
            Minus the mean loss of the later half of the steps, nats, with its standard error over steps.

        Raises:
            DataError: there are no calibration images.
            NotFiniteError: a loss is not finite.
        """
        if not context.calibration:
            raise DataError("no training images to train candidates on; enlarge the data set")
        losses_T = self._losses(supernet, genotype, context)
        if not np.isfinite(losses_T).all():
            raise NotFiniteError(f"the training loss is not finite after {int(np.isfinite(losses_T).sum())} steps")
        late_T = losses_T[len(losses_T) // 2 :]
        error = float(late_T.std(ddof=1)) / math.sqrt(len(late_T)) if len(late_T) > 1 else None
        return Score(-float(late_T.mean()), error, {"steps": len(losses_T), "first_loss": float(losses_T[0])})

    def _losses(self, supernet: Supernet, genotype: Genotype, context: Context) -> NDArray[np.float64]:
        own, compute = self.options, context.compute
        with torch.random.fork_rng(devices=[]):  # its first weights, which are not used, are drawn there
            network = context.space.network(genotype, supernet.shape, NetworkOptions(like_supernet=True))
        inherit(supernet, network, genotype)
        network = compute.prepare(network).train().requires_grad_(True)
        optimizer = torch.optim.SGD(
            network.parameters(), lr=own.learning_rate, momentum=MOMENTUM, nesterov=True, foreach=True
        )
        images_NCHW = torch.cat([x_NCHW for x_NCHW, _ in context.calibration])
        labels_N = torch.cat([y_N for _, y_N in context.calibration])
        size = min(own.batch, len(labels_N))
        losses = []
        for step in range(own.steps):
            passed, batch = divmod(step, len(labels_N) // size)
            if batch == 0:
                generator = torch_generator(context.seed, "training speed", passed)
                order_N = torch.randperm(len(labels_N), generator=generator)
            chosen = order_N[batch * size : (batch + 1) * size].to(labels_N.device)
            with torch.enable_grad():
                with compute.autocast():
                    logits_NK = network(images_NCHW[chosen])
                loss = nn.functional.cross_entropy(logits_NK.float(), labels_N[chosen])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()
            losses.append(loss.detach())
        found: NDArray[np.float64] = torch.stack(losses).double().cpu().numpy()
        return found
