"""Which recipe trains a fixed network best in the same time? Accuracy on held-out images, clean and corrupted.

The network is the ResNet of NAS-Bench-201 (16 channels, one cell per stage); it learns from the training split alone
and is judged on the search split, clean and under the fifteen standard corruptions (at some severities, drawn with a
seed that no evaluation of test images uses). Test images take no part: what is chosen here is reported on them by
`recipe_test.py`, on other seeds. Seconds, and those of the processor, which a busy machine
changes less, are of training, judging left out. A stopped study goes on.

    nice -n 5 python benchmarks/recipe_study.py --data embedded --seeds 0 1
    nice -n 5 python benchmarks/recipe_study.py --data cifar10 --seeds 0 --recipes base trivial
    python benchmarks/recipe_study.py --speed
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from common import RESULTS, cifar10_npz, read, save
from lowland.core.config import ComputeConfig, DataConfig, RetrainConfig
from lowland.core.device import Compute, resolve
from lowland.core.seeds import numpy_rng
from lowland.core.settings import merge, section
from lowland.data import CORRUPTIONS, STANDARD, DataSet, MemorySplit, Split, augment, corrupt, load
from lowland.data.augmentation import POLICIES, erased, mixed, resized_crops
from lowland.evaluation.classification import predict
from lowland.spaces import Shape, get
from lowland.training import network
from lowland.training.loop import fit

RESULT = RESULTS / "recipe_study.json"
RESNET = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"
JUDGED, SEVERITIES, CORRUPTION_SEED = 400, (2, 4), 770_077
EPOCHS = {"embedded": 10, "cifar10": 4}

RECIPES: dict[str, dict[str, Any]] = {
    "base": {},
    "trivial": {"augment": "trivial"},
    "trivial-half": {"augment": "trivial", "augment_strength": 0.5},
    "rand": {"augment": "rand"},
    "augmix": {"augment": "augmix"},
    "augmix-js": {"augment": "augmix", "consistency": 12.0, "epochs": 1 / 3},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
    "erasing": {"erasing": 0.25},
    "resized": {"resized_crop": 0.5},
    "smooth0": {"label_smoothing": 0.0},
    "ema.99": {"ema": 0.99},
    "ema.999": {"ema": 0.999},
    "lr.2": {"learning_rate": 0.2, "warmup_epochs": 2.0},
    "lr.05": {"learning_rate": 0.05},
    "wd.001": {"weight_decay": 1e-3},
    "batch128": {"batch_size": 128},
    "batch32": {"batch_size": 32},
    "linear": {"schedule": "linear", "warmup_epochs": 3.0},
    "sam": {"optimizer": "sgd+sam", "sam_rho": 0.05, "epochs": 1 / 2},
    # Overlaps with the corruptions that it is judged by: brightness, contrast, sharpness.
    "trivial-all": {"augment": "trivial", "augment_operations": "all"},
    # Combinations.
    "wsd": {"schedule": "wsd"},
    "wsd+mixup": {"schedule": "wsd", "mixup": 0.2},
    "mixup.7": {"mixup": 0.2, "mixed_share": 0.7},
    "mixup.9": {"mixup": 0.2, "mixed_share": 0.9},
    "mixup.5": {"mixup": 0.2, "mixed_share": 0.5},
    "batch32+lr.05": {"batch_size": 32, "learning_rate": 0.05},
    "smooth0+ema": {"label_smoothing": 0.0, "ema": 0.99},
    "mixup.7+ema": {"mixup": 0.2, "mixed_share": 0.7, "ema": 0.98},
    "augmix+ema": {"augment": "augmix", "ema": 0.99},
    "augmix+mixup": {"augment": "augmix", "mixup": 0.2},
    "mixup.1": {"mixup": 0.1},
    "mixup+ema": {"mixup": 0.2, "ema": 0.99},
    "mixup+lr.05": {"mixup": 0.2, "learning_rate": 0.05},
    "mixup+smooth0": {"mixup": 0.2, "label_smoothing": 0.0},
    "augmix+mixup.1": {"augment": "augmix", "mixup": 0.1},
    "augmix+mixup+smooth0": {"augment": "augmix", "mixup": 0.2, "label_smoothing": 0.0},
    "augmix-half+mixup": {"augment": "augmix", "augment_strength": 0.5, "mixup": 0.2},
    "augmix+mixup+lr.05": {"augment": "augmix", "mixup": 0.2, "learning_rate": 0.05},
    "augmix+mixup+batch32": {"augment": "augmix", "mixup": 0.2, "batch_size": 32},
    "augmix+cutmix": {"augment": "augmix", "cutmix": 1.0},
    "augmix+erasing": {"augment": "augmix", "erasing": 0.25},
    "augmix+smooth0": {"augment": "augmix", "label_smoothing": 0.0},
    "augmix+lr.2": {"augment": "augmix", "learning_rate": 0.2, "warmup_epochs": 2.0},
    "augmix+lr.05": {"augment": "augmix", "learning_rate": 0.05},
}
"""Changes to the default retraining; epochs as a share, where a step costs more."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=tuple(EPOCHS), default="embedded")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--epochs", type=int, help="other than the study's; its runs are kept apart")
    parser.add_argument("--channels", type=int, default=16, help="width; runs of another than 16 are kept apart")
    parser.add_argument("--speed", action="store_true", help="measure augmentation alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    compute = resolve(ComputeConfig(threads=1))
    results = read(RESULT) or {"benchmark": "recipe_study", "network": RESNET, "runs": {}}
    results |= {"corruption_severities": SEVERITIES, "corrupted_images": JUDGED}
    if arguments.speed:
        results["images_per_second"] = speeds()
        save(RESULT, results, compute)
        return
    for seed in arguments.seeds:
        data = load(DataConfig(name=source(arguments.data)), seed=seed, device=compute.device)
        corrupted = corrupted_splits(data)
        for name in arguments.recipes:
            epochs = arguments.epochs or EPOCHS[arguments.data]
            key = f"{arguments.data}/{name}/{seed}" + (f"/{epochs}" if arguments.epochs else "")
            key += f"/{arguments.channels} channels" if arguments.channels != 16 else ""
            if key in results["runs"]:
                continue
            recipe = section(RetrainConfig, {"include_search_split": False} | changed(name, epochs))
            found = trained(recipe, data, data.search, corrupted, compute, seed, channels=arguments.channels)
            results = merge(read(RESULT) or results, {"runs": {key: found}})
            save(RESULT, results, compute)
            print(key, found["clean"], found["corrupted"], found["groups"], found["seconds"], flush=True)


def source(name: str) -> str:
    """What lowland calls the data; CIFAR-10 is written to an .npz file first."""
    if name == "embedded":
        return "fashion-mnist-6k"
    return str(cifar10_npz(Path(tempfile.gettempdir()) / "lowland-benchmarks", 10_000))


def changed(name: str, epochs: int) -> dict[str, Any]:
    """What a name sets, its epochs as many as cost what `epochs` plain ones do."""
    changes = dict(RECIPES[name])
    return changes | {"epochs": round(epochs * changes.get("epochs", 1))}


def corrupted_splits(data: DataSet) -> dict[str, list[MemorySplit]]:
    """By corruption, the first search images (a stratified sample) at each severity."""
    indices = torch.arange(min(JUDGED, len(data.search)))
    images_NCHW, labels_N = data.search.images(indices), data.search.labels_N[indices]
    return {
        name: [MemorySplit(corrupt(images_NCHW, name, s, seed=CORRUPTION_SEED), labels_N) for s in SEVERITIES]
        for name in STANDARD
    }


def trained(
    recipe: RetrainConfig,
    data: DataSet,
    clean: Split,
    corrupted: dict[str, list[MemorySplit]],
    compute: Compute,
    seed: int,
    network_genotype: str = RESNET,
    channels: int = 16,
) -> dict[str, Any]:
    """Train once; percent of `clean` and `corrupted` images named rightly."""
    genotype = get("nasbench201").parse(network_genotype)
    shape = Shape(
        in_channels=data.in_channels,
        image_size=data.image_size,
        num_classes=data.num_classes,
        channels=channels,
        cells=1,
    )
    model = compute.prepare(network.build(genotype, shape, recipe, seed))
    began = time.process_time()
    history = fit(network.job(genotype, model, recipe, data, compute, seed))
    processor = time.process_time() - began

    def accuracy(split: Split) -> float:
        logits_NK, labels_N = predict(model, split, data.normalise, compute, 250)
        return 100 * float((logits_NK.argmax(1) == labels_N).double().mean())

    each = {name: sum(map(accuracy, splits)) / len(splits) for name, splits in corrupted.items()}
    groups: dict[str, list[float]] = {}
    for name, value in each.items():
        groups.setdefault(CORRUPTIONS[name].group, []).append(value)
    return {
        "clean": round(accuracy(clean), 2),
        "corrupted": round(sum(each.values()) / len(each), 2),
        "groups": {group: round(sum(values) / len(values), 1) for group, values in groups.items()},
        "seconds": round(history.seconds, 1),
        "processor_seconds": round(processor, 1),
        "epochs": recipe.epochs,
        "recipe": recipe.model_dump(mode="json", exclude_defaults=True),
    }


def speeds() -> dict[str, dict[str, int]]:
    """Images per processor second of each augmentation alone, batches of 64 on one thread."""
    return {f"{channels}x{side}x{side}": speed(channels, side) for channels, side in ((1, 28), (3, 32), (3, 64))}


def speed(channels: int, side: int) -> dict[str, int]:
    """Images per processor second of each augmentation alone, on images of one size."""
    generator, rng = torch.Generator().manual_seed(0), numpy_rng(0)
    x_NCHW = torch.randint(256, (64, channels, side, side), dtype=torch.uint8, generator=generator)
    labels_N, fill = torch.randint(10, (64,), generator=generator), (128,) * channels
    work: dict[str, Callable[[], object]] = {
        "flip and crop": lambda: augment(x_NCHW, generator, flip=True, padding=4),
        "resized crop": lambda: resized_crops(x_NCHW, generator, smallest=0.5),
        "erasing": lambda: erased(x_NCHW, generator, probability=0.25, fill=fill),
        "mixup": lambda: mixed(x_NCHW.float(), labels_N, 10, rng, mixup=0.2),
        "cutmix": lambda: mixed(x_NCHW.float(), labels_N, 10, rng, cutmix=1.0),
    }
    work |= {name: partial(policy, x_NCHW, generator) for name, policy in POLICIES.items()}
    return {name: _rate(call) for name, call in work.items()}


def _rate(call: Callable[[], object], batch: int = 64, least_seconds: float = 0.5) -> int:
    call()
    began, count = time.process_time(), 0
    while time.process_time() - began < least_seconds:
        call()
        count += batch
    return round(count / (time.process_time() - began))


if __name__ == "__main__":
    main()
