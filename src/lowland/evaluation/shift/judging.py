"""Networks on images of a published set: values of every image, part by part, so that a stop loses one part.

Tensor names: N images, B images of one batch, K classes of the network, V values of one image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lowland.core.inference import evaluating, outputs
from lowland.data import Split, Subset, batches
from lowland.evaluation.classification import finite, ranks
from lowland.evaluation.section import Estimate
from lowland.evaluation.suite import EvaluationContext

PART = 5_000
"""Images of one part. Decoding runs ahead within a part only, and a stop loses up to one."""

Judge = Callable[[Tensor, Tensor], Tensor]
"""(logits (B, K), labels (B,)) → values (B, V) of each image."""


def values_of(
    networks: Mapping[str, nn.Module], sets: Mapping[str, Split], judge: Judge, context: EvaluationContext, stage: str
) -> dict[str, dict[str, Tensor]]:
    """Show every image once to all networks, and keep what `judge` makes of their logits.

    Args:
        networks: By rank.
        sets: Images by a name that their parts carry.
        judge: What is kept of the logits.
        context: Normalises as the networks were trained, keeps the parts and hears how it goes.
        stage: What the progress is called.

    Returns:
        By set and by rank, float64 (N, V) on the CPU.

    Raises:
        DataError: pictures cannot be decoded.
        LowlandError: a network's outputs are not finite.
    """
    compute, size = context.fast, context.batch_size
    models = {rank: compute.prepare(deepcopy(model)) for rank, model in networks.items()}
    parts = {name: torch.split(torch.arange(len(split)), PART) for name, split in sets.items()}
    total = sum(-(-len(indices) // size) for each in parts.values() for indices in each)
    done = 0

    def judged(split: Split, progress: Callable[[int, int], None]) -> dict[str, Any]:
        found: dict[str, list[Tensor]] = {rank: [] for rank in models}
        for at, (x_BCHW, labels_B) in enumerate(batches(split, size), start=1):
            batch = [(context.data.normalise(compute.place(x_BCHW)), labels_B.cpu())]
            for rank, model in models.items():
                for logits_BK, labels in outputs(model, batch, compute):
                    found[rank].append(judge(finite(logits_BK), labels).double())
            progress(done + at, total)
        return {rank: torch.cat(each).T.tolist() for rank, each in found.items()}

    kept: dict[str, dict[str, list[Tensor]]] = {name: {rank: [] for rank in models} for name in sets}
    with context.progressing(stage, "batch") as progress, evaluating(*models.values()):
        for name, split in sets.items():
            for place, indices in enumerate(parts[name]):
                part = context.part(f"{name}-{place}", partial(judged, Subset(split, indices), progress))
                done += -(-len(indices) // size)
                for rank, each in part.items():
                    kept[name][rank].append(torch.tensor(each, dtype=torch.float64).T)
    return {name: {rank: torch.cat(each) for rank, each in by.items()} for name, by in kept.items()}


def hits_among(columns: Sequence[int]) -> Judge:
    """Judge whether the label has the largest of the logits at `columns`; labels are places in `columns`.

    Returns:
        The judge, of one value: 1 or 0.
    """
    index = torch.tensor(columns)

    def judge(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        return (ranks(logits_BK[:, index], labels_B) == 0)[:, None]

    return judge


def accuracy(hit_N1: Tensor) -> Estimate:
    """The share of ones, percent, with its binomial standard error; none for a single image."""
    n = len(hit_N1)
    share = float(hit_N1.mean())
    error = 100 * (share * (1 - share) / n) ** 0.5 if n > 1 else None
    return Estimate(value=100 * share, standard_error=error, n=n)
