"""Flatness of any trained classifier: the loss surface around the weights of a PyTorch model.

Tensor and array names: N images, K noise draws, T noise levels; images (N, …), logits (N, classes).
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from lowland.core import device as devices
from lowland.core.config import build
from lowland.core.device import Compute
from lowland.core.errors import ConfigError, DataError
from lowland.core.inference import evaluating
from lowland.core.torch_settings import settings_kept
from lowland.measures import per_image
from lowland.measures.calibration import calibrate, preserved
from lowland.measures.noise.flatness import estimate_flatness
from lowland.measures.per_image import Evaluate, ImageResults, Loss, loss_under_noise, losses_under_noise

__all__ = ["Evaluate", "Flatness", "ImageResults", "evaluator", "flatness", "loss_under_noise", "losses_under_noise"]

Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Flatness:
    """How flat and how deep the minimum is that a model lies in.

    Attributes:
        flatness: F = 1/(slopes + α·depth) (GeNAS Eq. 4), in units of σ per loss; greater is flatter and deeper.
        flatness_se: Its standard error over images and, from two draws on, over draws of the noise.
        slopes: Sum of |ΔL/Δσ| between noise levels, loss per unit of σ.
        depth: L(σ₁)/σ₁, loss per unit of σ.
        loss: Mean loss of the clean model; cross-entropy in nats.
        loss_se: Its standard error over images.
        accuracy: Top-1 accuracy of the clean model, in [0, 1].
        accuracy_se: Its binomial standard error.
        sigmas: Noise levels: standard deviations of the noise on each weight (fractions of the weight if `relative`).
        noisy_losses: Mean loss at each level.
        noisy_losses_se: Their standard errors.
        alpha: Weight α of the depth.
        draws: Number of noise draws K at each level (mirrored pairs count once).
        antithetic: Whether every draw was also evaluated mirrored.
        relative: Whether the noise was scaled by each weight.
        images: Number of images N.
        parameters: Number of scalar weights that were perturbed.
        seed: Seed of the noise.
    """

    flatness: float
    flatness_se: float | None
    slopes: float
    depth: float
    loss: float
    loss_se: float | None
    accuracy: float
    accuracy_se: float | None
    sigmas: tuple[float, ...]
    noisy_losses: tuple[float, ...]
    noisy_losses_se: tuple[float | None, ...]
    alpha: float
    draws: int
    antithetic: bool
    relative: bool
    images: int
    parameters: int
    seed: int

    def summary(self) -> str:
        """A small table for people: every figure with its standard error, and the sample sizes."""
        mirrored = "mirrored " if self.antithetic else ""
        kind = "relative" if self.relative else "absolute"
        lines = [
            f"flatness  {_with_error(self.flatness, self.flatness_se)}  (α = {self.alpha:g}; greater is flatter)",
            f"slopes    {self.slopes:.4g} loss per unit of σ",
            f"depth     {self.depth:.4g} loss per unit of σ",
            f"accuracy  {_with_error(self.accuracy, self.accuracy_se)}",
            "",
            "       σ  loss",
            f"{'0':>8}  {_with_error(self.loss, self.loss_se)}",
        ]
        errors = zip(self.sigmas, self.noisy_losses, self.noisy_losses_se, strict=True)
        lines += [f"{sigma:>8g}  {_with_error(loss, error)}" for sigma, loss, error in errors]
        lines += [
            "",
            f"{self.images} images, {self.draws} {mirrored}{'draw' if self.draws == 1 else 'draws'} of {kind} noise "
            f"on {self.parameters:,} weights, seed {self.seed}; ± is one standard error",
        ]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()

    def to_json(self) -> str:
        """All figures as one JSON object."""
        return json.dumps(asdict(self), allow_nan=False)


def _with_error(value: float, error: float | None) -> str:
    """`value ± error`, the error with two significant digits and the value with as many decimals."""
    if not error:
        return f"{value:.6g}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


@settings_kept()
def flatness(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    *,
    sigmas: Sequence[float] = (2e-3, 1e-2, 2e-2),
    alpha: float = 1.0,
    draws: int = 3,
    antithetic: bool = True,
    relative: bool = False,
    position: Callable[[str], bool] | None = None,
    recalibrate: Iterable[Tensor | tuple[Tensor, Tensor]] | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    seed: int = 0,
    max_images: int | None = None,
    loss: Loss = cross_entropy,
) -> Flatness:
    """Flatness of the minimum that a trained classification model lies in (GeNAS Eq. 4), with standard errors.

    With L(σ) the mean loss under Gaussian noise of standard deviation σ on the weights, at σ₁ < … < σ_T:
    F = 1/(Σᵢ |L(σᵢ₊₁) − L(σᵢ)|/(σᵢ₊₁ − σᵢ) + α·L(σ₁)/σ₁). Every noise sees the same images.

    The model is unchanged afterwards: weights, batch-norm statistics, gradients, training flags and device. A model of
    half precision, or one to be run on another device, is copied; half-precision copies are in fp32, because noise this
    small is lost in rounding.

    Args:
        model: images (N, …) → logits (N, classes), or an object with `.logits`, a mapping with "logits", or a tuple
            whose first element is the logits. Evaluated in evaluation mode.
        loader: Batches of images and integer labels (N,); read once and kept in memory, at most `max_images`.
        sigmas: At least two increasing noise levels.
        alpha: Weight α ≥ 0 of the depth; 0 gives Eq. 3.
        draws: Independent draws of the noise at each level; from 2 on, their spread enters the standard errors.
        antithetic: Also evaluate −ε for every draw ε, which cancels the first-order term and doubles the cost.
        relative: Perturb to w ⊙ (1 + σ z) instead of w + σ z.
        position: Which parameters to perturb, by name; default all.
        recalibrate: Training images (or batches with labels, which are ignored) from which batch-norm statistics are
            re-estimated for this evaluation; default: the model's own statistics.
        device: `auto`: where the model is; else cpu, cuda, cuda:1, mps.
        precision: Of convolutions and matrix products; weights, noise and losses stay in fp32 (fp64 models: fp64).
        seed: Seed of the noise.
        max_images: Use at most this many images; default all.
        loss: As in `torch.nn.functional`: `loss(logits, labels, reduction="none")` gives one value per image.

    Returns:
        F in units of σ per loss, its parts, and their standard errors.

    Raises:
        ConfigError: an argument is out of range, or no parameter is perturbed.
        DataError: the loader is empty or malformed, or labels and logits do not fit.
        ValueError: a loss is not finite, or the flatness is infinite.
    """
    _check(sigmas, alpha, draws, max_images)
    compute = _compute(model, device, precision)
    runner = _runnable(model, compute.device)
    batches = list(_read(loader, max_images))
    if not batches:
        raise DataError("the loader gave no images; flatness needs at least one batch of (images, labels)")
    parameters = {
        name: value
        for name, value in runner.named_parameters()
        if value.is_floating_point() and (position is None or position(name))
    }
    if not parameters:
        raise ConfigError("no parameter of the model is perturbed; let `position` accept at least one name")
    with ExitStack() as stack:
        stack.enter_context(evaluating(runner))
        if recalibrate is not None:
            batch_norms = [module for module in runner.modules() if isinstance(module, _BatchNorm)]
            stack.enter_context(preserved(batch_norms))
            images = [_place(_images(batch), runner, compute) for batch in recalibrate]
            calibrate(runner, batch_norms, images, "cumulative", compute)
        evaluate = evaluator(runner, batches, compute, loss)
        clean = evaluate()
        losses_KTN = losses_under_noise(
            evaluate,
            parameters,
            sigmas=sigmas,
            draws=draws,
            seed=seed,
            antithetic=antithetic,
            relative=relative,
        )
    found = estimate_flatness(losses_KTN, sigmas, alpha)
    several = clean.images > 1
    return Flatness(
        flatness=found.value,
        flatness_se=math.hypot(found.images_se, found.noise_se or 0.0) if several else None,
        slopes=found.slopes,
        depth=found.depth,
        loss=clean.loss,
        loss_se=clean.loss_se if several else None,
        accuracy=clean.accuracy,
        accuracy_se=clean.accuracy_se if several else None,
        sigmas=tuple(float(sigma) for sigma in sigmas),
        noisy_losses=tuple(found.losses_T.tolist()),
        noisy_losses_se=tuple(error if several else None for error in found.losses_se_T.tolist()),
        alpha=float(alpha),
        draws=draws,
        antithetic=antithetic,
        relative=relative,
        images=clean.images,
        parameters=sum(value.numel() for value in parameters.values()),
        seed=seed,
    )


def evaluator(
    model: nn.Module, batches: Sequence[tuple[Tensor, Tensor]], compute: Compute, loss: Loss = cross_entropy
) -> Evaluate:
    """Make the function that evaluates `model`, with the weights it then holds and in the mode it is in, on `batches`.

    Args:
        model: As for `flatness`.
        batches: Images and labels, on any device.
        compute: Where the arithmetic runs.
        loss: As for `flatness`.

    Returns:
        Loss and correctness of every image, when called. It then raises DataError where there are no images, or labels
        and logits do not fit, and ValueError where a loss is not finite.
    """
    highest = max((int(labels_N.max()) for _, labels_N in batches), default=0)

    def forward(x: Tensor) -> Tensor:
        logits = _logits(model(x))
        if logits.ndim != 2 or len(logits) != len(x):
            raise DataError(
                f"the model returned logits of shape {tuple(logits.shape)} for {len(x)} images; "
                f"a classifier returns ({len(x)}, classes)"
            )
        if highest >= logits.shape[1]:
            raise DataError(
                f"label {highest} does not exist for a model of {logits.shape[1]} classes; labels run from 0 to "
                f"{logits.shape[1] - 1}"
            )
        return logits

    def per_image_loss(logits: Tensor, labels_N: Tensor, /, *, reduction: str) -> Tensor:
        losses_N = loss(logits, labels_N, reduction=reduction)
        if losses_N.shape != labels_N.shape:
            raise ConfigError(
                f"the loss returned shape {tuple(losses_N.shape)} for {len(labels_N)} images; with reduction='none' it "
                "must return one value per image"
            )
        return losses_N

    def placed() -> Iterator[tuple[Tensor, Tensor]]:
        for x, labels_N in batches:
            yield _place(x, model, compute), labels_N.to(compute.device)

    return lambda: per_image.evaluate(forward, placed(), compute, per_image_loss)


def _check(sigmas: Sequence[float], alpha: float, draws: int, max_images: int | None) -> None:
    rising = len(sigmas) >= 2 and all(below < above for below, above in zip([0.0, *sigmas], sigmas, strict=False))
    if not rising or not all(math.isfinite(sigma) for sigma in sigmas):
        raise ConfigError(f"sigmas must be at least two increasing positive values, got {list(sigmas)}")
    if not (math.isfinite(alpha) and alpha >= 0.0):
        raise ConfigError(f"alpha must be a finite number of at least 0, got {alpha!r}")
    if draws < 1:
        raise ConfigError(f"draws must be at least 1, got {draws}")
    if max_images is not None and max_images < 1:
        raise ConfigError(f"max_images must be at least 1, or None for all images, got {max_images}")


def _compute(model: nn.Module, device: str, precision: Precision) -> Compute:
    """The device asked for, or the one where the model is; the process's number of threads stays."""
    if device == "auto":
        own = {str(weight.device) for weight in model.parameters()}
        if len(own) > 1:
            raise ConfigError(f"the model lies on {' and '.join(sorted(own))}; name one device with device=")
        device = next(iter(own), "cpu")
    elif device == "cuda" and torch.cuda.is_available():
        # Weights report an index, which plain "cuda" lacks.
        device = f"cuda:{torch.cuda.current_device()}"
    settings = {"device": device, "precision": precision, "channels_last": False, "threads": torch.get_num_threads()}
    return devices.resolve(build({"compute": settings}).compute)


def _runnable(model: nn.Module, target: torch.device) -> nn.Module:
    """The model itself, or a copy where its device or precision must differ."""
    weights = [*model.parameters(), *model.buffers()]
    half = any(weight.dtype in (torch.bfloat16, torch.float16) for weight in weights)
    if not half and all(weight.device == target for weight in weights):
        return model
    moved = copy.deepcopy(model).to(target)
    return moved.float() if half else moved


def _read(loader: Iterable[tuple[Tensor, Tensor]], limit: int | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Checked batches, up to `limit` images in all."""
    left = math.inf if limit is None else limit
    for index, batch in enumerate(loader):
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise DataError(f"batch {index} of the loader is a {type(batch).__name__}; expected (images, labels)")
        x, labels_N = batch[0], torch.as_tensor(batch[1])
        if labels_N.ndim != 1 or labels_N.is_floating_point() or len(labels_N) != len(x):
            raise DataError(
                f"labels of batch {index} have shape {tuple(labels_N.shape)} and type {labels_N.dtype}; "
                f"expected {len(x)} integers, one per image"
            )
        if len(labels_N) and int(labels_N.min()) < 0:
            raise DataError(f"batch {index} holds the label {int(labels_N.min())}; labels run from 0")
        keep = int(min(left, len(labels_N)))
        if keep:
            yield x[:keep], labels_N[:keep].long()
        left -= keep
        if left <= 0:
            return


def _images(batch: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    return batch if isinstance(batch, Tensor) else batch[0]


def _place(x: Tensor, model: nn.Module, compute: Compute) -> Tensor:
    """Images on the device; floating-point images in the precision of the model's weights."""
    weight: Tensor | None = next((value for value in model.parameters() if value.is_floating_point()), None)
    if weight is not None and x.is_floating_point():
        x = x.to(weight.dtype)
    return compute.place(x)


def _logits(output: Any) -> Tensor:
    """The logits in what a model returned."""
    if isinstance(output, Mapping) and "logits" in output:
        output = output["logits"]
    elif hasattr(output, "logits"):
        output = output.logits
    elif isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise DataError(
            f"the model returned a {type(output).__name__}; expected logits, an object with .logits, or a tuple of them"
        )
    return output
