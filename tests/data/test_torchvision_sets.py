import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

from lowland.core.config import DataConfig
from lowland.core.errors import DataError
from lowland.data import load
from lowland.data.known import SETS

RNG = np.random.default_rng(0)


def _idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes())


def _mnist_like(root: Path, folder: str) -> None:
    for part, count in (("train", 40), ("t10k", 10)):
        _idx(root / folder / "raw" / f"{part}-images-idx3-ubyte", RNG.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        _idx(root / folder / "raw" / f"{part}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))


def _picture(path: Path, size: tuple[int, int] = (20, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)


def _svhn(root: Path) -> None:
    for part, count in (("train", 40), ("test", 20)):
        x = RNG.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        savemat(root / f"{part}_32x32.mat", {"X": x, "y": np.arange(count)[:, None] % 10 + 1})


def _stl10(root: Path) -> None:
    folder = root / "stl10_binary"
    folder.mkdir()
    for part, count in (("train", 40), ("test", 20)):
        (folder / f"{part}_X.bin").write_bytes(RNG.integers(0, 256, (count, 3, 96, 96), dtype=np.uint8).tobytes())
        (folder / f"{part}_y.bin").write_bytes((np.arange(count) % 10 + 1).astype(np.uint8).tobytes())
    (folder / "class_names.txt").write_text("\n".join("abcdefghij") + "\n")


def _eurosat(root: Path) -> None:
    for i in range(12):
        _picture(root / "eurosat" / "2750" / ("Forest", "River")[i % 2] / f"{i}.jpg")


def _pets(root: Path) -> None:
    base = root / "oxford-iiit-pet"
    for part, count in (("trainval", 8), ("test", 4)):
        lines = [f"{('Abyssinian', 'beagle')[i % 2]}_{part}{i} {i % 2 + 1} {i % 2 + 1} 1" for i in range(count)]
        for line in lines:
            _picture(base / "images" / f"{line.split()[0]}.jpg")
        (base / "annotations").mkdir(exist_ok=True)
        (base / "annotations" / f"{part}.txt").write_text("\n".join(lines) + "\n")


def _dtd(root: Path) -> None:
    base = root / "dtd" / "dtd"
    for part in ("train", "val", "test"):
        names = [f"{('banded', 'woven')[i % 2]}/{part}{i}.jpg" for i in range(4)]
        for name in names:
            _picture(base / "images" / name)
        (base / "labels").mkdir(exist_ok=True)
        (base / "labels" / f"{part}1.txt").write_text("\n".join(names) + "\n")


def _food101(root: Path) -> None:
    for part in ("train", "test"):
        meta = {name: [f"{name}/{part}{i}" for i in range(4)] for name in ("pizza", "soup")}
        for paths in meta.values():
            for path in paths:
                _picture(root / "food-101" / "images" / f"{path}.jpg")
        (root / "food-101" / "meta").mkdir(exist_ok=True)
        (root / "food-101" / "meta" / f"{part}.json").write_text(json.dumps(meta))


def _gtsrb(root: Path) -> None:
    base = root / "gtsrb" / "GTSRB"
    for label in range(2):
        for i in range(4):
            _picture(base / "Training" / f"{label:05d}" / f"{i}.ppm")
    rows = ["Filename;ClassId"]
    for i in range(4):
        _picture(base / "Final_Test" / "Images" / f"{i}.ppm")
        rows.append(f"{i}.ppm;{i % 2}")
    (root / "gtsrb" / "GT-final_test.csv").write_text("\n".join(rows) + "\n")


def _imagenette(root: Path) -> None:
    for part in ("train", "val"):
        for wnid in ("n01440764", "n02102040"):
            for i in range(4):
                _picture(root / "imagenette2-320" / part / wnid / f"{i}.JPEG")


def _flowers(root: Path) -> None:
    base = root / "flowers-102"
    for i in range(1, 13):
        _picture(base / "jpg" / f"image_{i:05d}.jpg")
    savemat(base / "imagelabels.mat", {"labels": np.arange(12) % 2 + 1})
    savemat(base / "setid.mat", {"trnid": [1, 2, 3, 4], "valid": [5, 6, 7, 8], "tstid": [9, 10, 11, 12]})


MADE = {
    "mnist": (lambda root: _mnist_like(root, "MNIST"), "0", 28, (30, 10, 10), (1, False)),
    "fashion-mnist": (lambda root: _mnist_like(root, "FashionMNIST"), "T-shirt/top", 28, (30, 10, 10), (1, True)),
    "kmnist": (lambda root: _mnist_like(root, "KMNIST"), "o", 28, (30, 10, 10), (1, False)),
    "svhn": (_svhn, "0", 32, (30, 10, 20), (3, False)),
    "stl10": (_stl10, "a", 96, (30, 10, 20), (3, True)),
    "eurosat": (_eurosat, "Forest", 16, (8, 2, 2), (3, True)),
    "oxford-iiit-pet": (_pets, "Abyssinian", 16, (6, 2, 4), (3, True)),
    "dtd": (_dtd, "banded", 16, (6, 2, 4), (3, True)),
    "food101": (_food101, "pizza", 16, (6, 2, 8), (3, True)),
    "gtsrb": (_gtsrb, "0", 16, (6, 2, 4), (3, False)),
    "imagenette": (_imagenette, "tench", 16, (6, 2, 8), (3, True)),
    "flowers102": (_flowers, "pink primrose", 16, (6, 2, 4), (3, True)),
}


@pytest.mark.parametrize("name", MADE)
def test_sets_in_their_published_layout(tmp_path, name, monkeypatch):
    make, first_class, size, lengths, (channels, flip) = MADE[name]
    make(tmp_path)
    if hasattr(getattr(datasets, SETS[name].reader), "_check_integrity"):  # the files made here cannot have their MD5
        monkeypatch.setattr(getattr(datasets, SETS[name].reader), "_check_integrity", lambda self: True)
    if name == "svhn":
        monkeypatch.setattr("torchvision.datasets.svhn.check_integrity", lambda path, md5=None: True, raising=False)
    if name == "flowers102":
        monkeypatch.setattr(datasets.Flowers102, "classes", ["pink primrose", "snapdragon"])
    data = load(DataConfig(name=name, root=tmp_path), seed=0)
    assert data.name == name
    assert data.classes[0] == first_class
    assert (len(data.train), len(data.search), len(data.test)) == lengths
    assert (data.image_size, data.in_channels, data.flip) == (size, channels, flip)
    assert data.test.images(torch.tensor([0])).shape == (1, channels, size, size)


@pytest.mark.parametrize(("name", "reader"), [("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")])
def test_cifar(tmp_path, monkeypatch, name, reader):
    x = RNG.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)

    class Reader:
        classes = ("cat", "dog")

        def __init__(self, *, root: str, train: bool, download: bool) -> None:
            assert (root, download) == (str(tmp_path), False)
            self.data = x if train else x[:4] // 2
            self.targets = [i % 2 for i in range(len(self.data))]

    monkeypatch.setattr(datasets, reader, Reader)
    data = load(DataConfig(name=name, root=tmp_path), seed=0)
    assert data.classes == ("cat", "dog")
    found = {image.permute(1, 2, 0).numpy().tobytes() for image in data.test.images(torch.arange(4))}
    assert found == {image.tobytes() for image in x[:4] // 2}


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_explained_if_it_is_not_there(tmp_path, name):
    with pytest.raises(DataError, match=r"pass --data-root .* and --download"):
        load(DataConfig(name=name), seed=0)
    with pytest.raises(DataError, match=r"is missing from, or damaged in, .*; correct --data-root, or pass --download"):
        load(DataConfig(name=name, root=tmp_path), seed=0)


def test_a_failed_download_is_explained(tmp_path, monkeypatch):
    def refuse(**_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(datasets, "CIFAR10", refuse)
    with pytest.raises(DataError, match=r"could not be fetched into .* \(no route to host\); check the connection"):
        load(DataConfig(name="cifar10", root=tmp_path, download=True), seed=0)
