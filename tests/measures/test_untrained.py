from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lowland import measures, spaces
from lowland.core.config import MeasureConfig, build
from lowland.core.errors import ConfigError, DataError
from lowland.core.genotype import Genotype
from lowland.measures import Context, Score
from lowland.measures.per_image import first_images
from lowland.measures.untrained.jacobian import STABILISER, correlation_score, input_jacobian
from lowland.measures.untrained.naswot import code_kernel, log_determinant
from lowland.measures.untrained.ntk import log_condition, tangent_kernel
from lowland.measures.untrained.synflow import synaptic_flow
from lowland.measures.untrained.untrained import Untrained, UntrainedMeasure, loss_gradients, weights
from lowland.measures.untrained.zico import inverse_variation
from lowland.spaces import Shape
from lowland.testing.tiny import CPU, batches

NAMES = [name for name, cls in measures.registered().items() if issubclass(cls, UntrainedMeasure)]
ON_RANDOM_IMAGES = ["expressivity", "progressivity", "trainability", "linear_regions", "vkdnw", "vkdnw_entropy", "meco"]
ON_IMAGES = [name for name in NAMES if name not in ("parameters", "macs", "synflow", *ON_RANDOM_IMAGES)]
SHAPE = Shape(in_channels=1, image_size=8, num_classes=3, channels=4, cells=1)
NASBENCH = spaces.get("nasbench201")
EMPTY = Genotype("nasbench201", (0,) * 6)
FULL = Genotype("nasbench201", (3,) * 6)


def context(**changes: Any) -> Context:
    plain = Context(space=NASBENCH, scored=[], calibration=batches(SHAPE, 24, 10, 2), initial={}, compute=CPU, seed=5)
    return replace(plain, **changes)


class Named:
    """All that an untrained measure may ask of a supernet."""

    shape = SHAPE


def score(name: str, genotype: Genotype = FULL, given: Context | None = None, **options: object) -> Score:
    measure = measures.get(MeasureConfig(name=name, **options))
    return measure.score(Named(), genotype, given or context())  # type: ignore[arg-type]


def small(seed: int = 0) -> nn.Module:
    """A convolutional network in float64 with batch norm and two ReLUs."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU(),
            nn.Conv2d(3, 2, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3),
        )  # fmt: skip
    return network.double()


def pictures(count: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(3, (count,), generator=generator)
    return torch.randn(count, 1, 8, 8, generator=generator, dtype=torch.float64), labels


# --- the network that is judged ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_supernet_and_the_search_split_are_not_needed(name: str) -> None:
    found = score(name)
    assert math.isfinite(found.value)
    assert found.standard_error is None


@pytest.mark.parametrize("name", NAMES)
def test_global_randomness_is_neither_used_nor_moved(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = score(name)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert score(name) == first


@pytest.mark.parametrize("name", NAMES)
def test_works_where_gradients_are_off(name: str) -> None:
    with torch.no_grad():
        assert score(name) == score(name)


def network(given: Context, genotype: Genotype = FULL, **options: object) -> nn.Module:
    return Untrained(SHAPE, genotype, given, MeasureConfig(**options)).network


def test_weights_are_a_function_of_seed_and_genotype() -> None:
    def stem(seed: int, genotype: Genotype) -> Tensor:
        return network(context(seed=seed), genotype).get_parameter("stem.0.weight")

    assert torch.equal(stem(1, FULL), stem(1, FULL))
    assert not torch.equal(stem(1, FULL), stem(2, FULL))
    assert not torch.equal(stem(1, FULL), stem(1, EMPTY))


def test_size_is_the_supernets_unless_set() -> None:
    assert score("parameters").value == NASBENCH.cost(FULL, SHAPE).parameters
    assert score("macs").value == NASBENCH.cost(FULL, SHAPE).macs
    found = score("parameters", untrained_channels=6, untrained_cells=2)
    assert found.value == NASBENCH.cost(FULL, replace(SHAPE, channels=6, cells=2)).parameters
    assert found.details == {"channels": 6, "cells": 2}
    body = network(context(), untrained_channels=6, untrained_cells=2)
    assert sum(p.numel() for p in body.parameters() if p.requires_grad) == found.value


def test_only_batch_norm_is_in_training_mode() -> None:
    modules = list(network(context()).modules())
    assert {module.training for module in modules if isinstance(module, nn.BatchNorm2d)} == {True}
    assert {module.training for module in modules if not isinstance(module, nn.BatchNorm2d)} == {False}


@pytest.mark.parametrize(("count", "got"), [(1, 1), (10, 10), (11, 11), (24, 24), (64, 24)])
def test_the_first_training_images_are_looked_at(count: int, got: int) -> None:
    given = context()
    x, labels = first_images(given.calibration, count)
    assert torch.equal(x, torch.cat([x for x, _ in given.calibration])[:got])
    assert torch.equal(labels, torch.cat([labels for _, labels in given.calibration])[:got])


@pytest.mark.parametrize("name", ON_IMAGES)
def test_images_beyond_the_batch_do_not_matter(name: str) -> None:
    batch = 5 if name == "zico" else 10
    given = context()
    found = score(name, given=given, untrained_batch=batch)
    assert found == score(name, given=replace(given, calibration=given.calibration[:1]), untrained_batch=batch)
    assert found.details["images"] == 10
    assert found.value != score(name, given=given).value


@pytest.mark.parametrize("name", NAMES)
def test_without_training_images(name: str) -> None:
    given = context(calibration=[])
    if name in ON_IMAGES:
        with pytest.raises(DataError, match="no training images"):
            score(name, given=given)
    else:
        assert score(name, given=given) == score(name)


@pytest.mark.parametrize("key", ["untrained_channels", "untrained_cells", "untrained_batch"])
def test_sizes_must_be_positive(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        build({"measure": {key: 0}})


@pytest.mark.parametrize("name", NAMES)
def test_a_network_through_which_nothing_flows_is_finite_and_worse_than_any_other(name: str) -> None:
    least = score(name, EMPTY)
    assert math.isfinite(least.value)
    for genes in [(3,) * 6, (2, 3, 1, 4, 0, 3), (0, 0, 0, 1, 0, 0)]:
        assert score(name, Genotype("nasbench201", genes)).value >= least.value
    assert score(name, FULL).value > least.value


def test_a_value_that_is_not_finite_is_refused_with_the_reason() -> None:
    x, labels = context().calibration[0]
    with pytest.raises(ValueError, match="snip of the untrained network is nan, expected a finite number"):
        score("snip", given=context(calibration=[(x * math.nan, labels)]))


# --- NASWOT --------------------------------------------------------------------------------------------------------


def test_code_kernel_counts_agreeing_units() -> None:
    body, (x, _) = small(), pictures()
    layers = [body[:3](x), body[:5](x)]
    codes = torch.cat([(y > 0).flatten(1) for y in layers], dim=1).tolist()
    wanted = [[float(sum(a == b for a, b in zip(one, other, strict=True))) for other in codes] for one in codes]
    kernel = code_kernel(body, x)
    assert kernel.tolist() == wanted
    assert kernel[0, 0] == 3 * 64 + 18
    assert log_determinant(kernel) == pytest.approx(math.log(abs(torch.linalg.det(kernel).item())), rel=1e-10)
    assert not any(module._forward_hooks for module in body.modules())


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6])
def test_code_kernel_by_hand(activation: type[nn.Module]) -> None:
    x = torch.tensor([[1.0, -1.0, 2.0], [1.0, 1.0, -3.0]])
    assert code_kernel(nn.Sequential(nn.Identity(), activation()), x).tolist() == [[3.0, 1.0], [1.0, 3.0]]
    assert log_determinant(code_kernel(activation(), x)) == pytest.approx(math.log(8.0))


def test_identical_codes_score_least() -> None:
    assert log_determinant(torch.full((4, 4), 7.0, dtype=torch.float64)) == pytest.approx(math.log(28.0))
    assert log_determinant(code_kernel(nn.Identity(), torch.ones(4, 2))) == 0.0


# --- SynFlow -------------------------------------------------------------------------------------------------------


def test_synflow_of_two_linear_layers() -> None:
    """R = 1ᵀ|W₂||W₁|1, to which every layer contributes once; and a ReLU changes nothing."""
    first, second = nn.Linear(3, 4, bias=False).double(), nn.Linear(4, 2, bias=False).double()
    flow = (second.weight.abs() @ first.weight.abs()).sum().item()
    x = torch.ones(1, 3, dtype=torch.float64)
    assert synaptic_flow(nn.Sequential(first, nn.ReLU(), second), x) == pytest.approx(2 * flow, rel=1e-12)


def test_synflow_passes_over_batch_norm_and_counts_no_biases() -> None:
    body = small()
    with torch.no_grad():
        body[1].weight.fill_(3.0)
        body[1].running_var.fill_(7.0)
    x = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    first, second, third = body[0].weight.abs(), body[3].weight.abs(), body[6].weight.abs()
    hidden = nn.functional.conv2d(x, first, padding=1)
    linear = nn.functional.linear(nn.functional.conv2d(hidden, second, stride=2).flatten(1), third).sum()
    shift = nn.functional.linear(body[3].bias.abs()[None, :, None, None].expand(1, 2, 3, 3).flatten(1), third).sum()
    # The flow from the pixels passes all three layers, that from the second layer's bias only the last.
    wanted = (3 * linear + shift).item()
    assert synaptic_flow(body, x) == pytest.approx(wanted, rel=1e-12)
    assert not any(module._forward_hooks for module in body.modules())


def test_synflow_is_the_log_of_the_sum_and_0_where_nothing_flows() -> None:
    flow = synaptic_flow(network(context()).double(), torch.ones(1, 1, 8, 8, dtype=torch.float64))
    assert score("synflow").value == pytest.approx(math.log(1.0 + flow), rel=1e-9)
    assert score("synflow", EMPTY).value == 0.0


# --- gradients -----------------------------------------------------------------------------------------------------


def by_differences(body: nn.Module, parameter: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    """∂L/∂w by central differences, one weight at a time."""
    found = torch.zeros_like(parameter)
    step = 1e-6
    with torch.no_grad():
        for index in itertools.product(*map(range, parameter.shape)):
            ends = []
            for sign in (1, -1):
                parameter[index] += sign * step
                logits = body(x)
                ends.append(torch.logsumexp(logits, 1).mean() - logits[torch.arange(len(x)), labels].mean())
                parameter[index] -= sign * step
            found[index] = (ends[0] - ends[1]) / (2 * step)
    return found


def test_loss_gradients_agree_with_differences() -> None:
    body, (x, labels) = small(1), pictures()  # a seed of which no unit is within the step of its kink
    found = loss_gradients(body, x, labels)
    assert [weight.shape for weight in weights(body)] == [(3, 1, 3, 3), (2, 3, 3, 3), (3, 18)]
    for weight, gradient in zip(weights(body), found, strict=True):
        torch.testing.assert_close(gradient, by_differences(body, weight, x, labels), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["grad_norm", "snip"])
def test_gradient_measures_sum_over_convolutions_and_classifier(name: str) -> None:
    given = context()
    body = network(given)
    x, labels = first_images(given.calibration, 64)
    nn.functional.cross_entropy(body(x), labels).backward()
    layers = [weight for key, weight in body.named_parameters() if weight.ndim > 1 and weight.grad is not None]
    norms = sum(weight.grad.square().sum().sqrt().item() for weight in layers)
    magnitudes = sum((weight * weight.grad).abs().sum().item() for weight in layers)
    wanted = {"grad_norm": norms, "snip": magnitudes}[name]
    assert score(name, given=given).value == pytest.approx(wanted, rel=1e-5)


# --- Jacobian covariance -------------------------------------------------------------------------------------------


def test_input_jacobian_image_by_image() -> None:
    body, (x, _) = small().eval(), pictures()
    wanted = [torch.autograd.functional.jacobian(lambda one: body(one).sum(), image[None]).flatten() for image in x]
    torch.testing.assert_close(input_jacobian(body, x), torch.stack(wanted), rtol=1e-10, atol=1e-12)
    assert not x.requires_grad


def test_correlation_score_agrees_with_the_definition() -> None:
    jacobian = torch.randn(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    eigenvalues = torch.linalg.eigvals(torch.corrcoef(jacobian)).real
    wanted = -sum(math.log(v + STABILISER) + 1 / (v + STABILISER) for v in eigenvalues.tolist())
    assert correlation_score(jacobian) == pytest.approx(wanted, rel=1e-9)


def test_correlation_score_from_best_to_worst() -> None:
    first, second = [1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]
    scores = [correlation_score(torch.tensor(rows)) for rows in ([first, second], [first, first], [first, [2.0] * 4])]
    assert scores[0] == pytest.approx(-2.0, abs=1e-4)
    assert scores[1] == pytest.approx(-(1 / STABILISER + math.log(STABILISER) + math.log(2.0) + 0.5), rel=1e-4)
    assert scores[2] == pytest.approx(-(1 / STABILISER + math.log(STABILISER) + 1.0), rel=1e-4)
    assert correlation_score(torch.zeros(2, 4)) < scores[2]


# --- ZiCo ----------------------------------------------------------------------------------------------------------


def test_inverse_variation_by_hand() -> None:
    """Means 2 and 3, deviations 1 and 2; weights of constant magnitude and a dead layer are left out."""
    layers = [torch.tensor([[1.0, 1.0, 5.0], [3.0, -5.0, -5.0]]), torch.zeros(2, 4), torch.tensor([[1.0], [2.0]])]
    assert inverse_variation(layers) == pytest.approx(math.log(2 / 1 + 3 / 2) + math.log(1.5 / 0.5))
    assert inverse_variation([torch.zeros(2, 4)]) == 0.0


def test_zico_compares_two_halves() -> None:
    given = context()
    body, (x, labels) = network(given), first_images(given.calibration, 24)
    halves = [loss_gradients(body, x[part], labels[part]) for part in (slice(12), slice(12, 24))]
    wanted = 0.0
    for one, other in zip(*halves, strict=True):
        mean, std = (one.abs() + other.abs()) / 2, (one.abs() - other.abs()).abs() / 2
        ratios = (mean / std)[std > 0].double()
        wanted += math.log(ratios.sum().item()) if len(ratios) else 0.0
    assert score("zico", given=given).value == pytest.approx(wanted, rel=1e-4)


def test_zico_needs_two_images() -> None:
    x, labels = context().calibration[0]
    with pytest.raises(ValueError, match="needs 2 training images, got 1"):
        score("zico", given=context(calibration=[(x[:1], labels[:1])]))


# --- neural tangent kernel -----------------------------------------------------------------------------------------


def test_tangent_kernel_from_explicit_jacobians() -> None:
    """In evaluation mode images do not mix, so that each row is the gradient of its image alone."""
    body, (x, _) = small().eval(), pictures()
    rows = []
    for image in x:
        body.zero_grad()
        body(image[None]).sum().backward()
        rows.append([g for weight in weights(body) for g in weight.grad.flatten().tolist()])
    wanted = [[math.fsum(a * b for a, b in zip(one, other, strict=True)) for other in rows] for one in rows]
    torch.testing.assert_close(tangent_kernel(body, x), torch.tensor(wanted, dtype=torch.float64))


def test_tangent_kernel_sees_the_batch_through_batch_norm() -> None:
    body, (x, _) = small().train(), pictures()
    sums = torch.autograd.functional.jacobian(
        lambda first: torch.func.functional_call(body, {"0.weight": first}, x).sum(1), body[0].weight
    )
    own = sums.flatten(1) @ sums.flatten(1).T
    # What the other layers add is a kernel itself.
    assert torch.linalg.eigvalsh(tangent_kernel(body, x) - own).min() > -1e-9


def test_log_condition() -> None:
    assert log_condition(torch.diag(torch.tensor([8.0, 2.0, 4.0], dtype=torch.float64))) == pytest.approx(math.log(4))
    worst = math.log(2**23 / 3)
    assert log_condition(torch.zeros(3, 3, dtype=torch.float64)) == pytest.approx(worst)
    assert log_condition(torch.ones(3, 3, dtype=torch.float64)) == pytest.approx(worst)
