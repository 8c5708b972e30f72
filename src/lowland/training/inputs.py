"""What a training step sees: which images, in which order, how augmented and mixed; a function of (seed, job, step).

Tensor names: N images of a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lowland.core.recipe import OptimizationConfig
from lowland.core.seeds import numpy_rng, torch_generator
from lowland.data import DataSet, Split, augment, balanced_order, batches, order
from lowland.data.augmentation import POLICIES, erased, mixed, resized_crops
from lowland.training.parallel import World


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The training images of a job, step by step.

    Attributes:
        name: Of the job; part of every seed.
        recipe: Says how images are augmented and mixed.
        data: Gives normalisation and which flips and crops make sense.
        split: The images to learn from.
        seed: Run seed.
        views: Images shown for each image of a batch: 1, or 3, which are the image as flipped and cropped and two
            AugMix views of it.
    """

    name: str
    recipe: OptimizationConfig
    data: DataSet
    split: Split
    seed: int
    views: int = 1

    def steps_per_epoch(self) -> int:
        """Whole global batches in the split, at least one."""
        return max(1, len(self.split) // self.recipe.batch_size)

    def mixed_steps(self) -> int:
        """From this step on images are not mixed any more."""
        return round(self.recipe.mixed_share * self.recipe.epochs * self.steps_per_epoch())

    def steps(self, start: int, world: World) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Everything from step `start` to the last of the recipe.

        Yields:
            The step; normalised images (N, C, H, W), with several views (views·N, C, H, W), one view after another;
            and labels, int64 (N,), or where images are mixed (the first `mixed_share` of all steps) shares of classes,
            float32 (N, K).
        """
        per_epoch, recipe = self.steps_per_epoch(), self.recipe
        for epoch in range(start // per_epoch, recipe.epochs):
            first = start % per_epoch if epoch == start // per_epoch else 0
            indices = self._order(epoch)[: per_epoch * recipe.batch_size]
            step = epoch * per_epoch + first
            for x_NCHW, labels_N in batches(
                self.split, recipe.batch_size, indices, start=first, rank=world.rank, world=world.size
            ):
                x_NCHW = self.data.normalise(self._augmented(x_NCHW, step, world))
                yield step, *self._mixed(x_NCHW, labels_N, step, world)
                step += 1

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The images and labels of one step alone, as `steps` gives them in one process; any step ≥ 0 has some."""
        size = min(self.recipe.batch_size, len(self.split))
        epoch, place = divmod(step, self.steps_per_epoch())
        chosen = self._order(epoch)[place * size : (place + 1) * size]
        x_NCHW = self.data.normalise(self._augmented(self.split.images(chosen), step, World()))
        labels_N = self.split.labels_N[chosen.to(self.split.device)]
        return self._mixed(x_NCHW, labels_N, step, World())

    def _order(self, epoch: int) -> Tensor:
        keys = (self.name, "order", epoch)
        if self.recipe.class_balance == "sampling":
            return balanced_order(self.split.labels_N.cpu(), seed=self.seed, keys=keys)
        return order(len(self.split), seed=self.seed, keys=keys)

    def _augmented(self, x_NCHW: Tensor, step: int, world: World) -> Tensor:
        recipe, data = self.recipe, self.data
        # Erased squares become zero after normalisation, as in DARTS.
        grey = tuple(round(255 * mean) for mean in data.mean)
        generator = torch_generator(self.seed, self.name, "augment", step, world.rank)
        resized = recipe.resized_crop < 1
        padding = 0 if resized else data.crop_padding
        # Cutout comes last, but draws with flips and crops where nothing comes between them.
        cutout = 0 if resized or recipe.augment != "none" else recipe.cutout
        x_NCHW = augment(x_NCHW, generator, flip=data.flip, padding=padding, cutout=cutout, fill=grey)
        if resized:
            x_NCHW = resized_crops(x_NCHW, generator, smallest=recipe.resized_crop)
        if recipe.augment != "none":
            policy, which, strength = POLICIES[recipe.augment], recipe.augment_operations, recipe.augment_strength
            if self.views == 1:
                x_NCHW = policy(x_NCHW, generator, which=which, strength=strength)
            else:
                others = [policy(x_NCHW, generator, which=which, strength=strength) for _ in range(self.views - 1)]
                x_NCHW = torch.cat([x_NCHW, *others])
        if recipe.cutout > cutout:
            x_NCHW = augment(x_NCHW, generator, flip=False, padding=0, cutout=recipe.cutout, fill=grey)
        if recipe.erasing:
            x_NCHW = erased(x_NCHW, generator, probability=recipe.erasing, fill=grey)
        return x_NCHW

    def _mixed(self, x_NCHW: Tensor, labels_N: Tensor, step: int, world: World) -> tuple[Tensor, Tensor]:
        recipe = self.recipe
        if (not recipe.mixup and not recipe.cutmix) or step >= self.mixed_steps():
            return x_NCHW, labels_N
        rng = numpy_rng(self.seed, self.name, "mix", step, world.rank)
        return mixed(x_NCHW, labels_N, self.data.num_classes, rng, mixup=recipe.mixup, cutmix=recipe.cutmix)
