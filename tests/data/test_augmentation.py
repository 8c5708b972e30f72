"""Augmentation: every operation is TorchVision's, every draw is the seed's, every mixture is its formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import AutoAugment, InterpolationMode, RandAugment, TrivialAugmentWide

from lowland.data.augmentation import POLICIES, erased, mixed, resized_crops
from lowland.data.augmentation.operations import ENHANCING, GEOMETRIC, OPERATIONS, apply, numbers
from lowland.data.augmentation.policies import RAND, WIDE, Ranges, levels

BILINEAR = InterpolationMode.BILINEAR


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def smooth(channels: int, height: int = 20, width: int = 24) -> Tensor:
    """Twelve images that vary slowly, so that the last bit of a coordinate changes a pixel by little."""
    return F.interpolate(noise(12, channels, 5, 6).float(), (height, width), mode="bilinear").to(torch.uint8)


def torchvisions(name: str) -> str:
    """Its name for an operation."""
    return "AutoContrast" if name == "autocontrast" else "".join(part.title() for part in name.split("_"))


def torchvision_level(name: str, level: Any) -> Any:
    """It gives enhancing operations the factor less 1, and thresholds as shares of 255."""
    return level - 1 if name in ENHANCING else level / 255 if name == "solarize" else level


def torchvision_result(name: str, x_CHW: Tensor, level: float) -> Tensor:
    """As TorchVision's automatic augmentation does it."""
    return AutoAugment()._apply_image_or_video_transform(
        x_CHW, torchvisions(name), torchvision_level(name, level), BILINEAR, {}
    )


LEVELS: dict[str, tuple[float, ...]] = {
    "identity": (0.0,),
    "shear_x": (-0.7, 0.0, 0.3),
    "shear_y": (-0.3, 0.99),
    "translate_x": (-7.0, 3.0),
    "translate_y": (-2.0, 30.0),
    "rotate": (-30.0, 0.0, 90.0, 135.0),
    "brightness": (0.1, 1.0, 1.9),
    "color": (0.1, 1.0, 1.9),
    "contrast": (0.1, 1.0, 1.9),
    "sharpness": (0.1, 1.0, 1.9),
    "posterize": (1.0, 4.0, 8.0),
    "solarize": (0.0, 100.0, 255.0),
    "autocontrast": (0.0,),
    "equalize": (0.0,),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_torchvisions(name: str, channels: int) -> None:
    """Every image of a batch with a level of its own."""
    x_NCHW = smooth(channels)
    level_N = torch.tensor([LEVELS[name][place % len(LEVELS[name])] for place in range(12)])
    found = apply(x_NCHW, torch.full((12,), OPERATIONS.index(name)), level_N)
    for image, level, result in zip(x_NCHW, level_N.tolist(), found, strict=True):
        wanted = torchvision_result(name, image, level)
        difference = (result.int() - wanted.int()).abs()
        if name in GEOMETRIC:  # a coordinate on the edge of the image may fall on either side
            assert (difference > 1).float().mean() < 0.01
        else:
            assert difference.max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_gets_its_own_operation(channels: int) -> None:
    x_NCHW = smooth(channels)
    operation_N = torch.tensor(numbers("all", channels))[torch.arange(12)]
    level_N = levels(operation_N, torch.full((12,), 0.5), torch.arange(12) % 2 == 1, WIDE, 20, 24)
    together = apply(x_NCHW, operation_N, level_N)
    for place in range(12):
        one = slice(place, place + 1)
        assert torch.equal(together[one], apply(x_NCHW[one], operation_N[one], level_N[one]))


@pytest.mark.parametrize(("policy", "ranges"), [(TrivialAugmentWide(), WIDE), (RandAugment(), RAND)])
def test_levels_are_torchvisions(policy: Any, ranges: Ranges) -> None:
    """At each of 31 bins of a 32×32 image, as TorchVision's tables say."""
    share_N = torch.arange(31) / 30
    negative_N = torch.zeros(31, dtype=torch.bool)
    for number, name in enumerate(OPERATIONS):
        table, _ = policy._AUGMENTATION_SPACE[torchvisions(name)]
        wanted = table(31, 32, 32)
        found = levels(torch.full((31,), number), share_N, negative_N, ranges, 32, 32)
        if wanted is None:
            wanted = torch.zeros(31)
        torch.testing.assert_close(torchvision_level(name, found), wanted.float(), rtol=1e-4, atol=1e-4)


def test_signs_turn_what_has_a_direction() -> None:
    operation_N = torch.arange(len(OPERATIONS))
    share_N = torch.full((len(OPERATIONS),), 0.4)
    up = levels(operation_N, share_N, torch.zeros_like(operation_N, dtype=torch.bool), WIDE, 32, 32)
    down = levels(operation_N, share_N, torch.ones_like(operation_N, dtype=torch.bool), WIDE, 32, 32)
    for name, a, b in zip(OPERATIONS, up.tolist(), down.tolist(), strict=True):
        if name in ENHANCING:
            assert a - 1 == pytest.approx(1 - b)
        elif name in GEOMETRIC:
            assert a == -b != 0
        else:
            assert a == b


def test_which_operations_may_be_drawn() -> None:
    assert len(numbers("all", 3)) == 14
    assert "color" not in [OPERATIONS[number] for number in numbers("all", 1)]
    assert not set(ENHANCING) & {OPERATIONS[number] for number in numbers("disjoint", 3)}
    assert numbers("disjoint", 1) == numbers("disjoint", 3)


AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    **POLICIES,
    "trivial, all": lambda x, g: POLICIES["trivial"](x, g, which="all", strength=0.5),
    "augmix, all": lambda x, g: POLICIES["augmix"](x, g, which="all"),
    "resized": lambda x, g: resized_crops(x, g, smallest=0.3),
    "erased": lambda x, g: erased(x, g, probability=0.5, fill=(7,) * x.shape[1]),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentation_is_a_function_of_images_and_seed(name: str, channels: int) -> None:
    """Same draw, same pixels in either memory format; another draw, others; the images given stay as they are."""
    x_NCHW = noise(16, channels, 12, 10)
    before = x_NCHW.clone()

    def result(seed: int, x_NCHW: Tensor = x_NCHW) -> Tensor:
        torch.manual_seed(int(torch.randint(1000, ())))  # the global generator does not matter
        return AUGMENTATIONS[name](x_NCHW, torch.Generator().manual_seed(seed))

    first = result(1)
    assert first.dtype == torch.uint8
    assert first.shape == x_NCHW.shape
    assert torch.equal(first, result(1))
    assert not torch.equal(first, result(2))
    last = x_NCHW.contiguous(memory_format=torch.channels_last)
    assert torch.equal(first, result(1, last))
    assert torch.equal(x_NCHW, before)


@pytest.mark.parametrize("name", ["trivial", "rand", "augmix"])
def test_little_strength_changes_little(name: str) -> None:
    """At no strength geometric operations stand still and the rest keep an image of few levels: at most black/white."""
    x_NCHW = smooth(1)
    weak = POLICIES[name](x_NCHW, torch.Generator().manual_seed(0), strength=1e-4).float()
    strong = POLICIES[name](x_NCHW, torch.Generator().manual_seed(0)).float()
    assert (weak - x_NCHW).abs().mean() < (strong - x_NCHW).abs().mean()


def test_augmix_mixes_the_image_with_its_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """With operations that paint images white, the result is (1 − m)·x + m·255, m uniform."""
    monkeypatch.setattr("lowland.data.augmentation.policies.apply", lambda x, *_: torch.full_like(x, 255))
    x_NCHW = torch.full((4000, 1, 1, 1), 55, dtype=torch.uint8)
    share_N = (POLICIES["augmix"](x_NCHW, torch.Generator().manual_seed(0)).flatten().double() - 55) / 200
    assert abs(float(share_N.mean()) - 0.5) < 0.02
    assert abs(float(share_N.var()) - 1 / 12) < 0.005


@pytest.mark.parametrize("smallest", [0.3, 0.9])
def test_resized_crops_have_the_area_asked_for(smallest: float) -> None:
    """Of an image whose levels rise to the right and one that rise downwards, the slopes tell the sides."""
    ramp = torch.arange(0, 240, 4, dtype=torch.uint8)
    across, down = ramp.expand(200, 1, 60, 60), ramp[:, None].expand(200, 1, 60, 60)
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    wide = resized_crops(across, generators[0], smallest=smallest).float()
    high = resized_crops(down, generators[1], smallest=smallest).float()
    width_N = (wide[:, 0, 30, 50] - wide[:, 0, 30, 10]) / 160
    height_N = (high[:, 0, 50, 30] - high[:, 0, 10, 30]) / 160
    area_N = width_N * height_N
    assert area_N.min() > smallest * 0.85
    assert area_N.max() <= 1.03
    assert abs(float(area_N.mean()) - (1 + smallest) / 2) < 0.06
    assert float((width_N / height_N).min()) > 0.7
    assert float((width_N / height_N).max()) < 1.4


def test_a_crop_of_everything_is_the_image() -> None:
    x_NCHW = noise(3, 3, 9, 9)
    none = torch.Generator().manual_seed(0)
    whole = resized_crops(x_NCHW, none, smallest=1.0)
    assert whole.shape == x_NCHW.shape  # sides are cut to the image's, so at least one is whole


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_erasing_is_one_rectangle_of_the_published_share(probability: float) -> None:
    x_NCHW = noise(600, 3, 32, 40) | 1  # never the level that is filled in
    found = erased(x_NCHW, torch.Generator().manual_seed(0), probability=probability, fill=(2, 4, 6))
    gone_NHW = (found == torch.tensor([2, 4, 6], dtype=torch.uint8)[:, None, None]).all(dim=1)
    assert torch.equal(found * ~gone_NHW[:, None], x_NCHW * ~gone_NHW[:, None])
    share_N = gone_NHW.float().mean(dim=(1, 2))
    assert abs(float((share_N > 0).float().mean()) - probability) < 0.07
    for gone_HW in gone_NHW[share_N > 0]:
        rows, columns = gone_HW.any(dim=1), gone_HW.any(dim=0)
        assert torch.equal(gone_HW, rows[:, None] & columns)
        assert rows.diff().sum() <= 2
        assert columns.diff().sum() <= 2
    if probability == 1.0:
        assert abs(float(share_N.mean()) - (0.02 + 1 / 3) / 2) < 0.02
        assert share_N.min() >= 0.01
        assert share_N.max() <= 0.36


def test_mixup_is_the_formula() -> None:
    x_NCHW = torch.randn(6, 3, 8, 8)
    labels_N = torch.tensor([0, 1, 2, 3, 0, 1])
    share = np.random.default_rng(4).beta(0.3, 0.3)
    found, target_NK = mixed(x_NCHW, labels_N, 5, np.random.default_rng(4), mixup=0.3)
    torch.testing.assert_close(found, share * x_NCHW + (1 - share) * x_NCHW[[5, 0, 1, 2, 3, 4]])
    wanted = share * F.one_hot(labels_N, 5) + (1 - share) * F.one_hot(labels_N[[5, 0, 1, 2, 3, 4]], 5)
    torch.testing.assert_close(target_NK, wanted.float())
    assert target_NK.sum(dim=1).tolist() == pytest.approx([1.0] * 6)


@pytest.mark.parametrize("seed", range(20))
def test_the_loss_of_a_mixture_is_the_mixture_of_losses(seed: int) -> None:
    """λ·CE(logits, y) + (1 − λ)·CE(logits, y′), with labels smoothed or not, for mixup and for CutMix."""
    labels_N, logits_NK = torch.tensor([0, 1, 2, 3, 4]), torch.randn(5, 5)
    kind = {"mixup": 0.5} if seed % 2 else {"cutmix": 1.0}
    _, target_NK = mixed(torch.randn(5, 1, 8, 8), labels_N, 5, np.random.default_rng(seed), **kind)
    share = float(target_NK[0, 0])
    for smoothing in (0.0, 0.1):
        parts = [F.cross_entropy(logits_NK, y, label_smoothing=smoothing) for y in (labels_N, labels_N.roll(1))]
        torch.testing.assert_close(
            F.cross_entropy(logits_NK, target_NK, label_smoothing=smoothing),
            share * parts[0] + (1 - share) * parts[1],
        )


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_labels_are_the_shares_of_pixels(seed: int) -> None:
    """Images of zeros and ones: what is left of the first is its share of the label."""
    x_NCHW = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 12, 16)
    found, target_NK = mixed(x_NCHW, torch.tensor([0, 1]), 2, np.random.default_rng(seed), cutmix=1.0)
    assert float(found[0].mean()) == pytest.approx(float(target_NK[0, 1]), abs=1e-6)
    assert float(found[1].mean()) == pytest.approx(float(target_NK[1, 1]), abs=1e-6)
    assert set(found.unique().tolist()) <= {0.0, 1.0}
    assert not x_NCHW[0].any()


def test_cutmix_keeps_the_share_that_was_drawn_on_average() -> None:
    """λ ~ U(0, 1) and a rectangle cut at the edges: less than half is replaced."""
    x_NCHW, labels_N = torch.zeros(2, 1, 32, 32), torch.tensor([0, 1])
    shares = [
        float(mixed(x_NCHW, labels_N, 2, np.random.default_rng(seed), cutmix=1.0)[1][0, 0]) for seed in range(500)
    ]
    assert 0.5 < np.mean(shares) < 0.8


def test_with_both_each_batch_takes_one() -> None:
    x_NCHW = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    cut = 0
    for seed in range(200):
        found, _ = mixed(x_NCHW, torch.tensor([0, 1]), 2, np.random.default_rng(seed), mixup=1.0, cutmix=1.0)
        cut += set(found.unique().tolist()) <= {0.0, 1.0}
    assert 70 < cut < 130
