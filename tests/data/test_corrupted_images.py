"""Corrupted images as evaluation gets them: before any resize, cached on request, or from a published folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lowland.core.config import DataConfig
from lowland.core.errors import DataError
from lowland.data import CorruptedFolder, DataSet, Generated, cache_folder, corrupt, load
from lowland.data.corruptions import images as module
from lowland.data.images import fit

NAMES = ("fog", "gaussian_noise")


def arrays(path: Path, size: int = 12, channels: int = 3) -> Path:
    """A data set of 30 training and 10 test images."""
    rng = np.random.default_rng(0)
    shape = (size, size) if channels == 1 else (size, size, channels)
    images = {
        part: rng.integers(0, 256, (count, *shape), dtype=np.uint8) for part, count in (("train", 30), ("test", 10))
    }
    labels = {part: np.arange(len(images[part])) % 2 for part in images}
    np.savez(path, **{f"x_{part}": images[part] for part in images}, **{f"y_{part}": labels[part] for part in images})
    return path


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    return load(DataConfig(name=str(arrays(tmp_path / "d.npz"))), seed=0)


def resized_one_by_one(x_NCHW: torch.Tensor, size: int) -> torch.Tensor:
    pictures = [Image.fromarray(x.permute(1, 2, 0).numpy()) for x in x_NCHW]
    return torch.stack([torch.from_numpy(np.array(fit(picture, size))).permute(2, 0, 1) for picture in pictures])


@pytest.mark.parametrize("size", [8, 12, 20])
def test_arrays_are_corrupted_at_their_own_size_then_resized(size: int, tmp_path: Path) -> None:
    file = arrays(tmp_path / "d.npz")
    own = load(DataConfig(name=str(file)), seed=0)
    data = load(DataConfig(name=str(file), image_size=size), seed=0)
    assert (data.unresized_test is None) == (size == 12)
    found = Generated(data, 5).images("impulse_noise", 4, 3, 9)
    expected = corrupt(own.test.images(torch.arange(3, 9)), "impulse_noise", 4, seed=5, start=3)
    assert torch.equal(found, resized_one_by_one(expected, size))
    assert torch.equal(Generated(data, 5).labels_N, data.test.labels_N)


def test_pictures_of_a_folder_are_corrupted_at_their_median_side(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "p" / name).mkdir(parents=True)
        for index in range(6):
            pixels = rng.integers(0, 256, (16 + 2 * (index % 3), 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "p" / name / f"{index}.png")
    own = load(DataConfig(name=str(tmp_path / "p")), seed=0)
    assert own.image_size == 18
    data = load(DataConfig(name=str(tmp_path / "p"), image_size=32), seed=0)
    count = len(data.test)
    found = Generated(data, 1).images("snow", 2, 0, count)
    expected = resized_one_by_one(corrupt(own.test.images(torch.arange(count)), "snow", 2, seed=1), 32)
    assert torch.equal(found, expected)


def test_the_cache_gives_the_same_images_and_heals(
    data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    plain = Generated(data, 5).images("fog", 2, 2, 6)
    kept = Generated(data, 5, cache=cache)
    assert torch.equal(kept.images("fog", 2, 2, 6), plain)
    (file,) = (path for path in cache.rglob("*") if path.is_file())
    assert file.name == "fog-2-2-6.npy"
    assert np.load(file, allow_pickle=False).shape == (4, 3, 12, 12)

    def refuse(*_: object, **__: object) -> torch.Tensor:
        raise AssertionError("made again")

    with monkeypatch.context() as patch:
        patch.setattr(module, "corrupt", refuse)
        assert torch.equal(Generated(data, 5, cache=cache).images("fog", 2, 2, 6), plain)
        for other in (Generated(data, 6, cache=cache), Generated(replace(data, fingerprint="x"), 5, cache=cache)):
            with pytest.raises(AssertionError):
                other.images("fog", 2, 2, 6)
    for damage in (b"", file.read_bytes()[:-50], b"PK\x03\x04"):
        file.write_bytes(damage)
        assert torch.equal(kept.images("fog", 2, 2, 6), plain)
        assert np.load(file, allow_pickle=False).shape == (4, 3, 12, 12)


def test_the_cache_is_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "lowland" / "corruptions"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "lowland" / "corruptions"


def published(folder: Path, size: int = 12, count: int = 7, channels: int = 3) -> Path:
    """A folder in the layout of CIFAR-10-C: level 40 · severity + image."""
    folder.mkdir()
    level = 40 * np.repeat(np.arange(1, 6), count) + np.tile(np.arange(count), 5)
    shape = (5 * count, size, size) if channels == 1 else (5 * count, size, size, channels)
    for name in NAMES:
        np.save(
            folder / f"{name}.npy", np.broadcast_to(level.reshape(-1, *[1] * (len(shape) - 1)), shape).astype(np.uint8)
        )
    np.save(folder / "labels.npy", np.tile(np.arange(count) % 2, 5))
    return folder


@pytest.mark.parametrize("size", [12, 9])
def test_a_published_folder_is_read_by_severity(size: int, data: DataSet, tmp_path: Path) -> None:
    folder = CorruptedFolder(published(tmp_path / "C", size=size), NAMES, data)
    assert folder.labels_N.tolist() == [0, 1, 0, 1, 0, 1, 0]
    found = folder.images("fog", 4, 2, 5)
    assert (found.shape, found.dtype) == ((3, 3, 12, 12), torch.uint8)
    assert found[:, 0, 0, 0].tolist() == [162, 163, 164]
    assert (found == found[:, :1, :1, :1]).all()


def test_a_published_folder_of_grey_images(tmp_path: Path) -> None:
    grey = load(DataConfig(name=str(arrays(tmp_path / "g.npz", channels=1))), seed=0)
    found = CorruptedFolder(published(tmp_path / "C", channels=1), NAMES, grey).images("fog", 1, 0, 7)
    assert found[:, 0, 3, 3].tolist() == list(range(40, 47))


def test_pixels_keep_their_place(data: DataSet, tmp_path: Path) -> None:
    folder = published(tmp_path / "C")
    images = np.random.default_rng(0).integers(0, 256, (35, 12, 12, 3), dtype=np.uint8)
    np.save(folder / "fog.npy", images)
    found = CorruptedFolder(folder, ["fog"], data).images("fog", 2, 1, 4)
    np.testing.assert_array_equal(found.permute(0, 2, 3, 1).numpy(), images[8:11])


FAULTS = {
    "no folder": (lambda f: [p.unlink() for p in f.iterdir()] and f.rmdir(), ["is not a folder"]),
    "no labels": (lambda f: (f / "labels.npy").unlink(), ["has no labels.npy", "fog, gaussian_noise"]),
    "no fog": (
        lambda f: (f / "fog.npy").unlink(),
        ["has no fog.npy, only gaussian_noise, labels", "evaluate.options.corruptions.names"],
    ),
    "empty": (lambda f: [p.unlink() for p in f.iterdir()], ["no .npy file at all"]),
    "float": (lambda f: np.save(f / "fog.npy", np.zeros((35, 12, 12, 3))), ["fog.npy", "uint8", "float64"]),
    "flat": (
        lambda f: np.save(f / "fog.npy", np.zeros((35, 432), np.uint8)),
        ["fog.npy", "(5 · N, H, W, 3)", "(35, 432)"],
    ),
    "short": (
        lambda f: np.save(f / "fog.npy", np.zeros((34, 12, 12, 3), np.uint8)),
        ["fog.npy has 34 images", "35 labels"],
    ),
    "grey": (lambda f: np.save(f / "fog.npy", np.zeros((35, 12, 12), np.uint8)), ["1 channel(s)", "trained on 3"]),
    "not 5 N": (
        lambda f: np.save(f / "labels.npy", np.zeros(34, np.int64)),
        ["holds 34 labels", "has 35 images"],
    ),
    "class 9": (lambda f: np.save(f / "labels.npy", np.full(35, 9)), ["holds the class 9", "0 to 1"]),
    "class -1": (lambda f: np.save(f / "labels.npy", np.full(35, -1)), ["holds the class -1"]),
    "one severity": (
        lambda f: np.save(f / "labels.npy", np.arange(7) % 2),
        ["holds 7 labels, those of one severity", "35 images, of 5 severities", "np.tile(labels, 5)"],
    ),
    "both 34": (
        lambda f: (
            [np.save(f / f"{name}.npy", np.zeros((34, 12, 12, 3), np.uint8)) for name in NAMES]
            and np.save(f / "labels.npy", np.zeros(34, np.int64))
        ),
        ["holds 34 labels", "not the same number at each of 5 severities"],
    ),
    "two severities": (lambda f: np.save(f / "labels.npy", np.zeros(10, np.int64)), ["10 labels", "has 35 images"]),
    "order": (lambda f: np.save(f / "labels.npy", np.arange(35) % 2), ["the labels of the 5 severities", "differ"]),
    "pickle": (lambda f: np.save(f / "fog.npy", np.array([{}]), allow_pickle=True), ["fog.npy cannot be read"]),
    "text": (lambda f: (f / "fog.npy").write_text("fog"), ["fog.npy cannot be read"]),
    "nothing": (lambda f: (f / "fog.npy").write_bytes(b""), ["fog.npy cannot be read"]),
    "archive": (lambda f: (f / "a.npz").replace(f / "fog.npy"), ["fog.npy cannot be read"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_unfit_folder_is_one_sentence(fault: str, data: DataSet, tmp_path: Path) -> None:
    folder = published(tmp_path / "C")
    spoil, words = FAULTS[fault]
    if fault == "archive":
        np.savez(folder / "a.npz", a=np.zeros(3))
    spoil(folder)
    with pytest.raises(DataError) as caught:
        CorruptedFolder(folder, NAMES, data)
    message = str(caught.value)
    assert str(folder) in message
    assert "\n" not in message
    assert all(word in message for word in words), message


def numbered(tmp_path: Path) -> DataSet:
    """A folder of twelve classes called 0 to 11, two test images each of level 20 · class."""
    for part in ("train", "test"):
        for label in range(12):
            (tmp_path / "set" / part / str(label)).mkdir(parents=True)
            for i in range(2):
                level = np.full((12, 12), 20 * label, np.uint8)
                level[0, 0] = 240 + 5 * i + (part == "test")
                Image.fromarray(level).save(tmp_path / "set" / part / str(label) / f"{i}.png")
    return load(DataConfig(name=str(tmp_path / "set")), seed=0)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, str])
def test_numbers_and_names_of_classes_meet_the_folders(kind: type, tmp_path: Path) -> None:
    data = numbered(tmp_path)
    folder = tmp_path / "C"
    folder.mkdir()
    labels = np.tile(np.arange(12), 5)
    np.save(folder / "labels.npy", labels.astype(kind))
    np.save(folder / "fog.npy", np.broadcast_to((20 * labels)[:, None, None], (60, 12, 12)).astype(np.uint8))
    found = CorruptedFolder(folder, ["fog"], data)
    means = {
        int(y): int(x[0, 5, 5]) for x, y in zip(data.test.images(torch.arange(24)), data.test.labels_N, strict=True)
    }
    levels = found.images("fog", 3, 0, 12)[:, 0, 0, 0].tolist()
    assert [means[int(label)] for label in found.labels_N] == levels


def test_a_file_that_counts_the_classes_in_another_order_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures, labels = rng.integers(0, 256, (14, 12, 12, 3), dtype=np.uint8), np.array([0, 1, 0, 1, 0, 1, 1] * 2)
    names = np.array(["ape", "zebra"])[labels]
    np.savez(tmp_path / "d.npz", x_train=pictures[:7], y_train=names[:7], x_test=pictures[7:], y_test=names[7:])
    data = load(DataConfig(name=str(tmp_path / "d.npz")), seed=0)
    folder = published(tmp_path / "C")  # four of class 0, three of class 1
    with pytest.raises(DataError, match="count the classes in another order than ape, zebra"):
        CorruptedFolder(folder, NAMES, data)
    np.save(folder / "labels.npy", np.tile(names[:7], 5))
    assert CorruptedFolder(folder, NAMES, data).labels_N.tolist() == labels[:7].tolist()
