import itertools

import numpy as np
import pytest
import torch

from lowland.core.config import DataConfig
from lowland.core.errors import ConfigError, DataError
from lowland.data import CORRUPTIONS, GROUPS, STANDARD, corrupt, load
from smooth_images import psnr, smooth

NOISE = [name for name, corruption in CORRUPTIONS.items() if corruption.group == "noise"]
RANDOM = [
    *NOISE, "glass_blur", "motion_blur", "snow", "frost", "fog", "elastic_transform", "speckle_noise", "spatter",
]  # fmt: skip


def test_the_registry_is_that_of_the_publication():
    tables = {
        "noise": "gaussian_noise shot_noise impulse_noise",
        "blur": "defocus_blur glass_blur motion_blur zoom_blur",
        "weather": "snow frost fog brightness",
        "digital": "contrast elastic_transform pixelate jpeg_compression",
        "extra": "speckle_noise gaussian_blur spatter saturate",
    }
    assert tuple(tables) == GROUPS
    assert list(CORRUPTIONS) == [name for names in tables.values() for name in names.split()]
    assert tuple(CORRUPTIONS)[:15] == STANDARD
    for name, corruption in CORRUPTIONS.items():
        assert name == corruption.name
        assert name in tables[corruption.group].split()
        assert corruption.summary
        assert len(corruption.small) == len(corruption.large) == 5


# Where the published constants themselves do not make every severity worse than the one before (smaller PSNR), the
# first and last severity between which they do, or None. Glass: 3 blurs more but scatters as little as 2. Frost: 4 lets
# less of the image through than 3 but adds as much ice. Fog, pixelate: nearly equal. Elastic: the affine part falls
# with severity. Saturation: 1 and 2 take it away, the others add to it.
SMALL_EXCEPTIONS = {
    "glass_blur": (3, 4), "frost": (1, 3), "elastic_transform": None, "pixelate": (2, 5), "motion_blur": (1, 3),
    "spatter": (1, 3), "saturate": (3, 5),
}  # fmt: skip
LARGE_EXCEPTIONS = {"glass_blur": (2, 3), "frost": (1, 3), "fog": (1, 3), "snow": (1, 2), "saturate": (3, 5)}


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (3, 96)])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_get_worse_with_severity(name, channels, size):
    exceptions = SMALL_EXCEPTIONS if size < 64 else LARGE_EXCEPTIONS
    between = exceptions.get(name, (1, 5))
    x = smooth(40 if size < 64 or name == "frost" else 12, channels, size)
    quality = [psnr(corrupt(x, name, severity, seed=0), x) for severity in range(1, 6)]
    if between is not None and not (name == "saturate" and channels == 1):
        within = quality[between[0] - 1 : between[1]]
        assert all(a > b for a, b in itertools.pairwise(within)), quality
        assert name == "saturate" or quality[0] > quality[4], quality
    assert min(quality) < 40


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 33), (1, 65)])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_result_depends_on_the_image_and_its_index_alone(name, channels, size):
    x = smooth(5, channels, size)
    before = x.clone()
    whole = corrupt(x, name, 3, seed=7, start=10)
    assert torch.equal(x, before)
    assert (whole.dtype, whole.shape) == (torch.uint8, x.shape)
    assert torch.equal(whole, corrupt(x.contiguous(memory_format=torch.channels_last), name, 3, seed=7, start=10))
    parts = [corrupt(x[:2], name, 3, seed=7, start=10), corrupt(x[2:], name, 3, seed=7, start=12)]
    assert torch.equal(whole, torch.cat(parts))


@pytest.mark.parametrize("name", RANDOM)
def test_randomness_changes_with_seed_index_and_severity(name):
    x = smooth(1, 1, 32).repeat(4, 1, 1, 1)
    base = corrupt(x, name, 3, seed=0)
    assert any(not torch.equal(base[0], other) for other in base[1:])
    for other in (corrupt(x, name, 3, seed=1), corrupt(x, name, 3, seed=0, start=4)):
        assert not torch.equal(base, other)


def test_severities_have_noise_of_their_own():
    x = torch.full((2, 1, 32, 32), 128, dtype=torch.uint8)
    a, b = (corrupt(x, "gaussian_noise", severity, seed=0).double().flatten() - 128 for severity in (1, 5))
    assert abs(float(torch.corrcoef(torch.stack((a, b)))[0, 1])) < 0.1


@pytest.mark.parametrize(("size", "std", "photons", "share"), [(63, 0.08, 100, 0.03), (64, 0.18, 12, 0.09)])
def test_noise_of_a_grey_image_has_the_published_moments(size, std, photons, share):
    """Severity 3 of CIFAR-10-C below 64 pixels, of ImageNet-C from there on."""
    x = torch.full((30, 1, size, size), 102, dtype=torch.uint8)  # 0.4 of white
    gaussian = corrupt(x, "gaussian_noise", 3, seed=0).double() / 255
    assert float(gaussian.mean()) == pytest.approx(0.4, abs=0.005)
    assert float(gaussian.std()) == pytest.approx(std, rel=0.03)
    shot = corrupt(x, "shot_noise", 3, seed=0).double() / 255
    assert float(shot.mean()) == pytest.approx(0.4, abs=0.005)
    assert float(shot.std()) == pytest.approx((0.4 / photons) ** 0.5, rel=0.05)
    impulse = corrupt(x, "impulse_noise", 3, seed=0)
    assert float((impulse == 0).double().mean()) == pytest.approx(share / 2, rel=0.08)
    assert float((impulse == 255).double().mean()) == pytest.approx(share / 2, rel=0.08)
    assert set(impulse.unique().tolist()) == {0, 102, 255}


@pytest.mark.parametrize(
    "name",
    [
        "defocus_blur",
        "glass_blur",
        "motion_blur",
        "zoom_blur",
        "contrast",
        "elastic_transform",
        "pixelate",
        "gaussian_blur",
    ],
)
@pytest.mark.parametrize("size", [16, 80])
def test_constant_images_are_fixed_points(name, size):
    x = torch.full((1, 1, size, size), 77, dtype=torch.uint8)
    for severity in range(1, 6):
        assert torch.equal(corrupt(x, name, severity, seed=0), x)


def test_constants_of_no_strength_change_nothing():
    """What a severity of 0 would be."""
    x = smooth(3, 3, 32)
    nothing = {
        "gaussian_noise": 0, "impulse_noise": 0, "defocus_blur": (0.3, 1e-3), "glass_blur": (0.01, 1, 0),
        "motion_blur": (3, 1e-2), "zoom_blur": (1, 0.01), "frost": (1, 0, True), "brightness": 0, "contrast": 1,
        "elastic_transform": (0, 0, 0, 1), "pixelate": 1, "speckle_noise": 0, "gaussian_blur": 0.01, "saturate": (1, 0),
        "fog": (1e-9, 2), "snow": (0, 0, 1, 0.5, 5, 1, 1), "shot_noise": 1e9,
    }  # fmt: skip
    for name, constants in nothing.items():
        found = CORRUPTIONS[name].apply(x.numpy(), constants, lambda place: np.random.default_rng(place))
        np.testing.assert_allclose(found, x.numpy(), atol=0.05, err_msg=name)


def test_batches_of_nothing():
    assert corrupt(torch.zeros(0, 3, 32, 32, dtype=torch.uint8), "fog", 1, seed=0).shape == (0, 3, 32, 32)


# PSNR (dB) of the first 100 embedded test images at severity 1, 3 and 5, as made by this code in November 2026. A
# change here is a change of every corrupted accuracy: raise `corruptions.REVISION` with it.
GOLDEN = {
    "gaussian_noise": (29.40, 23.45, 21.60),
    "shot_noise": (33.09, 26.34, 23.53),
    "impulse_noise": (26.75, 19.21, 15.44),
    "defocus_blur": (35.81, 24.06, 18.69),
    "glass_blur": (16.06, 16.99, 14.16),
    "motion_blur": (21.65, 17.06, 15.98),
    "zoom_blur": (20.69, 17.38, 15.52),
    "snow": (26.23, 18.41, 14.21),
    "frost": (19.46, 14.40, 14.16),
    "fog": (22.89, 14.67, 11.43),
    "brightness": (25.91, 16.77, 11.17),
    "contrast": (22.29, 14.69, 11.66),
    "elastic_transform": (13.49, 15.53, 16.72),
    "pixelate": (28.52, 24.00, 19.60),
    "jpeg_compression": (33.99, 29.21, 27.14),
    "speckle_noise": (32.37, 26.61, 22.58),
    "gaussian_blur": (36.30, 22.48, 19.62),
    "spatter": (29.96, 22.11, 22.94),
    "saturate": (108.13, 108.13, 24.82),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_values_on_the_embedded_images(name, embedded):
    found = [psnr(corrupt(embedded, name, severity, seed=0), embedded) for severity in (1, 3, 5)]
    assert found == pytest.approx(GOLDEN[name], abs=0.15)


@pytest.fixture(scope="module")
def embedded():
    return load(DataConfig(), seed=0).test.images(torch.arange(100))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": "gausian_noise"}, ConfigError, "did you mean 'gaussian_noise'"),
        ({"severity": 0}, ConfigError, "1 to 5"),
        ({"severity": 6}, ConfigError, "1 to 5"),
        ({"x_NCHW": torch.zeros(2, 3, 8, 8)}, DataError, "float32"),
        ({"x_NCHW": torch.zeros(2, 2, 8, 8, dtype=torch.uint8)}, DataError, "1 or 3"),
        ({"x_NCHW": torch.zeros(2, 3, 7, 8, dtype=torch.uint8)}, DataError, "at least 8"),
    ],
)
def test_unfit_arguments_are_named(arguments, error, words):
    usual = {"x_NCHW": torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "name": "contrast", "severity": 1, "seed": 0}
    with pytest.raises(error, match=words):
        corrupt(**{**usual, **arguments})
