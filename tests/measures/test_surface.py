"""Curvature, sharpness and slices of models with known ones, whatever their loss, and that nothing is left behind."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from bowl import AT, MATRIX, ONES, Bowl, bowl, look

ALL: dict[str, Any] = {"curvature": True, "sharpness": (0.1,), "slices": ("random", "hessian"), "points": 3}


# --- oracles -------------------------------------------------------------------------------------------------------


def test_a_quadratic_has_its_curvature_sharpness_and_slices() -> None:
    found = look(Bowl(), ONES, loss_fn=bowl, **ALL | {"points": 5}, vectors=50)
    values, _ = np.linalg.eigh(MATRIX.numpy())
    seen = found.curvature
    assert [each.value for each in seen.eigenvalues] == pytest.approx(values[::-1][:2], rel=1e-8)
    assert abs(seen.trace - 4.0) < 3 * seen.trace_se
    assert seen.trace_images_se == pytest.approx(0.0, abs=1e-12)
    assert (seen.images, seen.parameters) == (6, 3)
    assert seen.density.moment(0)[0] == pytest.approx(1.0)
    assert seen.density.smallest == pytest.approx(values[0], rel=1e-6)
    w, a = AT.numpy(), MATRIX.numpy()
    g = a @ w
    (rise,) = found.sharpness
    wanted = 0.1 * np.linalg.norm(g) + 0.1**2 / 2 * (g @ a @ g) / (g @ g)
    assert (rise.rise, rise.by_batch) == pytest.approx((wanted, wanted))
    assert (rise.rise_se, rise.batches) == (pytest.approx(0.0, abs=1e-9), 2)
    _, along = found.slices
    assert along.coordinates == (-0.5, -0.25, 0.0, 0.25, 0.5)
    assert along.eigenvalues == pytest.approx(values[::-1][:2])
    assert along.centre == pytest.approx(found.loss)
    # The sign of an eigenvector is free; both ways together it is gone.
    loss = np.array(along.losses)
    assert (loss[2, 4] + loss[2, 0]) / 2 - along.centre == pytest.approx(0.25 / 2 * values[-1])
    assert (loss[4, 2] + loss[0, 2]) / 2 - along.centre == pytest.approx(0.25 / 2 * values[-2])


def test_the_adaptive_step_is_asams() -> None:
    found = look(Bowl(), ONES, loss_fn=bowl, sharpness=(0.2,), adaptive=True).sharpness[0]
    w, a = AT.numpy(), MATRIX.numpy()
    scale = np.abs(w) + 0.01
    step = 0.2 * scale**2 * (a @ w) / np.linalg.norm(scale * (a @ w))
    assert found.rise == pytest.approx((w + step) @ a @ (w + step) / 2 - w @ a @ w / 2)
    assert found.adaptive


def test_sharpness_by_batch_and_its_error() -> None:
    """Batches of 1 and 3 times the loss: each climbs its own slope, and the error is that of unlike batches."""
    found = look(Bowl(), [ONES[0], 3 * ONES[0]], loss_fn=bowl, sharpness=(0.1,)).sharpness[0]
    one = look(Bowl(), ONES, loss_fn=bowl, sharpness=(0.1,)).sharpness[0].rise
    assert (found.rise, found.by_batch) == pytest.approx((2 * one, 2 * one))
    assert (found.rise_se, found.by_batch_se) == pytest.approx((one, one))


def test_at_the_bottom_one_step_climbs_nowhere() -> None:
    found = look(Bowl(torch.zeros(3).double()), ONES, loss_fn=bowl, sharpness=(0.1,)).sharpness[0]
    assert (found.rise, found.by_batch) == (0.0, 0.0)


def test_logistic_regression_has_the_hessian_of_torch_func() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 3)).double()
    x, labels = torch.randn(40, 1, 3, 3).double(), torch.randint(0, 3, (40,))
    named = {name: value.detach() for name, value in model.named_parameters()}

    def loss(values: dict[str, Tensor]) -> Tensor:
        return cross_entropy(functional_call(model, values, (x,)), labels)

    blocks = torch.func.hessian(loss)(named)
    shapes = {name: value.numel() for name, value in named.items()}
    dense = torch.cat(
        [torch.cat([blocks[i][j].reshape(shapes[i], shapes[j]) for j in shapes], dim=1) for i in shapes]
    ).numpy()
    values = np.linalg.eigvalsh(dense)
    loader = [(x[:16], labels[:16]), (x[16:], labels[16:])]
    own = look(model, loader, curvature=True, vectors=6).curvature
    other = look(model, loader, curvature=True, vectors=6, loss_fn=lambda m, b: cross_entropy(m(b[0]), b[1]))
    for seen in (own, other.curvature):
        assert [each.value for each in seen.eigenvalues] == pytest.approx(values[::-1][:2], rel=1e-4)
        assert abs(seen.trace - np.trace(dense)) < 4 * seen.trace_vectors_se
        assert seen.density.moment(2)[0] == pytest.approx((values**2).mean(), rel=0.6)
        assert seen.images == 40
        assert all(each.standard_error > 0 for each in seen.eigenvalues)
    assert len(own.density.nodes) == 6


def test_a_loss_of_ones_own_gives_what_the_classifier_gives() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).double()
    loader = [(torch.randn(n, 1, 2, 2).double(), torch.arange(n) % 3) for n in (10, 6, 4)]

    def each(m: nn.Module, batch: Any) -> Tensor:
        return cross_entropy(m(batch[0]), batch[1], reduction="none")

    usual = look(model, loader, draws=2)
    found = look(model, loader, loss_fn=each, draws=2)
    assert (found.accuracy, usual.accuracy is None) == (None, False)
    for name in ("flatness", "flatness_se", "loss", "loss_se", "noisy_losses", "noisy_losses_se", "images"):
        assert getattr(found, name) == pytest.approx(getattr(usual, name)), name
    mean = look(model, loader, loss_fn=lambda m, b: each(m, b).mean(), draws=2)
    assert (mean.flatness, mean.loss, mean.images) == pytest.approx((usual.flatness, usual.loss, 20))
    assert mean.loss_se != usual.loss_se
    assert mean.notes == ("loss_fn gave one loss per batch: standard errors are over batches",)
    alone = look(model, loader[:1], loss_fn=lambda m, b: each(m, b).mean())
    assert (alone.loss_se, alone.flatness_se) == (None, None)


def test_random_slices_are_filter_normalised() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))

    def length(m: nn.Module, batch: Tensor) -> Tensor:
        """The squared distance of the first filter from where it was, in units of its squared length."""
        now = m[1].weight[0]
        return ((now - start) ** 2).sum() / (start**2).sum() + 0 * batch.sum() + (m[1].bias - bias).abs().sum() + 1e-9

    start, bias = model[1].weight[0].detach().clone(), model[1].bias.detach().clone()
    found = look(model, [torch.ones(2, 4)], loss_fn=length, slices=("random",), points=3, span=0.5).slices[0]
    assert np.array(found.losses)[1, [0, 2]] == pytest.approx(0.25, rel=1e-4)
    assert np.array(found.losses)[[0, 2], 1] == pytest.approx(0.25, rel=1e-4)


# --- any model -----------------------------------------------------------------------------------------------------


class Detector(nn.Module):
    """As torchvision's: a list of pictures and targets in training mode gives a dict of losses; draws, and updates."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.GELU())
        self.head = nn.Linear(4, 4)

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None) -> Any:
        features = torch.stack([self.body(image[None]).mean(dim=(0, 2, 3)) for image in images])
        boxes = self.head(features)
        if not self.training:
            return [{"boxes": box[None]} for box in boxes]
        assert targets is not None
        chosen = torch.rand(len(images)) < 0.7  # as sampled proposals are
        wanted = torch.stack([target.pop("boxes")[0] for target in targets])
        errors = (boxes - wanted).square().mean(dim=1)
        return {"box": errors.mean(), "sampled": (errors * chosen).mean()}


def detection(model: nn.Module, batch: Any) -> Tensor:
    images, targets = batch
    model.train()
    losses: Tensor = sum(model(images, targets).values())
    return losses


def scenes(count: int = 3) -> list[Any]:
    torch.manual_seed(3)
    return [
        ([torch.rand(3, 6 + n, 5) for n in range(4)], [{"boxes": torch.rand(1, 4)} for _ in range(4)])
        for _ in range(count)
    ]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(4, 12)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x)[:, None].chunk(3, dim=-1)
        return scaled_dot_product_attention(q, k, v).mean(dim=(1, 2))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.body(x)[0][:, -1]
        return found


@pytest.mark.parametrize("made", [Attention, Recurrent])
def test_attention_and_recurrence_can_be_differentiated_twice(made: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = made()
    loader = [(torch.randn(3, 5, 4), torch.tensor([0, 1, 2])) for _ in range(2)]
    assert math.isfinite(look(model, loader, **ALL).curvature.trace)


def test_segmentation_with_batches_that_are_dicts() -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(1, 2, 3, padding=1)
    loader = [{"image": torch.randn(4, 1, 6, 6), "mask": torch.randint(0, 2, (4, 6, 6)), "id": "a"} for _ in range(2)]

    def pixels(m: nn.Module, batch: dict[str, Any]) -> Tensor:
        return cross_entropy(m(batch["image"]), batch["mask"], reduction="none").mean(dim=(1, 2))

    found = look(model, loader, loss_fn=pixels, **ALL)
    assert (found.images, found.notes) == (8, ())
    assert found.curvature.eigenvalues[0].value > 0


def test_a_detector_in_training_mode_is_measured_on_equal_terms_every_time() -> None:
    torch.manual_seed(0)
    model = Detector().eval()
    first, again = (look(model, scenes(), loss_fn=detection, **ALL) for _ in range(2))
    assert first == again
    assert first.images == 12
    # The centre of a slice is computed long after the loss, and draws the same proposals.
    assert first.slices[0].centre == pytest.approx(first.loss, rel=1e-6)
    assert first.noisy_losses[0] == pytest.approx(first.loss, rel=0.1)


def state(model: nn.Module) -> dict[str, Any]:
    return {
        "places": {name: value.data_ptr() for name, value in model.state_dict(keep_vars=True).items()},
        "values": {name: value.clone() for name, value in model.state_dict().items()},
        "modes": [module.training for module in model.modules()],
        "required": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [None if p.grad is None else (p.grad.data_ptr(), p.grad.clone()) for p in model.parameters()],
        "random": torch.get_rng_state(),
        "enabled": torch.is_grad_enabled(),
    }


def same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


@pytest.mark.parametrize("fails_at", [None, 0, 3, 40])
def test_the_model_is_bit_for_bit_what_it_was(fails_at: int | None) -> None:
    torch.manual_seed(0)
    model = Detector()
    model.head.weight = nn.Parameter(model.head.weight.detach())
    model.again = model.head  # shared weights
    model.body[0].bias.requires_grad_(False)  # frozen
    model.body.eval()
    model.body[0].weight.grad = torch.ones_like(model.body[0].weight)
    loader = scenes()
    before, calls = state(model), 0

    def loss(m: nn.Module, batch: Any) -> Tensor:
        nonlocal calls
        calls += 1
        found = detection(m, batch)
        m.body[1].num_batches_tracked += 1
        m.register_buffer("left_behind", torch.zeros(1))
        with torch.enable_grad():
            m.head.weight.sum().backward()
        if fails_at is not None and calls > fails_at:
            raise RuntimeError("out of luck")
        return found

    if fails_at is None:
        look(model, loader, loss_fn=loss, **ALL)
    else:
        with pytest.raises(RuntimeError, match="out of luck"):
            look(model, loader, loss_fn=loss, **ALL)
    assert same(state(model), before)
    assert not hasattr(model, "left_behind")
    assert [set(target) for _, targets in loader for target in targets] == [{"boxes"}] * 12


def test_half_precision_is_measured_in_fp32_and_said() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).bfloat16()
    loader = [(torch.randn(8, 4).bfloat16(), torch.arange(8) % 3)]

    def loss(m: nn.Module, batch: Any) -> Tensor:
        assert m[1].weight.dtype == batch[0].dtype == torch.float32
        return cross_entropy(m(batch[0]), batch[1], reduction="none")

    found = look(model, loader, loss_fn=loss, curvature=True)
    assert found.notes == ("the model is in half precision; a copy in fp32 was measured",)
    assert model[1].weight.dtype == torch.bfloat16


# --- what it looks like --------------------------------------------------------------------------------------------


def test_text_json_html_and_plot() -> None:
    found = look(Bowl(), ONES, loss_fn=bowl, **ALL)
    held = json.loads(found.to_json())
    assert held["curvature"]["eigenvalues"][0]["value"] == found.curvature.eigenvalues[0].value
    assert held["slices"][0]["losses"][1][1] == found.slices[0].centre
    assert held["accuracy"] is None
    for word in (
        "trace of the Hessian",
        "eigenvalue 1",
        "residual",
        "sharpness, ρ = 0.1",
        "slice, hessian",
        "6 images",
    ):
        assert word in found.summary(), word
    assert "accuracy" not in found.summary()
    assert "<td>" in found._repr_html_()
    assert "losses=" not in repr(found).split("noisy_losses", 1)[0]
    assert len(repr(found)) < 20000
    assert len(found.plot().axes) == 4
    assert len(look(Bowl(), ONES, loss_fn=bowl).plot().axes) == 1


def test_what_is_not_finite_far_away_is_said() -> None:
    def cliff(m: nn.Module, batch: Tensor) -> Tensor:
        return m(batch) + torch.where(m.w[0] > 1.2, math.inf, 0.0)

    found = look(Bowl(), ONES, loss_fn=cliff, slices=("random", "hessian"), points=5, span=2.0)
    assert found.slices[1].not_finite > 0
    assert None in [loss for row in found.slices[1].losses for loss in row]
    assert f"not finite at {found.slices[1].not_finite} points" in found.summary()
    json.loads(found.to_json())
    found.plot()
