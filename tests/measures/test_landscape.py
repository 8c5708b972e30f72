"""The public `flatness` of any trained classifier."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lowland
from lowland import measures
from lowland.core.config import ComputeConfig
from lowland.core.device import Compute
from lowland.core.errors import ConfigError, DataError
from lowland.core.torch_settings import allow_tf32
from lowland.measures import calibrated_subnet, landscape
from lowland.measures.landscape import Flatness, evaluator, flatness, loss_under_noise
from lowland.measures.perturbation import noise
from lowland.testing.tiny import CPU, SHAPE, batches, case, measure_config

DATA = batches(SHAPE, 90, 32, 5)
LEVELS = (0.02, 0.1, 0.2)


def network(seed: int = 0) -> nn.Module:
    """A small network trained for a moment."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(54, 3),
        )
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        for x, labels in batches(SHAPE, 1200, 40, 9):
            optimizer.zero_grad()
            cross_entropy(model(x), labels).backward()
            optimizer.step()
    return model.train()


MODEL = network()


def test_is_public():
    assert lowland.flatness is flatness


def test_equals_a_brute_force_oracle():
    model = copy.deepcopy(MODEL).double().eval()
    found = flatness(model, DATA, sigmas=LEVELS, draws=2, antithetic=True, seed=4)
    x, labels = torch.cat([x for x, _ in DATA]).double(), torch.cat([labels for _, labels in DATA])
    losses = np.zeros(3)
    with torch.no_grad():
        for draw in range(2):
            for level, sigma in enumerate(LEVELS):
                for sign in (1, -1):
                    moved = copy.deepcopy(model)
                    for name, p in moved.named_parameters():
                        p += sign * sigma * noise(name, p, 4, draw, level).double()
                    losses[level] += float(cross_entropy(moved(x), labels)) / 4
        clean = cross_entropy(model(x), labels, reduction="none")
    assert found.noisy_losses == pytest.approx(losses, rel=1e-10)
    slopes = abs(losses[1] - losses[0]) / 0.08 + abs(losses[2] - losses[1]) / 0.1
    assert found.flatness == pytest.approx(1 / (slopes + losses[0] / 0.02), rel=1e-9)
    assert (found.loss, found.loss_se) == pytest.approx((float(clean.mean()), float(clean.std(correction=0)) / 90**0.5))
    assert (found.images, found.parameters) == (90, sum(p.numel() for p in model.parameters()))


def test_model_is_unchanged():
    model = network(1)
    model[0].eval()
    model[6].weight.requires_grad_(False)
    flags = [module.training for module in model.modules()]
    state = {name: (value.data_ptr(), value.clone()) for name, value in model.state_dict().items()}
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    flatness(model, DATA, recalibrate=[x for x, _ in DATA])
    assert [module.training for module in model.modules()] == flags
    for name, value in model.state_dict().items():
        assert value.data_ptr() == state[name][0]
        assert torch.equal(value, state[name][1])
    assert all(
        (p.grad is None and g is None) or torch.equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True)
    )
    assert not model[6].weight.requires_grad


@dataclass
class Output:
    logits: Tensor


class Wrapped(nn.Module):
    def __init__(self, inner: nn.Module, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = inner, kind

    def forward(self, x: Tensor) -> Any:
        logits = self.inner(x)
        return {"tuple": (logits, x), "object": Output(logits), "mapping": {"logits": logits}, "text": "no"}[self.kind]


@pytest.mark.parametrize("kind", ["tuple", "object", "mapping"])
def test_understands_common_outputs(kind: str):
    plain = flatness(MODEL, DATA, sigmas=LEVELS, draws=1, position=lambda name: name.endswith("6.weight"))
    wrapped = flatness(Wrapped(MODEL, kind), DATA, sigmas=LEVELS, draws=1, position=lambda name: "6.weight" in name)
    assert (plain.loss, plain.accuracy, plain.parameters) == (wrapped.loss, wrapped.accuracy, wrapped.parameters)


def test_one_shot_shuffled_and_limited_loaders():
    def once() -> Iterator[tuple[Tensor, Tensor]]:
        yield from DATA

    assert flatness(MODEL, once(), draws=1) == flatness(MODEL, DATA, draws=1)
    dataset = torch.utils.data.TensorDataset(*(torch.cat(part) for part in zip(*DATA, strict=True)))
    shuffled = torch.utils.data.DataLoader(dataset, 20, shuffle=True)
    assert flatness(MODEL, shuffled, draws=1).flatness == pytest.approx(
        flatness(MODEL, DATA, draws=1).flatness, rel=1e-4
    )
    limited = flatness(MODEL, DATA, draws=1, max_images=40)
    assert limited.images == 40
    assert limited == flatness(MODEL, [(DATA[0][0], DATA[0][1]), (DATA[1][0][:8], DATA[1][1][:8])], draws=1)


def test_antithetic_noise_cancels_the_first_order_term():
    """For tiny σ the mirrored mean moves with σ², a single draw with σ."""
    model = copy.deepcopy(MODEL).double()
    sigmas = (1e-5, 2e-5)
    clean = flatness(model, DATA, sigmas=sigmas, draws=1).loss
    single = flatness(model, DATA, sigmas=sigmas, draws=1, antithetic=False).noisy_losses[0] - clean
    mirrored = flatness(model, DATA, sigmas=sigmas, draws=1, antithetic=True).noisy_losses[0] - clean
    assert abs(mirrored) < 1e-3 * abs(single)


def test_relative_noise_is_scale_invariant():
    """Scaling one layer up and the next down leaves the function and relative flatness alone, absolute flatness not."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False)).double()
    scaled = copy.deepcopy(model)
    with torch.no_grad():
        scaled[1].weight.mul_(8)
        scaled[3].weight.div_(8)
    levels = (0.05, 0.1)
    first, second = (flatness(m, DATA, sigmas=levels, relative=True) for m in (model, scaled))
    assert second.noisy_losses == pytest.approx(first.noisy_losses, rel=1e-9)
    first, second = (flatness(m, DATA, sigmas=levels) for m in (model, scaled))
    assert second.noisy_losses != pytest.approx(first.noisy_losses, rel=1e-3)


def test_recalibration_mends_broken_statistics():
    model = copy.deepcopy(MODEL)
    model[1].running_mean.fill_(3.0)
    broken = flatness(model, DATA, draws=1)
    mended = flatness(model, DATA, draws=1, recalibrate=DATA)
    assert mended.loss < broken.loss
    assert float(model[1].running_mean[0]) == 3.0


def test_half_precision_models_are_judged_as_float32():
    half = copy.deepcopy(MODEL).bfloat16()
    again = copy.deepcopy(half).float()
    found = flatness(half, DATA, draws=1)
    assert replace(found, notes=()) == flatness(again, DATA, draws=1)
    assert found.notes == ("the model is in half precision; a copy in fp32 was measured",)
    assert half[0].weight.dtype == torch.bfloat16


def test_trained_is_flatter_and_deeper_than_ruined():
    ruined = copy.deepcopy(MODEL)
    with torch.no_grad():
        ruined[6].weight.copy_(5 * torch.randn(ruined[6].weight.shape, generator=torch.Generator().manual_seed(0)))
    assert flatness(MODEL, DATA).flatness > 100 * flatness(ruined, DATA).flatness


def test_summary_and_json():
    found = flatness(MODEL, DATA, draws=2)
    text = str(found)
    for part in ("flatness", "depth", "slopes", "±", "90 images", "2 mirrored draws of absolute noise", "0.002"):
        assert part in text
    facts = json.loads(found.to_json())
    assert Flatness(**{key: tuple(v) if isinstance(v, list) else v for key, v in facts.items()}) == found
    assert all(len(line) <= 100 for line in text.splitlines())


def test_deterministic_and_seeded():
    first = flatness(MODEL, DATA, draws=1, seed=3)
    torch.randn(5)
    assert flatness(MODEL, DATA, draws=1, seed=3) == first
    assert flatness(MODEL, DATA, draws=1, seed=4).flatness != first.flatness


def test_global_random_state_and_threads_are_untouched():
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    flatness(MODEL, DATA, draws=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_what_judging_needs_of_torch_is_put_back(monkeypatch: pytest.MonkeyPatch):
    """On a GPU, TF32 is off while a model is judged; the caller has it as before."""
    backends: Any = torch.backends
    found = []

    def loss(logits: Tensor, labels: Tensor, *, reduction: str) -> Tensor:
        found.append(backends.cudnn.conv.fp32_precision)
        return cross_entropy(logits, labels, reduction=reduction)

    def resolve(config: ComputeConfig) -> Compute:
        allow_tf32(False)
        return CPU

    monkeypatch.setattr(landscape.devices, "resolve", resolve)
    before = backends.cudnn.conv.fp32_precision
    flatness(MODEL, DATA, draws=1, loss=loss)
    assert set(found) == {"ieee"}
    assert backends.cudnn.conv.fp32_precision == before != "ieee"


def test_custom_loss():
    smooth = flatness(MODEL, DATA, draws=1, loss=partial(cross_entropy, label_smoothing=0.2))
    assert smooth.loss > flatness(MODEL, DATA, draws=1).loss
    with pytest.raises(ConfigError, match="one value per image"):
        flatness(MODEL, DATA, loss=lambda logits, labels, reduction: cross_entropy(logits, labels))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigmas": (0.1,)}, "at least two increasing"),
        ({"sigmas": (0.2, 0.1)}, "at least two increasing"),
        ({"sigmas": (0.0, 0.1)}, "at least two increasing"),
        ({"sigmas": (0.1, math.inf)}, "at least two increasing"),
        ({"sigmas": (0.1, math.nan)}, "at least two increasing"),
        ({"alpha": -1.0}, "alpha must be"),
        ({"draws": 0}, "draws must be"),
        ({"max_images": 0}, "max_images must be"),
        ({"device": "abacus"}, "is not a device"),
        ({"precision": "fp8"}, "compute.precision='fp8'"),
        ({"position": lambda name: False}, "no parameter"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        flatness(MODEL, DATA, **options)


X, LABELS = DATA[0]


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ([], "gave no images"),
        ([(X[:0], LABELS[:0])], "gave no images"),
        ([X], "is a Tensor; expected"),
        ([(X, LABELS[:3])], r"labels of batch 0 have shape \(3,\)"),
        ([(X, LABELS.float())], r"torch\.float32"),
        ([(X, LABELS), (X, LABELS - 2)], "batch 1 holds the label -"),
        ([(X, LABELS + 1)], "label 3 does not exist for a model of 3 classes"),
    ],
)
def test_bad_loaders(loader: list[Any], message: str):
    with pytest.raises(DataError, match=message):
        flatness(MODEL, loader)


def test_bad_models():
    with pytest.raises(DataError, match="returned a str"):
        flatness(Wrapped(MODEL, "text"), DATA)
    with pytest.raises(DataError, match=r"logits of shape \(32, 6, 8, 8\) for 32 images"):
        flatness(MODEL[:2], DATA)
    broken = copy.deepcopy(MODEL)
    with torch.no_grad():
        broken[6].bias[0] = math.inf
    with pytest.raises(ValueError, match="loss is not finite"):
        flatness(broken, DATA)


def test_loss_curve_of_a_model():
    model = copy.deepcopy(MODEL).eval()
    evaluate = evaluator(model, DATA, CPU)
    parameters = dict(model.named_parameters())
    curve = [loss_under_noise(evaluate, parameters, sigma, 0, 1) for sigma in (0.0, 0.1, 0.5, 1.0)]
    assert curve[0].loss == evaluate().loss
    assert curve[0].loss < curve[2].loss < curve[3].loss
    with pytest.raises(ValueError, match="at σ = 1e\\+38"):
        loss_under_noise(evaluate, parameters, 1e38, 0, 1)


def test_loss_curve_of_a_candidate_agrees_with_its_flatness():
    trained = case()
    config = measure_config("flatness", sigmas=(0.1, 0.2))
    score = measures.get(config).score(trained.supernet, trained.genotypes[0], trained.context)
    with calibrated_subnet(trained.supernet, trained.genotypes[0], trained.context, config) as path:
        assert path.loss_at(0.1, 0).loss == score.details["losses"][0]
        assert path.loss_at(0.0, 0).loss == path.clean.loss
