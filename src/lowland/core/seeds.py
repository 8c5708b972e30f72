"""Randomness: every draw is a function of (run seed, purpose, further keys), so nothing depends on order or stops."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *keys: object) -> int:
    """Derive a seed from the run seed and any keys (purpose, genotype, step, index).

    BLAKE2b over the decimal and textual forms of the keys, so it is the same on every machine and Python version.

    Returns:
        A whole number from 0 to 2⁶³ − 1.
    """
    text = "\x1f".join([str(int(seed)), *map(str, keys)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def numpy_rng(seed: int, *keys: object) -> np.random.Generator:
    """A NumPy generator for one purpose."""
    return np.random.default_rng(derive(seed, *keys))


def torch_generator(seed: int, *keys: object) -> torch.Generator:
    """A CPU torch generator for one purpose. Draw on the CPU and move, so that results do not depend on the device."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *keys))


def seed_global(seed: int, device: torch.device) -> None:
    """Seed torch's global generators, from which dropout draws on `device`.

    `torch.manual_seed` seeds those of every kind of accelerator, and of each that is not there or not in use yet it
    keeps the call stack for later. On a CPU that takes up to a millisecond, which is much in every training step.
    """
    import torch

    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
