"""Small release files in the layout of NAS-Bench-201 and NATS-Bench, with made-up accuracies."""

from __future__ import annotations

import bz2
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

ARCHS = [
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|",
    "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|",  # computes the same as the one before
    "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|",  # and this, but not by the published rule
    "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|",
]
SETS = {"cifar10-valid": ("x-valid", "ori-test"), "cifar10": ("ori-test",), "cifar100": ("x-valid", "x-test")}
SEEDS = ((777, 888, 999), (777,), (888, 777), (777, 888), ())
"""Of every architecture at 200 epochs; one is not trained at all."""


def accuracy(index: int, networks: str, seed: int, images: str, epochs: int) -> float:
    """A number that differs with everything it depends on."""
    return 50 + 5 * index + len(networks) / 10 + seed / 1000 + len(images) / 100 + epochs / 1000


def result(index: int, networks: str, seed: int, epochs: int) -> dict[str, Any]:
    """One training: the state of the benchmark's `ResultsCount`."""
    ends = {
        f"{images}@{epochs - 1}": accuracy(index, networks, seed, images, epochs) for images in SETS.get(networks, ())
    }
    return {
        "name": "infer.tiny",
        "net_state_dict": None,
        "train_acc1es": {epoch: np.float64(epoch) for epoch in range(2)},
        "train_times": OrderedDict({0: 1.5}),
        "arch_config": {"channel": 16, "num_cells": 5, "arch_str": ARCHS[index], "class_num": 10},
        "params": 0.1 + 0.000001 * index,
        "flop": np.float32(15.5) if index == 0 else 20.25 + index,
        "seed": seed,
        "epochs": epochs,
        "latency": [0.01, np.float64(0.02)],
        "eval_names": list(SETS[networks]),
        "eval_acc1es": {f"{images}@0": 1.0 for images in SETS[networks]} | ends,
        "eval_times": {},
        "eval_losses": {"x-valid@0": np.array([1.0, 2.0])},
    }


def results(index: int, epochs: int, seeds: tuple[int, ...]) -> dict[str, Any]:
    """One architecture at one training length: the state of the benchmark's `ArchResults`."""
    trained = {networks: list(seeds) for networks in SETS} if seeds else {}
    return {
        "arch_index": index,
        "arch_str": ARCHS[index],
        "all_results": {
            (networks, seed): result(index, networks, seed, epochs)
            for networks, each in trained.items()
            for seed in each
        },
        "dataset_seed": trained,
        "clear_net_done": True,
    }


def architecture(index: int, names: tuple[str, str] = ("12", "200")) -> dict[str, Any]:
    """What a release says of one architecture; `names` of the two training lengths."""
    short, long = names
    return OrderedDict({short: results(index, 12, SEEDS[index][:1]), long: results(index, 200, SEEDS[index])})


def release(names: tuple[str, str] = ("12", "200")) -> dict[str, Any]:
    """A whole release."""
    return {
        "meta_archs": list(ARCHS),
        "total_archs": len(ARCHS),
        "arch2infos": {index: architecture(index, names) for index in range(len(ARCHS))},
        "evaluated_indexes": set(range(len(ARCHS))),
    }


def write_bz2(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(bz2.compress(pickle.dumps(content, protocol=protocol)))
    return path


def nas_bench_201(folder: Path, *, old: bool) -> Path:
    """`NAS-Bench-201-v1_1-096897.pth`, in the form of `torch.save` of then or of now."""
    path = folder / "NAS-Bench-201-v1_1-096897.pth"
    torch.save(release(("less", "full")), path, _use_new_zipfile_serialization=not old)
    return path


def nats_bench(folder: Path) -> Path:
    """`NATS-tss-v1_0-3ffb9.pickle.pbz2`."""
    return write_bz2(folder / "NATS-tss-v1_0-3ffb9.pickle.pbz2", release())


def nats_bench_simple(folder: Path) -> Path:
    """The folder `NATS-tss-v1_0-3ffb9-simple`; one architecture has no file, one a short name."""
    simple = folder / "NATS-tss-v1_0-3ffb9-simple"
    simple.mkdir()
    write_bz2(simple / "meta.pickle.pbz2", {"meta_archs": list(ARCHS), "total_archs": len(ARCHS)})
    for index in range(len(ARCHS) - 1):
        write_bz2(simple / f"{index if index == 2 else f'{index:06d}'}.pickle.pbz2", architecture(index))
    return simple
