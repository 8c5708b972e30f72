import dataclasses

import numpy as np
import pytest
import torch

from lowland.core import seeds
from lowland.core.config import DataConfig
from lowland.core.errors import DataError
from lowland.data import catalogue, load


@pytest.fixture(scope="module")
def fashion():
    return load(DataConfig(), seed=0)


def rows(split) -> set[bytes]:
    return {x.numpy().tobytes() for x in split.images(torch.arange(len(split)))}


def test_the_default_set(fashion):
    assert fashion.name == "fashion-mnist-6k"
    assert (fashion.in_channels, fashion.image_size, fashion.num_classes) == (1, 28, 10)
    assert (fashion.flip, fashion.crop_padding) == (True, 3)
    assert "MIT" in fashion.source
    for split, each in ((fashion.train, 400), (fashion.search, 100), (fashion.test, 100)):
        assert split.labels_N.dtype == torch.int64
        assert split.labels_N.bincount().tolist() == [each] * 10
        assert split.images(torch.tensor([5, 2])).shape == (2, 1, 28, 28)
    # The published mean and deviation of Fashion-MNIST, 0.2860 and 0.3530, within the error of 4,000 images.
    assert fashion.mean[0] == pytest.approx(0.2860, abs=0.006)
    assert fashion.std[0] == pytest.approx(0.3530, abs=0.004)


def test_splits_share_no_image(fashion):
    train, search, test = rows(fashion.train), rows(fashion.search), rows(fashion.test)
    assert len(train | search | test) > 5990  # the publication itself holds a few twins
    assert len(train & search) + len((train | search) & test) <= 5


def test_statistics_are_those_of_the_training_images(fashion):
    x = fashion.train.images(torch.arange(4000)).double() / 255
    assert fashion.mean[0] == pytest.approx(x.mean().item(), abs=1e-9)
    assert fashion.std[0] == pytest.approx(x.std(correction=0).item(), abs=1e-9)
    normal = fashion.normalise(fashion.train.images(torch.arange(4000)))
    assert normal.mean().item() == pytest.approx(0, abs=1e-4)
    assert normal.std().item() == pytest.approx(1, abs=1e-3)


def test_splits_are_a_function_of_the_seed(fashion):
    again, other = load(DataConfig(), seed=0), load(DataConfig(), seed=1)
    assert again.fingerprint == fashion.fingerprint
    assert rows(again.search) == rows(fashion.search)
    assert rows(other.search) != rows(fashion.search)
    assert other.fingerprint != fashion.fingerprint
    assert rows(other.test) == rows(fashion.test)


def test_the_beginning_of_a_split_is_stratified(fashion):
    for split in (fashion.train, fashion.search, fashion.test):
        assert split.labels_N[:50].bincount().tolist() == [5] * 10


def test_limit_and_search_fraction(fashion):
    data = load(DataConfig(limit=103, search_fraction=0.5), seed=0)
    counts = data.train.labels_N.bincount() + data.search.labels_N.bincount()
    assert sorted(counts.tolist()) == [10] * 7 + [11] * 3
    assert abs(len(data.train) - len(data.search)) <= 1
    assert len(data.test) == 1000
    assert rows(data.train) | rows(data.search) <= rows(fashion.train) | rows(fashion.search)


def test_digits():
    data = load(DataConfig(name="digits"), seed=0)
    assert (data.image_size, data.in_channels, data.flip, data.crop_padding) == (8, 1, False, 1)
    assert (len(data.train), len(data.search), len(data.test)) == (1150, 288, 359)
    assert max(data.train.images(torch.arange(50)).flatten()) == 255
    assert data.classes == tuple("0123456789")


def test_settings_override_defaults():
    data = load(DataConfig(name="digits", flip=True, crop_padding=0, image_size=16), seed=0)
    assert (data.flip, data.crop_padding, data.image_size) == (True, 0, 16)
    assert data.test.images(torch.tensor([0])).shape == (1, 1, 16, 16)


def test_resized_arrays_can_be_streamed():
    held = load(DataConfig(name="digits", image_size=12, limit=40), seed=0)
    streamed = load(DataConfig(name="digits", image_size=12, limit=40, memory_gb=1e-9), seed=0)
    assert streamed.test.streamed
    assert rows(held.test) == rows(streamed.test)
    assert held.fingerprint == streamed.fingerprint


def test_statistics_of_a_large_streamed_set_come_from_a_sample():
    held, streamed = (load(DataConfig(memory_gb=gb), seed=0) for gb in (4.0, 1e-9))
    assert streamed.mean != held.mean
    assert streamed.mean[0] == pytest.approx(held.mean[0], abs=0.01)
    assert streamed.std[0] == pytest.approx(held.std[0], abs=0.01)
    assert streamed.mean == load(DataConfig(memory_gb=1e-9), seed=0).mean


@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")  # all the same
def test_constant_images_can_be_normalised(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.full((9, 8, 8), 40, np.uint8), labels=np.arange(9) % 2)
    data = load(DataConfig(name=str(tmp_path / "x.npz")), seed=0)
    assert data.std == (pytest.approx(1 / 255),)
    assert data.normalise(data.test.images(torch.tensor([0]))).abs().max() < 1e-5


def test_catalogue_names_everything_with_its_origin():
    entries = catalogue()
    assert entries[0].name == "fashion-mnist-6k"
    assert {"digits", "cifar10", "svhn", "imagenette"} <= {entry.name for entry in entries}
    assert all(all(dataclasses.astuple(entry)) for entry in entries)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fashion-mnist-6K", "did you mean 'fashion-mnist-6k'"),
        ("ciphar10", "did you mean 'cifar10'"),
        ("qqqqqqq", "no data set, folder or file is called 'qqqqqqq'; give the path"),
        ("./nowhere", "nowhere does not exist"),
        ("nowhere.npz", "does not exist"),
        (__file__, "neither a folder of images nor an .npz file"),
    ],
)
def test_unknown_names_are_explained(name, words):
    with pytest.raises(DataError, match=words) as caught:
        load(DataConfig(name=name), seed=0)
    assert "\n" not in str(caught.value)


def test_a_limit_too_small_for_the_classes_is_explained():
    with pytest.raises(DataError, match="raise it to 20 or more"):
        load(DataConfig(limit=19), seed=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_splits_live_on_the_device_asked_for():
    data = load(DataConfig(name="digits"), seed=0, device="cuda")
    reference = load(DataConfig(name="digits"), seed=0)
    indices = torch.tensor([3, 1])
    assert data.train.images(indices).is_cuda
    assert data.train.labels_N.is_cuda
    assert torch.equal(data.train.images(indices).cpu(), reference.train.images(indices))
    assert data.mean == reference.mean


def test_seeds_are_drawn_by_purpose():
    """Guards the promise that splits come from lowland.core.seeds alone: global generators play no part."""
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    first = load(DataConfig(name="digits"), seed=5).fingerprint
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    assert load(DataConfig(name="digits"), seed=5).fingerprint == first
    assert seeds.derive(5, "data", "train") != seeds.derive(5, "data", "test")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("imagenet-a.tar", "tar xf"),
        ("CIFAR-10-C.tar.gz", "tar xf"),
        ("x.TGZ", "tar xf"),
        ("pets.zip", "unzip"),
        ("x.7z", "7z x"),
    ],
)
def test_packed_data_say_how_to_unpack(tmp_path, name, command):
    (tmp_path / name).write_bytes(b"packed")
    sentence = f"{tmp_path / name} is packed; unpack it first: {command} {name}, and give the folder that this makes"
    for config in (DataConfig(name=str(tmp_path / name)), DataConfig(name="cifar10", root=tmp_path / name)):
        with pytest.raises(DataError) as caught:
            load(config, seed=0)
        assert str(caught.value) == sentence
