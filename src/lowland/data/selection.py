"""Stratified selection: which images train, score candidates and test, by label alone, before any is decoded.

A group holds the indices of one class's images, in random order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def groups(labels_N: Indices, num_classes: int, rng: np.random.Generator) -> list[Indices]:
    """Indices of each class's images, shuffled."""
    return [rng.permutation(np.flatnonzero(labels_N == label)) for label in range(num_classes)]


def limited(by_class: list[Indices], total: int) -> list[Indices]:
    """Choose at most `total` images, as many of each class as of any other, or all of a class that has fewer.

    A larger `total` keeps every image a smaller one keeps, except that classes share a remainder in label order.

    Returns:
        The first indices of each class, in their order.
    """
    counts = np.array([len(group) for group in by_class])
    quotas = np.zeros_like(counts)
    left = min(total, int(counts.sum()))
    while left:
        open_classes = np.flatnonzero(quotas < counts)[:left]
        share = max(1, min(left // len(open_classes), int((counts - quotas)[open_classes].min())))
        quotas[open_classes] += share
        left -= share * len(open_classes)
    return [group[:quota] for group, quota in zip(by_class, quotas, strict=True)]


def held_out(by_class: list[Indices], fraction: float) -> tuple[list[Indices], list[Indices]]:
    """Split every class of at least two images in two.

    The shares follow the largest-remainder rule, so that `fraction` of all images is held out, up to the classes
    too small for it.

    Returns:
        Indices kept, and indices held out, by class; both hold an image of every class.
    """
    counts = np.array([len(group) for group in by_class])
    ideal = counts * fraction
    shares = np.floor(ideal).astype(np.int64)
    remainder = round(float(ideal.sum())) - int(shares.sum())
    shares[np.argsort(shares - ideal, kind="stable")[:remainder]] += 1
    shares = np.clip(shares, 1, counts - 1)
    kept = [group[share:] for group, share in zip(by_class, shares, strict=True)]
    held = [group[:share] for group, share in zip(by_class, shares, strict=True)]
    return kept, held


def interleaved(by_class: list[Indices]) -> Indices:
    """All indices, the classes alternating in proportion to their sizes: any first n are a stratified sample."""
    indices = np.concatenate(by_class)
    places = np.concatenate([(np.arange(len(group)) + 0.5) / max(len(group), 1) for group in by_class])
    return indices[np.argsort(places, kind="stable")]
