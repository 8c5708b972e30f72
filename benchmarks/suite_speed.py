"""Images per second of suites on published sets against a bare torch loop over the same files.

The bare loop is what a person writes: torchvision's ImageFolder and transforms, a DataLoader with a worker for every
core, the network in inference mode, hits counted. Both see the same made-up JPEG pictures, of ImageNet's usual 500 ×
375 pixels (224 × 224 for ImageNet-C), and the same torchvision network; rounds alternate, and the ratio is taken round
by round, so that other work on the machine meets both alike. Processor seconds, of workers too, are compared as well:
they hardly depend on what else the machine does.

    python benchmarks/suite_speed.py
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from common import RESULTS, interval, read, save
from lowland.core.config import ComputeConfig, Config, EvaluateConfig
from lowland.core.device import Compute, resolve
from lowland.core.monitor import Monitor
from lowland.core.threads import available_cores
from lowland.data import DataSet, MemorySplit
from lowland.data.shift import wnids
from lowland.evaluation.suite import EvaluationContext, suite

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 64


def pictures(folder: Path, count: int, classes: int, side: tuple[int, int]) -> None:
    """JPEG files with the spectrum of photographs: noise, smooth at large scales."""
    rng = np.random.default_rng(0)
    for place in range(count):
        home = folder / wnids()[place % classes]
        home.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize(
            side, Image.Resampling.BICUBIC
        )
        noise = rng.normal(0, 8, (side[1], side[0], 3))
        array = np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(array).save(home / f"{place}.JPEG", quality=90)


def data() -> DataSet:
    """What a run on ImageNet tells a suite; its own images are not looked at."""
    none = MemorySplit(torch.zeros(0, 3, 224, 224, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
    return DataSet(
        name="imagenet",
        train=none,
        search=none,
        test=none,
        classes=wnids(),
        mean=MEAN,
        std=STD,
        in_channels=3,
        image_size=224,
        flip=True,
        crop_padding=0,
        source="made up",
        fingerprint="0" * 64,
    )


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of processors, those of worker processes that ended included."""
    began, before = time.perf_counter(), os.times()
    work()
    used = os.times()
    return time.perf_counter() - began, sum(used[:4]) - sum(before[:4])


def bare(folder: Path, network: nn.Module, *, resize: bool, compute: Compute) -> None:
    """A bare loop over a folder."""
    steps = [transforms.Resize(256)] if resize else []
    prepare = transforms.Compose(
        [*steps, transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )
    loader = DataLoader(ImageFolder(folder, prepare), batch_size=BATCH, num_workers=available_cores())
    hits = 0
    with torch.inference_mode():
        for x_BCHW, labels_B in loader:
            logits_BK = network(compute.place(x_BCHW))
            hits += int((logits_BK.argmax(dim=1).cpu() == labels_B).sum())


def judged(name: str, own: dict[str, Any], network: nn.Module, compute: Compute) -> None:
    """A suite, from the listing of its files to its results."""
    config = Config(evaluate=EvaluateConfig(suites=(name,), options={name: own}))
    context = EvaluationContext(
        data=data(),
        compute=compute,
        seed=0,
        batch_size=BATCH,
        monitor=Monitor(),
        part=lambda name, compute: compute(),
        searched=lambda indices: [],
    )
    suite(config, name).run({"1": network}, context)


def compared(loop: Callable[[], None], of: Callable[[], None], images: int, rounds: int) -> dict[str, Any]:
    """Both in turn; the first round warms up and is left out. Ratios above 1: the suite is faster."""
    times = [(timed(loop), timed(of)) for _ in range(rounds + 1)][1:]
    clock, processor = ([first[place] / second[place] for first, second in times] for place in (0, 1))
    return {
        "images": images,
        "bare_images_per_second": interval([images / first[0] for first, _ in times]),
        "suite_images_per_second": interval([images / second[0] for _, second in times]),
        "ratio": interval(clock) | {"median": float(np.median(clock))},
        "processor_ratio": interval(processor) | {"median": float(np.median(processor))},
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--network", default="mobilenet_v3_small", help="of torchvision, with random weights")
    parser.add_argument("--out", type=Path, default=RESULTS / "suite_speed.json")
    arguments = parser.parse_args()
    compute = resolve(ComputeConfig(precision="fp32", threads=available_cores()))
    network = compute.prepare(torchvision.models.get_model(arguments.network, weights=None)).eval()
    results = read(arguments.out) | {"network": arguments.network, "cores": available_cores(), "batch": BATCH}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        pictures(root / "v2", arguments.images, 32, (500, 375))
        pictures(root / "c" / "fog" / "1", arguments.images, 32, (224, 224))
        for name, folder, own, resize in (
            ("imagenet-v2", root / "v2", {"folder": str(root / "v2")}, True),
            (
                "imagenet-c",
                root / "c" / "fog" / "1",
                {"folder": str(root / "c"), "names": ["fog"], "severities": [1]},
                False,
            ),
        ):
            results[name] = compared(
                lambda folder=folder, resize=resize: bare(folder, network, resize=resize, compute=compute),
                lambda name=name, own=own: judged(name, own, network, compute),
                arguments.images,
                arguments.rounds,
            )
            print(name, results[name])
            save(arguments.out, results, compute)


if __name__ == "__main__":
    main()
