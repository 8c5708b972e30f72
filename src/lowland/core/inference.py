"""Running networks without training them: the one evaluation loop, and the mode that networks are in meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lowland.core.device import Compute


@contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """Clear every training flag of `models` within the block, and put each one back as it was.

    Flags are set directly, because `eval()` may be overridden with side effects.
    """
    training = [child for model in models for child in model.modules() if child.training]
    try:
        for child in training:
            child.training = False
        yield
    finally:
        for child in training:
            child.training = True


def outputs(
    forward: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]], compute: Compute
) -> Iterator[tuple[Tensor, Tensor]]:
    """Run a network over batches, without gradients.

    Args:
        forward: A network in the mode the caller has set, images (B, C, H, W) → logits.
        batches: Images, normalised and on the device, with labels.
        compute: Where and in which precision the arithmetic runs.

    Yields:
        Logits (B, K), fp32, or fp64 where the network is, and labels (B,) of every batch.
    """
    for x_BCHW, labels_B in batches:
        # Entered for each batch, since what takes the outputs runs between two steps of this generator.
        with torch.inference_mode(), compute.autocast():
            logits_BK = forward(x_BCHW)
        yield logits_BK.float() if logits_BK.dtype in (torch.bfloat16, torch.float16) else logits_BK, labels_B
