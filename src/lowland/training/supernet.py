"""Training the one-shot supernet by uniform path sampling (SPOS, arXiv 1904.00420; recipes of GeNAS, spec §5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowland.config import Config
from lowland.data import DataSet, Split
from lowland.device import Compute
from lowland.seeds import derive, numpy_rng, torch_generator
from lowland.spaces import Path, Shape, Space, Supernet, get
from lowland.training.loop import Job


class RandomLabels(Split):
    """A split whose labels are replaced by fixed uniform random ones (RLNAS, arXiv 2101.11834)."""

    def __init__(self, split: Split, num_classes: int, seed: int) -> None:
        generator = torch_generator(seed, "random labels")
        labels_N = torch.randint(num_classes, (len(split),), generator=generator)
        self.labels_N = labels_N.to(split.labels_N.device)
        self.streamed = split.streamed
        self._split = split

    def images(self, indices: Tensor) -> Tensor:
        """The images of the split underneath."""
        return self._split.images(indices)


def shape(config: Config, data: DataSet) -> Shape:
    """The supernet's size on this data."""
    return Shape(
        in_channels=data.in_channels,
        image_size=data.image_size,
        num_classes=data.num_classes,
        channels=config.supernet.channels,
        cells=config.supernet.cells,
        stem=config.supernet.stem,
    )


def initial(config: Config, data: DataSet) -> Supernet:
    """The supernet before training: a function of the run seed and its shape."""
    torch.manual_seed(derive(config.seed, "supernet", "initial weights"))
    return get(config.space).supernet(shape(config, data))


def sampled_path(space: Space, config: Config, cells: int, step: int) -> Path:
    """The path of one training step, the same on every rank."""
    rng = numpy_rng(config.seed, "supernet", "path", step)
    return space.sample_path(rng, cells, per_cell=config.supernet.path == "per-cell")


def job(config: Config, data: DataSet, supernet: Supernet, compute: Compute) -> Job:
    """The supernet's training, ready for `fit`."""
    space, smoothing = get(config.space), config.supernet.label_smoothing

    def loss(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Tensor:
        path = sampled_path(space, config, supernet.num_cells, step)
        with compute.autocast():
            logits_NK = model(x_NCHW, path)
        return nn.functional.cross_entropy(logits_NK.float(), labels_N, label_smoothing=smoothing)

    split: Split = data.train
    if config.supernet.random_labels:
        split = RandomLabels(split, data.num_classes, config.seed)
    return Job(
        name="supernet",
        title="supernet",
        model=supernet,
        loss=loss,
        recipe=config.supernet,
        data=data,
        split=split,
        seed=config.seed,
        compute=compute,
    )
