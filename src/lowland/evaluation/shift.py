"""Distribution shift: accuracy on corrupted test images, by corruption type and severity.

Tensor names: N images, B images of one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lowland.data import CORRUPTIONS, corrupt
from lowland.errors import ConfigError, DataError
from lowland.evaluation.classification import batch_logits, evaluating, ranks, standard_error

if TYPE_CHECKING:
    from lowland.data import Split
    from lowland.device import Compute


def corruption_accuracy(
    models: Mapping[str, nn.Module],
    split: Split,
    normalise: Callable[[Tensor], Tensor],
    compute: Compute,
    *,
    names: Sequence[str],
    severities: Sequence[int],
    seed: int,
    limit: int | None = None,
    batch_size: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Top-1 accuracy of several networks under common corruptions (after Hendrycks & Dietterich 2019).

    Every image is corrupted at its own size, once, and shown to all networks, so that they are compared on the same
    pixels. The noise of an image depends on the seed, the corruption, the severity and the image's place in the split,
    not on the batch size.

    Args:
        models: Networks on the compute device, by a name of the caller's choice.
        split: Clean test images and labels.
        normalise: uint8 images → what the networks were trained on.
        compute: Device and precision.
        names: Corruptions, from `lowland.data.CORRUPTIONS`.
        severities: Levels 1 (mild) to 5 (severe).
        seed: Run seed, from which the corruptions' noise is drawn.
        limit: Use only the first so many images, a stratified sample since splits alternate classes; None: all.
        batch_size: Images per forward pass.
        progress: Called with (corrupted batches done, in all).

    Returns:
        For each network `mean`, the accuracy in percent averaged over all types and severities; its
        `standard_error` over images (each image's own mean over types and severities is one observation; None for a
        single image); `by`, {type: {severity: accuracy, percent}}; `n`, the number of images; and `severities`.

    Raises:
        ConfigError: a corruption is unknown, or no type or severity is given.
        DataError: the split is empty.
        LowlandError: a network's outputs are not finite.
    """
    _check(names, severities, split)
    n = min(len(split), limit or len(split))
    labels_N = split.labels_N[:n].cpu()
    starts = range(0, n, batch_size)
    hits = {model: torch.zeros(len(names), len(severities), n, dtype=torch.bool) for model in models}
    done, total = 0, len(starts) * len(names) * len(severities)

    with evaluating(*models.values()):
        for start in starts:
            stop = min(start + batch_size, n)
            clean_BCHW = split.images(torch.arange(start, stop))
            for row, name in enumerate(names):
                for column, severity in enumerate(severities):
                    shifted_BCHW = corrupt(clean_BCHW, name, severity, seed=seed, start=start)
                    for key, model in models.items():
                        logits_BK = batch_logits(model, shifted_BCHW, normalise, compute)
                        hits[key][row, column, start:stop] = ranks(logits_BK, labels_N[start:stop]) == 0
                    done += 1
                    if progress is not None:
                        progress(done, total)
    return {key: _summary(hit, names, severities) for key, hit in hits.items()}


def _check(names: Sequence[str], severities: Sequence[int], split: Split) -> None:
    unknown = [name for name in names if name not in CORRUPTIONS]
    if unknown:
        raise ConfigError(
            f"evaluate.corruptions: unknown corruption {unknown[0]!r}; known are {', '.join(CORRUPTIONS)}"
        )
    if not names or not severities:
        raise ConfigError("evaluate.corruptions and evaluate.severities must name at least one corruption and severity")
    if len(split) == 0:
        raise DataError("there are no test images to corrupt; give the data set a test split or raise test_fraction")


def _summary(hit: Tensor, names: Sequence[str], severities: Sequence[int]) -> dict[str, Any]:
    percent = 100 * hit.double().mean(dim=2)
    by = {
        name: {severity: float(percent[row, column]) for column, severity in enumerate(severities)}
        for row, name in enumerate(names)
    }
    return {
        "mean": float(percent.mean()),
        "standard_error": standard_error(100 * hit.double().mean(dim=(0, 1))),
        "by": by,
        "n": hit.shape[2],
        "severities": list(severities),
    }
