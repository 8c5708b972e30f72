"""Distribution shift: errors on corrupted test images, by corruption, group and severity, and their means.

Tensor names: N images, B images of one batch, T types of corruption, S severities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lowland.core.errors import ConfigError, DataError
from lowland.core.inference import evaluating, outputs
from lowland.data import CORRUPTIONS, GROUPS, SEVERITIES, Split, batches, check_names
from lowland.evaluation.classification import finite, ranks, standard_error

if TYPE_CHECKING:
    from lowland.core.device import Compute
    from lowland.data import CorruptedImages

ALEXNET_ERROR: dict[str, float] = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""AlexNet's top-1 error (share) on ImageNet-C, mean over severities, as published with the benchmark."""

IMAGENET = (1000, 224)
"""Classes and image side for which AlexNet's errors hold."""


def corruption_accuracy(
    models: Mapping[str, nn.Module],
    corrupted: CorruptedImages,
    normalise: Callable[[Tensor], Tensor],
    compute: Compute,
    *,
    names: Sequence[str],
    severities: Sequence[int],
    limit: int | None = None,
    batch_size: int,
    progress: Callable[[int, int], None] | None = None,
    part: Callable[[str, Callable[[], Any]], Any] = lambda name, compute: compute(),
) -> dict[str, dict[str, Any]]:
    """Top-1 accuracy and error of several networks under common corruptions (Hendrycks & Dietterich 2019).

    With E[t, s] the error (percent) on all images under corruption t at severity s, the corruption error is
    E[t] = mean over s of E[t, s], and the mean corruption error the plain mean over t of E[t].

    Every image is corrupted once and shown to all networks, so that they are compared on the same pixels. Standard
    errors are over images: an image's own mean over the corruptions and severities in question is one observation;
    None for a single image.

    Args:
        models: Networks on the compute device, by a name of the caller's choice.
        corrupted: Corrupted test images and labels.
        normalise: uint8 images → what the networks were trained on.
        compute: Device and precision.
        names: Corruptions, from `lowland.data.CORRUPTIONS`.
        severities: Levels 1 (mild) to 5 (severe).
        limit: Use only the first so many images, a stratified sample since splits alternate classes; None: all.
        batch_size: Images per forward pass.
        progress: Called with (corrupted batches done, in all).
        part: (name, compute) → a JSON value, computed or as it was before a stop; one for each type and severity.

    Returns:
        For each network:

        - `mean`: accuracy in percent over all types and severities; `standard_error` of it;
        - `by`: {type: {severity: accuracy, percent}}; `n`, the number of images; `severities`;
        - `mean_corruption_error`: percent, 100 − `mean`, with the same standard error;
        - `corruption_errors`: {type: {`error`, `standard_error`}}, percent;
        - `group_errors`: {group: {`error`, `standard_error`, `corruptions`}}, percent, mean over the group's types;
        - `normalised_error`: `alexnet_normalised`, where 1000 classes at 224 pixels were judged on all fifteen
          standard corruptions at all severities; else None.

    Raises:
        ConfigError: a corruption is unknown, or no type or severity is given.
        DataError: there are no images.
        LowlandError: a network's outputs are not finite.
    """
    check_names(names, "evaluate.options.corruptions.names: ")
    if not names or not severities:
        raise ConfigError(
            "evaluate.options.corruptions: names and severities must name at least one corruption and severity"
        )
    if len(corrupted) == 0:
        raise DataError("there are no test images to corrupt; give the data set a test split or raise test_fraction")
    n = min(len(corrupted), limit or len(corrupted))
    starts = range(0, n, batch_size)
    done, total = 0, len(starts) * len(names) * len(severities)

    def heard(batch: int) -> None:
        nonlocal done
        done += batch
        if progress is not None:
            progress(done, total)

    def judged(name: str, severity: int) -> dict[str, Any]:
        return hits_under(
            models, corrupted, name, severity, normalise, compute, count=n, batch_size=batch_size, heard=heard
        )

    hits = {key: torch.zeros(len(names), len(severities), n, dtype=torch.bool) for key in models}
    seen: set[tuple[int, int]] = set()
    for row, name in enumerate(names):
        for column, severity in enumerate(severities):
            found = part(f"{name}-{severity}", partial(judged, name, severity))
            done = (row * len(severities) + column + 1) * len(starts)
            seen |= {(classes, side) for classes, side in found["seen"]}
            for key, hit in hits.items():
                hit[row, column] = of_bits(found["hits"][key])
    return {key: _summary(hit, names, severities, seen == {IMAGENET}) for key, hit in hits.items()}


def hits_under(
    models: Mapping[str, nn.Module],
    corrupted: CorruptedImages,
    name: str,
    severity: int,
    normalise: Callable[[Tensor], Tensor],
    compute: Compute,
    *,
    count: int,
    batch_size: int,
    heard: Callable[[int], None] = lambda batches: None,
) -> dict[str, Any]:
    """Which images every network names rightly under one corruption and severity.

    Args:
        models: Networks on the compute device, by a name of the caller's choice.
        corrupted: Corrupted test images and labels.
        name: The corruption.
        severity: Its level.
        normalise: uint8 images → what the networks were trained on.
        compute: Device and precision.
        count: So many of the first images.
        batch_size: Images per forward pass.
        heard: Called with 1 after every batch.

    Returns:
        As JSON-like values: `hits`, a text of 0 and 1 for each network, and `seen`, pairs of classes and image sides.

    Raises:
        LowlandError: a network's outputs are not finite.
    """
    hits_N = {key: torch.zeros(count, dtype=torch.bool) for key in models}
    seen: set[tuple[int, int]] = set()
    starts = range(0, count, batch_size)
    under = _Under(corrupted, name, severity, count, makers(compute))
    with evaluating(*models.values()):
        for start, (x_BCHW, labels_B) in zip(starts, batches(under, batch_size), strict=True):
            batch = [(normalise(compute.place(x_BCHW)), labels_B)]
            for key, model in models.items():
                for logits_BK, _ in outputs(model, batch, compute):
                    hits_N[key][start : start + len(labels_B)] = ranks(finite(logits_BK), labels_B) == 0
                    seen.add((logits_BK.shape[1], x_BCHW.shape[-1]))
            heard(1)
    return {"hits": {key: as_bits(hit_N) for key, hit_N in hits_N.items()}, "seen": sorted(map(list, seen))}


def as_bits(hit_N: Tensor) -> str:
    """Hits, bool (N,), as a text of 0 and 1."""
    return "".join("01"[hit] for hit in hit_N.tolist())


def of_bits(bits: str) -> Tensor:
    """Hits, bool (N,), from `as_bits`."""
    return torch.tensor([bit == "1" for bit in bits])


MOST_MAKERS = 8
"""Threads that make corrupted images for one GPU."""


def makers(compute: Compute) -> int:
    """How many threads make corrupted images ahead: on a CPU, which they would take from the networks, none."""
    return 0 if compute.device.type == "cpu" else min(MOST_MAKERS, compute.threads)


class _Under(Split):
    """The first `count` images under one corruption and severity, made or decoded ahead of need where that helps.

    Args:
        corrupted: Where they come from.
        name: The corruption.
        severity: Its level.
        count: How many.
        makers: Threads that make images ahead; 0: they are made when asked for. Those in files are decoded ahead by
            one.
    """

    def __init__(self, corrupted: CorruptedImages, name: str, severity: int, count: int, makers: int) -> None:
        self.labels_N = corrupted.labels_N[:count]
        self.streamed = corrupted.streamed or makers > 0
        self.readers = 1 if corrupted.streamed else max(1, makers)
        self._images = partial(corrupted.images, name, severity)

    def images(self, indices: Tensor) -> Tensor:
        """The images named by `indices`, which follow one another."""
        return self._images(int(indices[0]), int(indices[-1]) + 1)


def alexnet_normalised(errors: Mapping[str, float]) -> float:
    """ImageNet-C's mean corruption error (mCE), relative to AlexNet.

    Args:
        errors: Corruption errors E[t], percent, mean over severities 1 to 5, of at least the standard corruptions.

    Returns:
        mCE = 100 · mean over the fifteen corruptions of E[t] / AlexNet's E[t], percent; AlexNet has 100.

    Raises:
        ConfigError: a standard corruption is missing.
    """
    missing = [name for name in ALEXNET_ERROR if name not in errors]
    if missing:
        raise ConfigError(
            f"the normalised mean corruption error is defined over all 15 standard corruptions, but {missing[0]} is "
            "missing; evaluate with evaluate.options.corruptions.names=all"
        )
    return sum(errors[name] / share for name, share in ALEXNET_ERROR.items()) / len(ALEXNET_ERROR)


def _summary(hit_TSN: Tensor, names: Sequence[str], severities: Sequence[int], imagenet: bool) -> dict[str, Any]:
    percent_TS = 100 * hit_TSN.double().mean(dim=2)
    miss_TN = 100 * (1 - hit_TSN.double().mean(dim=1))
    rows = {group: [t for t, name in enumerate(names) if CORRUPTIONS[name].group == group] for group in GROUPS}
    errors = {name: _error(miss_TN[t]) for t, name in enumerate(names)}
    whole = imagenet and set(ALEXNET_ERROR) <= set(names) and set(SEVERITIES) == set(severities)
    return {
        "mean": float(percent_TS.mean()),
        "standard_error": standard_error(miss_TN.mean(dim=0)),
        "by": {
            name: {severity: float(percent_TS[t, s]) for s, severity in enumerate(severities)}
            for t, name in enumerate(names)
        },
        "n": hit_TSN.shape[2],
        "severities": list(severities),
        "mean_corruption_error": float(miss_TN.mean()),
        "corruption_errors": errors,
        "group_errors": {
            group: _error(miss_TN[held].mean(dim=0)) | {"corruptions": [names[t] for t in held]}
            for group, held in rows.items()
            if held
        },
        "normalised_error": alexnet_normalised({t: found["error"] for t, found in errors.items()}) if whole else None,
    }


def _error(miss_N: Tensor) -> dict[str, Any]:
    return {"error": float(miss_N.mean()), "standard_error": standard_error(miss_N)}
