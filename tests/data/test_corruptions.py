import colorsys
import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from lowland.data import CORRUPTIONS, corrupt
from lowland.data.corruptions import disk
from lowland.errors import ConfigError, DataError

NOISE = [name for name, corruption in CORRUPTIONS.items() if corruption.family == "noise"]


def smooth(count: int, channels: int, size: int) -> torch.Tensor:
    """Images with structure at several scales, like photographs."""
    rng = np.random.default_rng(0)
    x = np.zeros((count, channels, size, size))
    for cells in (2, 4, 8, size):
        coarse = rng.random((count, channels, cells, cells)) * 255
        for i in range(count):
            for c in range(channels):
                layer = Image.fromarray(coarse[i, c].astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC)
                x[i, c] += np.asarray(layer) * {2: 0.4, 4: 0.3, 8: 0.2}.get(cells, 0.1)
    return torch.from_numpy(x.clip(0, 255).astype(np.uint8))


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    squared = (a.double() - b.double()).pow(2).flatten(1).mean(1)
    return float((10 * torch.log10(255**2 / squared)).mean())


def test_the_first_corruptions_are_registered():
    expected = "gaussian_noise shot_noise impulse_noise defocus_blur brightness contrast pixelate jpeg_compression"
    assert set(expected.split()) <= set(CORRUPTIONS)
    assert all(name == corruption.name and corruption.summary for name, corruption in CORRUPTIONS.items())


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (3, 96)])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_get_worse_with_severity(name, channels, size):
    x = smooth(8, channels, size)
    quality = [psnr(corrupt(x, name, severity, seed=0), x) for severity in range(1, 6)]
    assert all(a > b for a, b in itertools.pairwise(quality)), quality
    assert quality[0] < 60


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


@pytest.mark.parametrize("name", NOISE)
def test_noise_changes_with_seed_index_and_severity(name):
    x = torch.full((2, 1, 32, 32), 128, dtype=torch.uint8)
    base = corrupt(x, name, 3, seed=0)
    assert not torch.equal(base[0], base[1])
    for other in (corrupt(x, name, 3, seed=1), corrupt(x, name, 3, seed=0, start=2)):
        assert not torch.equal(base, other)
    a, b = (corrupt(x, "gaussian_noise", severity, seed=0).double().flatten() - 128 for severity in (1, 5))
    assert abs(float(torch.corrcoef(torch.stack((a, b)))[0, 1])) < 0.1


@pytest.mark.parametrize(("size", "std", "photons", "share"), [(64, 0.08, 100, 0.03), (65, 0.18, 12, 0.09)])
def test_noise_of_a_grey_image_has_the_published_moments(size, std, photons, share):
    """Severity 3 of CIFAR-10-C up to 64 pixels, of ImageNet-C above."""
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


@pytest.mark.parametrize("name", ["defocus_blur", "contrast", "pixelate"])
@pytest.mark.parametrize("size", [16, 80])
def test_constant_images_are_fixed_points(name, size):
    x = torch.full((1, 1, size, size), 77, dtype=torch.uint8)
    for severity in range(1, 6):
        assert torch.equal(corrupt(x, name, severity, seed=0), x)


@pytest.mark.parametrize("size", [16, 80])
def test_jpeg_of_a_constant_image_quantises_its_mean(size):
    """The DC term 8 (v − 128) is a multiple of the table's first entry, 16 at quality 50 (ITU T.81, Annex K)."""
    corruption = CORRUPTIONS["jpeg_compression"]
    for severity, quality in enumerate(corruption.small if size == 16 else corruption.large, start=1):
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        step = (16 * scale + 50) // 100
        for level in (0, 77, 130, 255):
            steps = int(abs(8 * (level - 128)) / step + 0.5)
            expected = 128 + np.sign(level - 128) * steps * step / 8
            found = corrupt(
                torch.full((1, 1, size, size), level, dtype=torch.uint8), "jpeg_compression", severity, seed=0
            )
            assert (found.double() - min(max(expected, 0), 255)).abs().max() <= 0.51


def test_brightness_is_an_addition_to_the_hsv_value():
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    pixels[0, :2] = 0
    found = corrupt(torch.from_numpy(pixels).permute(2, 0, 1)[None], "brightness", 4, seed=0)[0].permute(1, 2, 0)
    for pixel, result in zip(pixels.reshape(-1, 3) / 255, found.reshape(-1, 3).numpy(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        expected = colorsys.hsv_to_rgb(hue, saturation, min(value + 0.2, 1))
        np.testing.assert_allclose(result, np.array(expected) * 255, atol=0.501)
    grey = torch.tensor([0, 100, 250], dtype=torch.uint8).repeat_interleave(64).view(3, 1, 8, 8)
    assert corrupt(grey, "brightness", 4, seed=0)[:, 0, 0, 0].tolist() == [51, 151, 255]


def test_contrast_shrinks_around_each_channels_mean():
    x = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    x[:, 0, :4] = 200
    x[:, 1] = 50
    found = corrupt(x, "contrast", 3, seed=0)
    assert found[0, 0, [0, 7], 0].tolist() == [140, 60]  # 100 ± 0.4 · 100
    assert (found[0, 1] == 50).all()


def test_defocus_kernels_are_symmetric_averages():
    np.testing.assert_allclose(disk(1, 0.01)[1:-1, 1:-1], np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]) / 5, atol=1e-6)
    for radius, blur in (*CORRUPTIONS["defocus_blur"].small, *CORRUPTIONS["defocus_blur"].large):
        kernel = disk(radius, blur)
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(kernel, kernel.T, atol=1e-7)
        np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-7)


def test_defocus_of_a_point_is_the_kernel():
    x = torch.zeros(1, 1, 31, 31, dtype=torch.uint8)
    x[0, 0, 15, 15] = 255
    kernel = disk(1.5, 0.1)
    reach = len(kernel) // 2
    found = corrupt(x, "defocus_blur", 5, seed=0)[0, 0, 15 - reach : 16 + reach, 15 - reach : 16 + reach]
    np.testing.assert_allclose(found.numpy(), kernel * 255, atol=0.501)


def test_pixelate_averages_blocks():
    """ImageNet-C, severity 2: half as many pixels each way."""
    x = smooth(2, 3, 66)
    found = corrupt(x, "pixelate", 2, seed=0)
    mean = torch.nn.functional.avg_pool2d(x.float(), 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert (found.float() - mean).abs().max() <= 1


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
