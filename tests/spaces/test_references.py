"""References: what their names mean, their sizes, and what is refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lowland import spaces
from lowland.core.errors import BudgetError, ConfigError, GenotypeError
from lowland.spaces import Shape, published
from lowland.spaces.reference import Reference
from lowland.spaces.references import DEFAULTS, SpaceReference, defaults, find, names
from lowland.testing.spaces.cases import images, measured_macs, parameters

needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra timm")

GREY = Shape(in_channels=1, image_size=28, num_classes=10, channels=12, cells=2, stem="cifar")


def test_hand_written_cells_are_what_their_names_say() -> None:
    space = spaces.get("nasbench201")
    everywhere = find("all-conv3x3", "nasbench201", 28)
    assert set(everywhere.genotype.genes) == {3}  # type: ignore[union-attr]
    cell = find("resnet-cell", "nasbench201", 28)
    assert cell.text == "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    assert space.format(cell.genotype) == cell.text  # type: ignore[arg-type]
    assert find("darts-v2", "darts", 28).genotype == published.get("darts-v2-cifar10").genotype
    assert find("published:rlnas-cifar10", "darts", 28).genotype == published.get("rlnas-cifar10").genotype


def test_the_plain_mobilenetv3_is_howards_but_for_three_expansions() -> None:
    space = spaces.get("mobilenetv3")
    found = find("mobilenetv3", "mobilenetv3", 224)
    chains = space.graphs(found.genotype)  # type: ignore[arg-type]
    # Kernel, and expanded over input width of Table 1 (arXiv 1905.02244); 200/80 and 184/80 have no counterpart.
    table = [
        [(3, 64 / 16), (3, 72 / 24)],
        [(5, 72 / 24), (5, 120 / 40), (5, 120 / 40)],
        [(3, 240 / 40), (3, 200 / 80), (3, 184 / 80), (3, 184 / 80)],
        [(3, 480 / 80), (3, 672 / 112)],
        [(5, 672 / 112), (5, 960 / 160), (5, 960 / 160)],
    ]
    for chain, rows in zip(chains, table, strict=True):
        for (_, _, operation), (kernel, expansion) in zip(chain.edges, rows, strict=True):
            nearest = min((3, 4, 6), key=lambda option: abs(option - expansion))
            assert operation == f"mbconv{nearest}_{kernel}x{kernel}"


@pytest.mark.parametrize(
    ("space", "pixels", "family"),
    [
        ("mobilenetv3", 32, "mobilenetv3"),
        ("mobilenetv3-small", 224, "mobilenetv3-small"),
        ("nasbench201", 32, "mobilenetv3-small"),
        ("darts", 96, "mobilenetv3"),
    ],
)
def test_a_name_of_several_spaces_means_the_searched_one_or_goes_by_the_images(
    space: str, pixels: int, family: str
) -> None:
    assert find("mobilenetv3", space, pixels).family == family


def test_genotypes_of_any_space() -> None:
    assert find("3,3,1,0,2,4", "nasbench201", 28).text == "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|" + (
        "+|none~0|nor_conv_1x1~1|avg_pool_3x3~2|"
    )
    mobile = find("mobilenetv3-small:k3e4|k5e3|k5e6@56/56", "nasbench201", 28)
    assert (mobile.family, mobile.text) == ("mobilenetv3-small", "k3e4|k5e3|k5e6@56/56")
    assert find(mobile.name, "nasbench201", 28) == mobile
    with pytest.raises(GenotypeError, match=r"reference '3,3,9' is no genotype of nasbench201"):
        find("3,3,9", "nasbench201", 28)


@pytest.mark.parametrize(
    "text",
    [
        *names(),
        "published:rlnas-cifar10",
        *(pytest.param(f"timm:{model}", marks=needs_timm) for model in ("resnet10t", "resnet14t")),
    ],
)
@pytest.mark.parametrize("space", ["nasbench201", "mobilenetv3-small"])
def test_references_are_fitted_and_counted_exactly(text: str, space: str) -> None:
    found = GREY if space == "nasbench201" else Shape(in_channels=1, image_size=28, channels=8, cells=1)
    reference = find(text, space, 28)
    shape = reference.own_shape(found, space)
    fitted = reference.fitted(shape, parameters=300_000, macs=40_000_000)
    cost = reference.cost(fitted)
    network = reference.network(fitted).eval()
    assert cost.parameters == parameters(network)
    assert cost.macs == measured_macs(network, images(fitted, 1))
    assert cost.parameters <= 300_000
    assert cost.macs <= 40_000_000
    wider = Shape(**{name: getattr(fitted, name) for name in Shape.__slots__} | {"channels": fitted.channels + 2})
    over = reference.cost(wider)
    assert over.parameters > 300_000 or over.macs > 40_000_000
    assert network(images(fitted)).shape == (2, 10)
    if reference.family == space:
        assert (shape.cells, shape.stem, shape.channels) == (found.cells, found.stem, found.channels)


def test_defaults_hold_one_of_the_space_and_one_of_another_family() -> None:
    for space in [entry for entry in spaces.registered() if entry in DEFAULTS]:
        own, other = (find(name, space, 32) for name in defaults(space))
        assert own.family == space
        assert other.family != space
    assert all(isinstance(find(name, "nasbench201", 32), SpaceReference) for name in defaults("somebody's"))


@needs_timm
@settings(max_examples=8, deadline=None)
@given(st.integers(30_000, 5_000_000))
def test_timm_resnets_are_fitted_as_brute_force_does(budget: int) -> None:
    reference = find("timm:resnet10t", "nasbench201", 28)
    shape = reference.own_shape(GREY, "nasbench201")
    widths = [width for width in range(2, 80, 2) if _cost(reference, width).parameters <= budget]
    assert reference.fitted(shape, parameters=budget, macs=None).channels == max(widths)


def _cost(reference: Reference, width: int) -> spaces.Cost:
    return reference.cost(Shape(in_channels=1, image_size=28, num_classes=10, channels=width, cells=1))


@needs_timm
def test_counting_draws_no_random_numbers() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    reference = find("timm:resnet14t", "nasbench201", 28)
    reference.fitted(reference.own_shape(GREY, "nasbench201"), parameters=123_456, macs=None)
    assert torch.equal(torch.get_rng_state(), before)


@needs_timm
def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"unknown reference 'resnet-cel' \(did you mean resnet-cell\?\); name one"):
        find("resnet-cel", "nasbench201", 28)
    with pytest.raises(ConfigError, match=r"'rlnas-cifar' \(did you mean rlnas-cifar10"):
        find("published:rlnas-cifar", "nasbench201", 28)
    with pytest.raises(ConfigError, match="timm has no model 'resnet10tt'; did you mean timm:resnet10t"):
        find("timm:resnet10tt", "nasbench201", 28)
    with pytest.raises(ConfigError, match="reference resnet-cell cannot be built: images of 3 pixels"):
        find("resnet-cell", "darts", 3).own_shape(Shape(image_size=3), "darts")
    fixed = find("timm:mobilenetv3_small_050", "nasbench201", 28)
    shape = fixed.own_shape(GREY, "nasbench201")
    with pytest.raises(BudgetError, match="no width that could be fitted"):
        fixed.fitted(shape, parameters=300_000, macs=None)
    assert fixed.fitted(shape, parameters=3_000_000, macs=None) == shape
    with pytest.raises(ConfigError, match="cannot take images of 28 pixels"):
        find("timm:vit_tiny_patch16_224", "nasbench201", 28).own_shape(GREY, "nasbench201")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match="pip install 'lowland\\[timm\\]'"):
        find("timm:resnet10t", "nasbench201", 28)


def test_a_reference_with_another_norm() -> None:
    found = find("resnet-cell@ibn", "nasbench201", 28)
    assert found.name == "resnet-cell@ibn"
    assert found.text.endswith("@ibn")
    shape = found.own_shape(Shape(image_size=28, cells=2, channels=4), "nasbench201")
    assert (shape.norm, shape.cells) == ("ibn", 2)
    plain = find("resnet-cell", "nasbench201", 28).own_shape(replace(shape, norm="batch"), "nasbench201")
    assert plain.norm == "batch"
    assert find("nasbench201:3,3,1,0,2,4@ibn", "darts", 28).own_shape(shape, "darts").norm == "ibn"
    with pytest.raises(ConfigError, match="asks for a norm 'foo'; known are batch, ibn and ibn-quarter"):
        find("resnet-cell@foo", "nasbench201", 28)
    assert find("mobilenetv3@ibn", "nasbench201", 28).own_shape(shape, "nasbench201").norm == "ibn"
