"""What sampling paths costs: supernet training images/s against two plain loops, in one run on one machine.

- `fixed`: a bare PyTorch loop over one standalone network whose MACs are the mean of the sampled paths', on the same
  device, precision, memory format, batch and data already in memory. Ratio supernet / fixed: 1 means sampling is free.
  Networks of equal MACs differ in speed (pooling has none but takes time), so every round takes another one.
- `published`: the public loop's settings: fp32, NCHW, a worker DataLoader with per-image augmentation, gradients
  zero-filled so that every operation is stepped. Ratio supernet / published: the speed-up of this implementation.

Rounds alternate between the three, so that drift of the machine hits all alike; the ratio is taken within a round.

    python benchmarks/supernet_throughput.py
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import nn
from torchvision.transforms import v2

from common import RESULTS, save
from lowland import spaces
from lowland.core.config import Config
from lowland.core.device import Compute, resolve
from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.data import DataSet, load
from lowland.spaces import Supernet
from lowland.training import supernet as supernet_training
from lowland.training.loop import fit
from lowland.workflow import presets


def mean_macs_genotypes(config: Config, data: DataSet, number: int) -> tuple[list[Genotype], float]:
    """Genotypes whose MACs are nearest to the mean over the paths that training samples."""
    space, shape = spaces.get(config.space), supernet_training.shape(config, data)
    sampled = [space.sample_path(numpy_rng(0, "throughput", i), 1, per_cell=True) for i in range(2000)]
    macs = {genotype: space.cost(genotype, shape).macs for (genotype,) in sampled}
    mean = float(np.mean([macs[genotype] for (genotype,) in sampled]))
    order = sorted(macs, key=lambda genotype: (abs(macs[genotype] - mean), str(genotype)))
    # Those with exactly the nearest MACs are many; a seeded choice, since their order by name is no random sample.
    near = [genotype for genotype in order if abs(macs[genotype] - mean) <= 0.02 * mean]
    return [near[int(i)] for i in numpy_rng(0, "throughput", "choice").permutation(len(near))[:number]], mean


def supernet_round(config: Config, data: DataSet, compute: Compute, supernet: Supernet) -> float:
    return fit(supernet_training.job(config, data, supernet, compute)).images_per_second


def fixed_round(config: Config, data: DataSet, compute: Compute, network: nn.Module) -> float:
    """A bare loop: same augmentation budget left out in neither, same optimiser, nothing of lowland's training."""
    recipe = config.supernet
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.025, momentum=recipe.momentum, weight_decay=recipe.weight_decay, foreach=True
    )
    images = data.train.images(torch.arange(len(data.train)))
    labels = data.train.labels_N
    padding, size, count = data.crop_padding, data.image_size, 0
    began = time.perf_counter()
    for _ in range(recipe.epochs):
        order = torch.randperm(len(images))
        for at in range(0, len(images) - recipe.batch_size + 1, recipe.batch_size):
            chosen = order[at : at + recipe.batch_size]
            x = nn.functional.pad(images[chosen], [padding] * 4)
            top, left = (int(value) for value in torch.randint(2 * padding + 1, (2,)))
            x = x[:, :, top : top + size, left : left + size]
            x = compute.place(data.normalise(x.flip(3) if torch.rand(()) < 0.5 else x))
            with compute.autocast():
                logits = network(x)
            loss = nn.functional.cross_entropy(logits.float(), labels[chosen])
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
            optimizer.step()
            optimizer.zero_grad()
            count += len(chosen)
    return count / (time.perf_counter() - began)


class Published(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Images as the public loop sees them: one at a time, through PIL-style transforms, in a worker process."""

    def __init__(self, data: DataSet) -> None:
        self.images = data.train.images(torch.arange(len(data.train)))
        self.labels = data.train.labels_N.tolist()
        self.transform = v2.Compose(
            [
                v2.RandomCrop(data.image_size, padding=data.crop_padding),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(data.mean, data.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def published_round(config: Config, data: DataSet, supernet: Supernet) -> float:
    recipe, space = config.supernet, spaces.get(config.space)
    loader = torch.utils.data.DataLoader(
        Published(data), batch_size=recipe.batch_size, shuffle=True, drop_last=True, num_workers=2
    )
    optimizer = torch.optim.SGD(
        supernet.parameters(), lr=0.025, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    count, step = 0, 0
    began = time.perf_counter()
    for _ in range(recipe.epochs):
        for x, labels in loader:
            path = space.sample_path(numpy_rng(1, "published", step), supernet.num_cells, per_cell=False)
            optimizer.zero_grad(set_to_none=False)
            loss = nn.functional.cross_entropy(supernet(x, path), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(supernet.parameters(), recipe.clip)
            optimizer.step()
            count, step = count + len(labels), step + 1
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    config = presets.assemble({"space": arguments.space, "supernet": {"epochs": arguments.epochs}})
    compute = resolve(config.compute)
    data = load(config.data, seed=0, device=compute.device)
    space = spaces.get(config.space)
    shape = supernet_training.shape(config, data)
    genotypes, mean = mean_macs_genotypes(config, data, arguments.rounds)
    rounds: list[dict[str, float]] = []
    for index in range(arguments.rounds + 1):
        genotype = genotypes[index - 1]
        measured = {
            "supernet": supernet_round(config, data, compute, compute.prepare(supernet_training.initial(config, data))),
            "fixed": fixed_round(config, data, compute, compute.prepare(space.network(genotype, shape))),
            "published": published_round(config, data, supernet_training.initial(config, data)),
        }
        print(measured, flush=True)
        if index:  # the first round warms up kernels and caches
            rounds.append(measured)
    over_fixed = [r["supernet"] / r["fixed"] for r in rounds]
    over_published = [r["supernet"] / r["published"] for r in rounds]
    results = {
        "benchmark": "supernet_throughput",
        "settings": {"space": config.space, "data": config.data.name, "batch_size": config.supernet.batch_size},
        "fixed_genotypes": [space.format(genotype) for genotype in genotypes],
        "mean_macs": mean,
        "images_per_second": rounds,
        "supernet_over_fixed": {"median": float(np.median(over_fixed)), "rounds": over_fixed},
        "supernet_over_published": {"median": float(np.median(over_published)), "rounds": over_published},
    }
    save(RESULTS / f"supernet_throughput_{config.space}.json", results, compute)
    print(results["supernet_over_fixed"], results["supernet_over_published"])


if __name__ == "__main__":
    main()
