"""Training a found network from scratch ("retraining")."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowland.config import RetrainConfig
from lowland.data import DataSet, concatenate
from lowland.device import Compute
from lowland.genotype import Genotype
from lowland.seeds import derive
from lowland.spaces import NetworkOptions, Shape, get
from lowland.training.loop import Job


def build(genotype: Genotype, shape: Shape, recipe: RetrainConfig, seed: int) -> nn.Module:
    """The untrained standalone network; its initial weights are a function of the run seed and the genotype."""
    torch.manual_seed(derive(seed, "network", "initial weights", genotype))
    options = NetworkOptions(auxiliary=recipe.auxiliary_weight > 0, drop_path=recipe.drop_path)
    return get(genotype.space).network(genotype, shape, options)


def job(
    genotype: Genotype, network: nn.Module, recipe: RetrainConfig, data: DataSet, compute: Compute, seed: int
) -> Job:
    """The network's training, ready for `fit`. Test images take no part."""
    split = concatenate(data.train, data.search) if recipe.include_search_split else data.train
    steps = recipe.epochs * max(1, len(split) // recipe.batch_size)

    def loss(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Tensor:
        if recipe.drop_path:
            model.drop_path = recipe.drop_path * step / max(1, steps - 1)  # type: ignore[assignment]
        with compute.autocast():
            output = model(x_NCHW)
        heads = output if isinstance(output, tuple) else (output,)
        losses = [
            nn.functional.cross_entropy(logits_NK.float(), labels_N, label_smoothing=recipe.label_smoothing)
            for logits_NK in heads
        ]
        return losses[0] + recipe.auxiliary_weight * losses[1] if len(losses) > 1 else losses[0]

    return Job(
        title="train",
        name="train-" + "-".join(map(str, genotype.genes)),
        model=network,
        loss=loss,
        recipe=recipe,
        data=data,
        split=split,
        seed=seed,
        compute=compute,
        ema=recipe.ema,
    )
