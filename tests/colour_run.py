"""A tiny run whose network sees colour pictures and has the stem of large ones, as dense tasks need it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import lowland


def colour_run(path: Path) -> Path:
    """Train a published genotype on made-up colour pictures of 32 pixels; nothing is judged yet."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    images = rng.integers(0, 60, (120, 32, 32, 3)) + 120 * labels[:, None, None, None]
    data = path.parent / "colour.npz"
    data.parent.mkdir(parents=True, exist_ok=True)
    np.savez(data, x_train=images.astype(np.uint8), y_train=labels)
    lowland.run(
        data,
        path,
        space="darts",
        progress="none",
        last="train",
        set={
            "search.searcher": "given",
            "search.options.given.genotypes": ["published:genas-flatness-c100"],
            "network.channels": 4,
            "network.cells": 3,
            "network.stem": "imagenet",
            "retrain.epochs": 1,
            "retrain.min_steps": 0,
            "retrain.batch_size": 32,
            "retrain.warmup_epochs": 0,
            "evaluate.suites": ["classification"],
            "compute.threads": 1,
            "compute.precision": "fp32",
        },
    )
    return path
