"""What surfaces cannot be measured of, and which batches can be: each refusal in one sentence."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bowl import ONES, Bowl, bowl, look
from lowland.core.errors import ConfigError, DataError
from lowland.measures.surface.batch import moved, size_of

# --- refusals ------------------------------------------------------------------------------------------------------


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def test_a_model_that_is_not_differentiable_twice() -> None:
    def once(m: nn.Module, batch: Tensor) -> Tensor:
        return m(batch * Once.apply(m.w)[0]) ** 2

    with pytest.raises(ConfigError, match="cannot be differentiated twice"):
        look(Bowl(), ONES, loss_fn=once, curvature=True)
    with pytest.raises(ConfigError, match="cannot be differentiated twice"):
        look(Bowl(), ONES, loss_fn=once, slices=("hessian",), points=3)
    assert look(Bowl(), ONES, loss_fn=once, sharpness=(0.1,), slices=("random",), points=3).sharpness[0].rise > 0


@pytest.mark.parametrize(
    ("loss_fn", "word"),
    [
        (lambda m, b: {"a": m(b).mean()}, r"returned a dict for batch 0.*sum\(losses.values\(\)\)"),
        (lambda m, b: 3.0, "returned a float"),
        (lambda m, b: m(b)[:, None], r"shape \(4, 1\)"),
        (lambda m, b: m(b)[:2], "2 losses for batch 0 of 4 images"),
        (lambda m, b: m(b).long(), "torch.int64"),
        (lambda m, b: m(b) if len(b) == 4 else m(b).mean(), "for some batches"),
        (lambda m, b: m(b).detach(), "no graph that leads back"),
    ],
)
def test_losses_that_are_none(loss_fn: Any, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        look(Bowl(), ONES, loss_fn=loss_fn, curvature=True)


def test_losses_that_are_not_finite_are_said() -> None:
    loader = [ONES[0], ONES[1] * math.nan]
    with pytest.raises(ValueError, match=r"loss is not finite \(nan, first in batch 1\)"):
        look(Bowl(), loader, loss_fn=bowl)
    with pytest.raises(ValueError, match=r"loss is not finite \(nan, first in batch 1\)"):
        look(Bowl(), loader, loss_fn=lambda m, b: m(b).mean())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"sharpness": (0.0,)}, "radius of sharpness"),
        ({"sharpness": (math.nan,)}, "radius of sharpness"),
        ({"slices": ("round",)}, "slice 'round' is unknown; choose random or hessian"),
        ({"slices": ("random",), "points": 4}, "odd number of points"),
        ({"slices": ("random",), "span": -1.0}, "span of a slice"),
        ({"curvature": True, "eigenvalues": 0}, "eigenvalues must be at least 1"),
        ({"curvature": True, "vectors": 0}, "vectors must be at least 1"),
        ({"curvature": True, "curvature_images": 0}, "curvature_images"),
        ({"loss": lambda x, y, reduction: x}, "loss and loss_fn"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        look(Bowl(), ONES, loss_fn=bowl, **options)


def test_empty_loaders() -> None:
    for loader in ([], [torch.ones(0)], [{"image": torch.ones(0, 3)}]):
        with pytest.raises(DataError, match="the loader gave no images"):
            look(Bowl(), loader, loss_fn=bowl)


# --- batches -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (torch.ones(3, 2), 3),
        (torch.ones(()), None),
        ((torch.ones(3, 2), torch.ones(3)), 3),
        ([torch.ones(3, 2), torch.ones(3)], 3),
        ({"x": torch.ones(5, 1), "y": 0}, 5),
        ([{"x": 1}, {"x": 2}], 2),
        (([torch.ones(1), torch.ones(2)], [{}, {}]), 2),
        ((), None),
        ("text", None),
        (({"a": 1},), None),
    ],
)
def test_sizes_of_batches(batch: Any, size: int | None) -> None:
    assert size_of(batch) == size


def test_batches_move_whole() -> None:
    batch = {"a": [torch.ones(2).half()], "b": (torch.ones(1), "text"), "c": None}
    there = moved(batch, torch.device("meta"), single=True)
    assert (there["a"][0].device.type, there["a"][0].dtype) == ("meta", torch.float32)
    assert there["b"][0].device.type == "meta"
    assert (there["b"][1], there["c"]) == ("text", None)
    assert batch["a"][0].device.type == "cpu"


def test_few_images_of_curvature_are_the_first() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).double()
    loader = [(torch.randn(n, 4).double(), torch.arange(n) % 3) for n in (10, 6, 4)]
    few = look(model, loader, curvature=True, curvature_images=12).curvature
    own = look(copy.deepcopy(model), [loader[0], (loader[1][0][:2], loader[1][1][:2])], curvature=True).curvature
    assert (few.images, few.trace) == (12, pytest.approx(own.trace))
    whole = look(model, loader, curvature=True, curvature_images=12, loss_fn=lambda m, b: cross_entropy(m(b[0]), b[1]))
    assert whole.curvature.images == 16  # batches of one's own are not cut
