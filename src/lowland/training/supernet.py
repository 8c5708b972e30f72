"""Training the one-shot supernet by path sampling (SPOS, arXiv 1904.00420; recipes of GeNAS, RLNAS, BigNAS and OFA)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lowland.core.config import Config
from lowland.core.device import Compute
from lowland.core.seeds import derive, torch_generator
from lowland.data import DataSet, Split
from lowland.spaces import Shape, Supernet, SupernetPath, get
from lowland.spaces.mobilenetv3.checkpoint import load_ofa
from lowland.training.loop import Job
from lowland.training.objective import objective
from lowland.training.optimization import lengthened, steps_per_epoch
from lowland.training.paths import sorts_channels, step_paths
from lowland.training.shape import on
from lowland.training.step import Losses


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
    return on(data, config.supernet.channels, config.supernet.cells, config.supernet.stem)


def built(config: Config, data: DataSet) -> Supernet:
    """A supernet of random weights: a function of the run seed and its shape."""
    torch.manual_seed(derive(config.seed, "supernet", "initial weights"))
    return get(config.space).supernet(shape(config, data))


def initial(config: Config, data: DataSet) -> Supernet:
    """The supernet before training: of random weights, or of those in the file `supernet.pretrained`."""
    supernet = built(config, data)
    if config.supernet.pretrained is not None:
        load_ofa(supernet, config.supernet.pretrained)
    return supernet


def job(config: Config, data: DataSet, supernet: Supernet, compute: Compute) -> Job:
    """The supernet's training, ready for `fit`.

    A step minimises the mean loss of its paths (`paths.step_paths`), so that the learning rate means the same for any
    number of them. A path's loss is the cross-entropy with true labels; under the sandwich rule this trains the
    largest network, and the others learn by in-place distillation (BigNAS, arXiv 2003.11142, §3.1), with p the softmax
    of the largest's outputs in the same step, held fixed: λ·CE(p, ·) + (1 − λ)·CE(labels, ·), λ = `distillation`.

    Returns:
        Model, optimiser, schedule and loss of the training.
    """
    space, split = get(config.space), data.train
    settings = lengthened(config.supernet, len(split))
    if settings.random_labels:
        split = RandomLabels(split, data.num_classes, config.seed)
    steps = settings.epochs * steps_per_epoch(settings, len(split))
    truth = objective(settings, split.labels_N, data.num_classes)

    def logits(model: nn.Module, x_NCHW: Tensor, path: SupernetPath) -> Tensor:
        with compute.autocast():
            logits_NK: Tensor = model(x_NCHW, path)
        return logits_NK.float()

    def several(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, found: list[SupernetPath]) -> Iterator[Tensor]:
        for path in found:
            yield truth(logits(model, x_NCHW, path), labels_N) / len(found)

    def distilled(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, found: list[SupernetPath]) -> Iterator[Tensor]:
        share = settings.distillation
        largest_NK = logits(model, x_NCHW, found[0])
        soft_NK = largest_NK.detach().softmax(1)
        yield truth(largest_NK, labels_N) / len(found)
        for path in found[1:]:
            logits_NK = logits(model, x_NCHW, path)
            loss = share * nn.functional.cross_entropy(logits_NK, soft_NK)
            if share < 1:
                loss = loss + (1 - share) * truth(logits_NK, labels_N)
            yield loss / len(found)

    def loss(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Losses:
        found = step_paths(space, config, supernet.num_cells, step, steps)
        if len(found) == 1:
            return truth(logits(model, x_NCHW, found[0]), labels_N)
        return (distilled if settings.path == "sandwich" else several)(model, x_NCHW, labels_N, found)

    def rearrange(step: int) -> bool:
        if not sorts_channels(settings, step, steps):
            return False
        supernet.sort_channels()
        return True

    return Job(
        name="supernet",
        title="supernet",
        model=supernet,
        loss=loss,
        recipe=settings,
        data=data,
        split=split,
        seed=config.seed,
        compute=compute,
        ema=settings.ema,
        rearrange=rearrange,
    )
