"""Flatness of any trained model: the loss surface around the weights of a PyTorch model.

Tensor and array names: N images, K noise draws, T noise levels; images (N, …), logits (N, classes).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
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
from lowland.measures.calibration import calibrate, preserved
from lowland.measures.noise.flatness import estimate_flatness
from lowland.measures.per_image import Evaluate, ImageResults, Loss, loss_under_noise, losses_under_noise
from lowland.measures.surface.any_loss import LossFn, any_loss
from lowland.measures.surface.batch import size_of
from lowland.measures.surface.classifier import classification, evaluator, place, read
from lowland.measures.surface.isolation import unchanged
from lowland.measures.surface.objective import ModelHessian
from lowland.measures.surface.result import Flatness
from lowland.measures.surface.slices import Plane
from lowland.measures.surface.views import Views, look_around

__all__ = [
    "Evaluate",
    "Flatness",
    "ImageResults",
    "LossFn",
    "evaluator",
    "flatness",
    "loss_under_noise",
    "losses_under_noise",
]

Precision = Literal["auto", "fp32", "bf16", "fp16"]


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
    loss_fn: LossFn | None = None,
    curvature: bool = False,
    eigenvalues: int = 3,
    vectors: int = 8,
    sharpness: Sequence[float] = (),
    adaptive: bool = False,
    slices: Sequence[Plane] = (),
    span: float | None = None,
    points: int = 15,
    curvature_images: int | None = 256,
) -> Flatness:
    """Flatness of the minimum that a trained model lies in (GeNAS Eq. 4), and what else is asked of it, with errors.

    With L(σ) the mean loss under Gaussian noise of standard deviation σ on the weights, at σ₁ < … < σ_T:
    F = 1/(Σᵢ |L(σᵢ₊₁) − L(σᵢ)|/(σᵢ₊₁ − σᵢ) + α·L(σ₁)/σ₁). Every noise sees the same images.

    The model is unchanged afterwards, also after an exception: weights, buffers, gradients, flags and device. A model
    of half precision, or one to be run on another device, is copied; half-precision copies are in fp32, because noise
    this small is lost in rounding, and a note says so.

    Curvature, sharpness and slices look at the first `curvature_images` images, in fp32, one batch at a time, with the
    same parameters as the noise; their standard errors are over batches.

    Args:
        model: images (N, …) → logits (N, classes), or an object with `.logits`, a mapping with "logits", or a tuple
            whose first element is the logits. Evaluated in evaluation mode.
        loader: Batches of images and integer labels (N,), or whatever `loss_fn` takes; read once and kept in memory, at
            most `max_images`.
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
        loss_fn: Of any other model: `loss_fn(model, batch)` gives the loss of every image (N,), or their mean, with the
            model that it is given. Batches are tuples, lists, dicts, lists of dicts; they cannot be cut, so that
            `max_images` counts whole ones. Each call finds the model in evaluation mode; what it does to modes, buffers
            and torch's random numbers is undone after the call, and its random numbers are the same every time.
        curvature: Also the Hessian's trace, largest eigenvalues and spectral density.
        eigenvalues: How many of the largest.
        vectors: Random vectors of trace and density.
        sharpness: Radii ρ: the rise of the loss after one step of ascent, as in sharpness-aware minimisation.
        adaptive: Scale these steps by the weights (ASAM).
        slices: Planes in which to evaluate the loss: `random`, `hessian`.
        span: Their reach; default 1 filter norm, or .5 along eigenvectors.
        points: Their points in each direction, odd.
        curvature_images: Most images of curvature, sharpness and slices; None: all.

    Returns:
        F in units of σ per loss, its parts, and their standard errors.

    Raises:
        ConfigError: an argument is out of range, no parameter is perturbed, what `loss_fn` returns is no loss, or the
            loss cannot be differentiated twice.
        DataError: the loader is empty or malformed, or labels and logits do not fit.
        NotFiniteError: a loss is not finite, or the flatness is infinite.
    """
    _check(sigmas, alpha, draws, max_images)
    if loss_fn is not None and loss is not cross_entropy:
        raise ConfigError("flatness was given loss and loss_fn; leave one of them out")
    views = Views(
        curvature=curvature,
        eigenvalues=eigenvalues,
        vectors=vectors,
        sharpness=tuple(sharpness),
        adaptive=adaptive,
        slices=tuple(slices),
        span=span,
        points=points,
        images=curvature_images,
    )
    compute = _compute(model, device, precision)
    runner, single = _runnable(model, compute.device)
    batches = list(read(loader, max_images) if loss_fn is None else _read_any(loader, max_images))
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
        stack.enter_context(unchanged(runner))
        stack.enter_context(evaluating(runner))
        if recalibrate is not None:
            batch_norms = [module for module in runner.modules() if isinstance(module, _BatchNorm)]
            stack.enter_context(preserved(batch_norms))
            images = [place(_images(batch), runner, compute) for batch in recalibrate]
            calibrate(runner, batch_norms, images, "cumulative", compute)
        if loss_fn is None:
            objective = classification(batches, runner, parameters, compute, loss)
        else:
            objective = any_loss(loss_fn, batches, runner, parameters, compute, seed=seed, single=single)
        clean = objective.evaluate()
        losses_KTN = losses_under_noise(
            objective.evaluate,
            parameters,
            sigmas=sigmas,
            draws=draws,
            seed=seed,
            antithetic=antithetic,
            relative=relative,
        )
        found = estimate_flatness(losses_KTN, sigmas, alpha)
        more: dict[str, Any] = {}
        if views.any:
            for value in parameters.values():
                value.requires_grad_(True)
            more = look_around(ModelHessian(parameters, objective.pieces(curvature_images), seed), views)
    several = clean.images > 1
    notes = ["the model is in half precision; a copy in fp32 was measured"] if single else []
    return Flatness(
        flatness=found.value,
        flatness_se=math.hypot(found.images_se, found.noise_se or 0.0) if several else None,
        slopes=found.slopes,
        depth=found.depth,
        loss=clean.loss,
        loss_se=clean.loss_se if several else None,
        accuracy=clean.accuracy if objective.accuracy else None,
        accuracy_se=clean.accuracy_se if several and objective.accuracy else None,
        sigmas=tuple(float(sigma) for sigma in sigmas),
        noisy_losses=tuple(found.losses_T.tolist()),
        noisy_losses_se=tuple(error if several else None for error in found.losses_se_T.tolist()),
        alpha=float(alpha),
        draws=draws,
        antithetic=antithetic,
        relative=relative,
        images=objective.images,
        parameters=sum(value.numel() for value in parameters.values()),
        seed=seed,
        notes=(*notes, *objective.notes),
        **more,
    )


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


def _runnable(model: nn.Module, target: torch.device) -> tuple[nn.Module, bool]:
    """The model itself, or a copy where its device or precision must differ; and whether half precision became fp32."""
    weights = [*model.parameters(), *model.buffers()]
    half = any(weight.dtype in (torch.bfloat16, torch.float16) for weight in weights)
    if not half and all(weight.device == target for weight in weights):
        return model, False
    moved = copy.deepcopy(model).to(target)
    return (moved.float() if half else moved), half


def _read_any(loader: Iterable[Any], limit: int | None) -> Iterator[Any]:
    """Batches for a `loss_fn`, until they hold `limit` images; one that does not tell its size counts as one."""
    left = math.inf if limit is None else limit
    for batch in loader:
        if size_of(batch) == 0:
            continue
        yield batch
        left -= size_of(batch) or 1
        if left <= 0:
            return


def _images(batch: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    return batch if isinstance(batch, Tensor) else batch[0]
