from pathlib import Path

import numpy as np
import pytest
import torch

from lowland.core.config import DataConfig
from lowland.core.errors import DataError
from lowland.data import load

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (20, 9, 9, 3), dtype=np.uint8)
Y = np.arange(20) % 4


def saved(tmp_path: Path, **arrays) -> DataConfig:
    np.savez(tmp_path / "my.npz", **arrays)
    return DataConfig(name=str(tmp_path / "my.npz"))


def pixels(split) -> set[bytes]:
    return {x.numpy().tobytes() for x in split.images(torch.arange(len(split)))}


def wanted(x: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in np.ascontiguousarray(x.transpose(0, 3, 1, 2))}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (X, X[:4] // 2),
        (X.transpose(0, 3, 1, 2), X[:4].transpose(0, 3, 1, 2) // 2),
        (X / 255, (X[:4] // 2).astype(np.float32) / 255),
    ],
    ids=["NHWC", "NCHW", "floats"],
)
def test_colour_layouts_and_types(tmp_path, train, test):
    data = load(saved(tmp_path, x_train=train, y_train=Y, x_test=test, y_test=Y[:4, None]), seed=0)
    assert (data.name, data.in_channels, data.image_size, data.classes) == ("my", 3, 9, ("0", "1", "2", "3"))
    assert pixels(data.train) | pixels(data.search) == wanted(X)
    assert pixels(data.test) == wanted(X[:4] // 2)


@pytest.mark.parametrize("keys", [("images", "labels"), ("x_train", "y_train")])
def test_unsplit_grey_arrays(tmp_path, keys):
    data = load(saved(tmp_path, **dict(zip(keys, (X[..., 0], Y), strict=True))), seed=0)
    assert data.in_channels == 1
    assert [len(split) for split in (data.train, data.search, data.test)] == [12, 4, 4]
    assert pixels(data.train) | pixels(data.search) | pixels(data.test) == wanted(X[..., :1])


def test_labels_may_be_names_or_any_integers(tmp_path):
    names = np.array(["pear", "apple", "fig", "kiwi"])[Y]
    data = load(saved(tmp_path, images=X, labels=names), seed=0)
    assert data.classes == ("apple", "fig", "kiwi", "pear")
    for i, label in enumerate(data.train.labels_N):
        image = data.train.images(torch.tensor([i]))[0].permute(1, 2, 0).numpy()
        original = next(k for k in range(20) if (X[k] == image).all())
        assert names[original] == data.classes[label]
    assert load(saved(tmp_path, images=X, labels=Y * 3 - 1), seed=0).classes == ("-1", "2", "5", "8")


def test_oblong_arrays_are_cut_to_their_middle(tmp_path):
    x = X[:, 2:7]
    data = load(saved(tmp_path, images=x, labels=Y), seed=0)
    assert data.image_size == 5
    assert pixels(data.train) < wanted(x[:, :, 2:7])


FLOATS = X / 255
OBJECTS = np.array([{"a": 1}] * 20, dtype=object)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": X, "b": Y}, "holds a, b, but x_train, y_train"),
        ({"x_train": X}, "lacks the array 'y_train'"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "lacks the array 'y_test'"),
        ({"x_train": X, "y_train": Y[:9]}, "x_train has 20 images but y_train has 9 labels"),
        ({"x_train": X.astype(np.int64), "y_train": Y}, "is int64, but uint8, or floats"),
        ({"x_train": FLOATS * 255, "y_train": Y}, "go from 0 to 255, but must go from 0 to 1"),
        ({"x_train": np.where(FLOATS > 0.5, np.nan, FLOATS), "y_train": Y}, "from nan to nan"),
        ({"x_train": X[..., :2], "y_train": Y}, r"x_train has shape \(20, 9, 9, 2\)"),
        ({"x_train": X.reshape(20, -1), "y_train": Y}, r"shape \(20, 243\)"),
        ({"x_train": X, "y_train": Y / 2}, "one integer or string per image, not float64"),
        ({"x_train": X, "y_train": np.eye(4, dtype=int)[Y]}, r"of shape \(20, 4\)"),
        ({"x_train": X, "y_train": Y * 0}, "single class"),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1}, "label 4 is in y_test but not in y_train"),
        ({"x_train": X, "y_train": Y, "x_test": X[..., 0], "y_test": Y}, r"3 channel\(s\) and x_test has 1"),
        ({"x_train": X, "y_train": OBJECTS}, "without object arrays"),
        ({"x_train": X[:0], "y_train": Y[:0]}, "single class|no images"),
    ],
)
def test_unfit_arrays_are_explained(tmp_path, arrays, words):
    with pytest.raises(DataError, match=words) as caught:
        load(saved(tmp_path, **arrays), seed=0)
    assert "\n" not in str(caught.value)
    assert "my.npz" in str(caught.value)


@pytest.mark.parametrize("damage", [lambda b: b"no zip", lambda b: b[:-400], lambda b: b[:200] + b"?" * 50 + b[250:]])
def test_damaged_files_are_named(tmp_path, damage):
    config = saved(tmp_path, x_train=X, y_train=Y)
    Path(config.name).write_bytes(damage(Path(config.name).read_bytes()))
    with pytest.raises(DataError, match=r"my\.npz cannot be read as an \.npz file"):
        load(config, seed=0)


def test_a_single_array_is_refused(tmp_path):
    np.save(tmp_path / "my.npy", X)
    path = (tmp_path / "my.npy").rename(tmp_path / "my.npz")
    with pytest.raises(DataError, match="is a single array"):
        load(DataConfig(name=str(path)), seed=0)
