"""Training a found network ("retraining"), from scratch or from the supernet's weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lowland.core.config import RetrainConfig
from lowland.core.device import Compute
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.seeds import derive
from lowland.data import DataSet, concatenate
from lowland.spaces import NetworkOptions, Shape, Supernet, get, inherit
from lowland.training.loop import Job
from lowland.training.objective import divergence, objective
from lowland.training.optimization import lengthened, steps_per_epoch

VIEWS = 3
"""Of an image whose predictions are to agree: as it is, and two AugMix views."""


def build(genotype: Genotype, shape: Shape, recipe: RetrainConfig, seed: int) -> nn.Module:
    """The untrained standalone network; its initial weights are a function of the run seed and the genotype."""
    torch.manual_seed(derive(seed, "network", "initial weights", genotype))
    options = NetworkOptions(auxiliary=recipe.auxiliary_weight > 0, drop_path=recipe.drop_path)
    return get(genotype.space).network(genotype, shape, options)


def extracted(supernet: Supernet, genotype: Genotype) -> nn.Module:
    """The standalone network of one path, built `like_supernet`, with a copy of the supernet's weights and buffers."""
    network = get(genotype.space).network(genotype, supernet.shape, NetworkOptions(like_supernet=True))
    inherit(supernet, network, genotype)
    return network


def inherit_from(supernet: Supernet, network: nn.Module, genotype: Genotype) -> None:
    """Give a standalone network of the supernet's shape all weights and buffers that the supernet has for it.

    What only the standalone network has, such as the affine parameters of batch norms in NAS-Bench-201's cells or an
    auxiliary head, stays as initialised.
    """
    source = supernet.extract(genotype)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name in source:
                value.copy_(source[name])


def check_inheritance(recipe: RetrainConfig, width: int | str, network: Shape, supernet: Shape) -> None:
    """Refuse to inherit weights for a network that is not of the supernet's size.

    Args:
        recipe: Says whether weights are inherited.
        width: `network.channels` as set; `fit` has no one size.
        network: Size of a delivered network.
        supernet: Size of the supernet.

    Raises:
        ConfigError: `retrain.inherit` is asked for and the two sizes differ.
    """
    if not recipe.inherit:
        return
    if width == "fit":
        raise ConfigError(
            f"retrain.inherit needs a network of the supernet's size: set network.channels={supernet.channels}, not fit"
        )
    for name in ("channels", "cells", "stem"):
        found, needed = getattr(network, name), getattr(supernet, name)
        if found != needed:
            raise ConfigError(
                f"retrain.inherit needs a network of the supernet's size, but network.{name}={found} and "
                f"supernet.{name}={needed}; set them alike"
            )
    if network.growth != supernet.growth:
        raise ConfigError(
            f"retrain.inherit needs a network of the supernet's size, but network.growth={network.growth:g} and a "
            f"supernet's is {supernet.growth:g}; leave network.growth out"
        )
    if network.resolution != supernet.resolution:
        raise ConfigError(
            f"retrain.inherit needs the supernet's resolution, that of the images, but network.resolution="
            f"{network.resolution:g}; leave it out"
        )
    if network.norm != supernet.norm:
        raise ConfigError(
            f"retrain.inherit needs the supernet's batch norm, but network.norm={network.norm}; set it to batch"
        )


def job(
    genotype: Genotype, network: nn.Module, recipe: RetrainConfig, data: DataSet, compute: Compute, seed: int
) -> Job:
    """The network's training, ready for `fit`. Test images take no part."""
    split = concatenate(data.train, data.search) if recipe.include_search_split else data.train
    recipe = lengthened(recipe, len(split))
    steps = recipe.epochs * steps_per_epoch(recipe, len(split))
    truth = objective(recipe, split.labels_N, data.num_classes)

    def loss(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Tensor:
        if recipe.drop_path:
            model.drop_path = recipe.drop_path * step / max(1, steps - 1)  # type: ignore[assignment]
        with compute.autocast():
            output = model(x_NCHW)
        heads = output if isinstance(output, tuple) else (output,)
        losses = [_of_views(logits_NK.float(), labels_N, truth, recipe.consistency) for logits_NK in heads]
        return losses[0] + recipe.auxiliary_weight * losses[1] if len(losses) > 1 else losses[0]

    return Job(
        title="train",
        name=job_name(genotype),
        model=network,
        loss=loss,
        recipe=recipe,
        data=data,
        split=split,
        seed=seed,
        compute=compute,
        ema=recipe.ema,
        views=VIEWS if recipe.consistency else 1,
        held_out=data.search if recipe.patience else None,
        patience=recipe.patience,
    )


def job_name(genotype: Genotype) -> str:
    """The name of a network's training, which decides its randomness."""
    return "train-" + "-".join(map(str, genotype.genes))


def total_steps(recipe: RetrainConfig, data: DataSet) -> int:
    """Steps of `job`, unless its patience ends it sooner."""
    images = len(data.train) + (len(data.search) if recipe.include_search_split else 0)
    return lengthened(recipe, images).epochs * steps_per_epoch(recipe, images)


def _of_views(
    logits: Tensor, labels_N: Tensor, truth: Callable[[Tensor, Tensor], Tensor], consistency: float
) -> Tensor:
    """Loss of the first view, and λ times the divergence of all (AugMix, arXiv:1912.02781, Section 3)."""
    if not consistency:
        return truth(logits, labels_N)
    views = logits.chunk(VIEWS)
    return truth(views[0], labels_N) + consistency * divergence(*views)
