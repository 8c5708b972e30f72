"""How weights are learned: settings that supernet, fine-tuning and retraining share."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lowland.core.settings import NonNegative, Positive, Probability, Rate, Section


class OptimizationConfig(Section):
    """How weights are learned; shared by the supernet and by retraining."""

    epochs: Positive = Field(30, description="passes over the training images")
    batch_size: Annotated[int, Field(ge=2)] = Field(64, description="images per training step")
    optimizer: Literal[
        "sgd", "adamw", "muon", "sgd+sam", "adamw+sam", "muon+sam", "sgd+asam", "adamw+asam", "muon+asam"
    ] = Field(
        "sgd",
        description="the optimiser (muon: orthogonal steps for kernels of convolutions, SGD for the rest); +sam, "
        "+asam: sharpness-aware steps, plain or adaptive element-wise",
    )
    muon_learning_rate: Rate | None = Field(
        None, description="highest of kernels with muon, whose steps have one size; default: half of learning_rate"
    )
    muon_weight_decay: NonNegative = Field(0.1, description="of kernels with muon, decoupled")
    sam_rho: Rate | None = Field(None, description="radius of sharpness-aware steps; default: 0.05 sam, 2.0 asam")
    learning_rate: Rate = Field(0.025, description="highest learning rate, reached after warm-up")
    final_learning_rate: NonNegative = Field(1e-3, description="learning rate of the last step")
    schedule: Literal["cosine", "linear", "constant", "wsd"] = Field(
        "cosine", description="of the learning rate after warm-up; wsd: constant, then linear over the last decay_share"
    )
    decay_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.2, description="schedule=wsd: share of all steps, at the end, in which the learning rate falls"
    )
    warmup_epochs: NonNegative = Field(0.0, description="epochs in which the learning rate rises linearly from 0")
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.9, description="of SGD and Muon; AdamW has its own")
    nesterov: bool = Field(False, description="Nesterov's momentum (SGD, Muon)")
    weight_decay: NonNegative = Field(3e-4, description="factor of the weights in the update; AdamW: decoupled")
    clip: NonNegative = Field(5.0, description="largest gradient norm; 0: no clipping")
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0, description="share of each label's weight that is spread over all classes"
    )
    cutout: Annotated[int, Field(ge=0)] = Field(0, description="side of the erased square, pixels; 0: none")
    augment: Literal["none", "trivial", "rand", "augmix"] = Field(
        "none",
        description="operations on training images after flip and crop: TrivialAugment, RandAugment or AugMix",
    )
    augment_operations: Literal["disjoint", "all"] = Field(
        "disjoint",
        description="what augment draws from: all operations, or without brightness, contrast, colour and sharpness, "
        "which corruptions of test images also change",
    )
    augment_strength: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="share of the published range of levels that augment uses"
    )
    resized_crop: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="least share of an image's area that is cropped and resized, in place of padded crops; 1: off"
    )
    erasing: Probability = Field(0.0, description="probability of erasing a random rectangle of an image")
    mixup: NonNegative = Field(0.0, description="α of mixup; with cutmix too, each batch takes one of them; 0: none")
    cutmix: NonNegative = Field(0.0, description="α of CutMix; 0: none")
    mixed_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="mixup, cutmix: share of all steps, from the first, in which images are mixed"
    )
    class_balance: Literal["none", "loss", "sampling"] = Field(
        "none",
        description="unequal classes count alike: by weights in the loss, or by how often their images are drawn",
    )
    zero_grad: Literal["none", "zeros"] = Field(
        "none", description="operations not sampled in a step: untouched, or decayed and moved as in torch < 2"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sam_rho is not None and "+" not in self.optimizer:
            raise ValueError(f"sam_rho needs a sharpness-aware optimizer such as {self.optimizer}+sam")
        for name in ("muon_learning_rate", "muon_weight_decay"):
            if not self.optimizer.startswith("muon") and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} needs optimizer=muon, and it is {self.optimizer}")
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov needs momentum above 0")
        if self.warmup_epochs >= self.epochs > 0:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must be below epochs ({self.epochs})")
        return self

    def identity(self, exclude: Collection[str] = ()) -> dict[str, Any]:
        """What tells two recipes apart: all settings, but of those below only the ones that are not off.

        What was scored or trained before these settings existed keeps its identity.

        Returns:
            Settings by name, as JSON.
        """
        fields, values = type(self).model_fields, self.model_dump(mode="json", exclude=set(exclude))
        return {key: value for key, value in values.items() if key not in _LATER or value != fields[key].default}


_LATER = frozenset(
    {
        "muon_learning_rate",
        "muon_weight_decay",
        "decay_share",
        "augment",
        "augment_operations",
        "augment_strength",
        "resized_crop",
        "erasing",
        "mixup",
        "cutmix",
        "mixed_share",
        "class_balance",
        "consistency",
        "patience",
        "min_steps",
    }
)
"""Settings that format 1 did not have; their defaults are what it did."""


class LongConfig(OptimizationConfig):
    """How weights that a run is for are learned: those of the supernet and of the delivered networks."""

    min_steps: Annotated[int, Field(ge=0)] = Field(
        0, description="fewest training steps: with few images the epochs are raised until there are so many; 0: off"
    )
