from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lowland.core.config import DataConfig
from lowland.core.errors import DataError, LowlandWarning
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
        ({"x_train": X, "y_train": Y / 2}, r"one integer or string per image, not float64 .*astype\(int\)"),
        ({"x_train": X, "y_train": np.eye(4, dtype=int)[Y]}, r"of shape \(20, 4\); if each row .*y_train\.argmax\(1\)"),
        (
            {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y[:5]},
            "20 images but y_test has 5 labels; each image needs",
        ),
        ({"x_train": X, "y_train": Y, "images": X, "labels": Y}, "images, labels and x_train, y_train could both"),
        ({"x_train": X, "y_train": Y, "X_train": X}, "x_train and X_train could both be the same images"),
        ({"train_images": X}, "lacks the array 'train_labels'; train_images and train_labels are needed together"),
        ({"train_labels": Y}, "lacks the array 'train_images'"),
        ({"xtrain": X}, "lacks the array 'ytrain'"),
        ({"x_test": X, "y_test": Y}, "holds x_test, y_test, but no training images; add x_train"),
        (
            {"x_train": X, "y_train": np.array(["a", "b"])[Y % 2], "x_test": X, "y_test": Y},
            "y_train holds names and y_test",
        ),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": np.array(["1", "01"])[Y % 2]}, "the same number"),
        ({"x_train": X, "y_train": Y, "x_val": X, "y_val": Y + 1}, "label 4 is in y_val but not in y_train"),
        ({"x_train": X[:, :3, :3], "y_train": Y}, "sides of at least 4"),
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


MEDMNIST = ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels")
USUAL = ("X_train", "y_train", "X_valid", "y_valid", "X_test", "y_test")
LATIN = ("xtrain", "ytrain", "xdev", "ydev", "xtest", "ytest")


@pytest.mark.parametrize("keys", [MEDMNIST, USUAL, LATIN])
def test_three_parts_under_usual_names(tmp_path, keys):
    parts = (X[:12], X[12:16], X[16:])
    arrays = {keys[2 * i]: x for i, x in enumerate(parts)}
    arrays |= {keys[2 * i + 1]: (np.arange(len(x)) % 2)[:, None].astype(np.uint8) for i, x in enumerate(parts)}
    data = load(saved(tmp_path, **arrays), seed=0)
    assert [pixels(split) for split in (data.train, data.search, data.test)] == [wanted(x) for x in parts]
    assert {f"search from {keys[2]}", f"test from {keys[4]}"} < set(data.found)
    without_test = {key: arrays[key] for key in keys[:4]}
    data = load(saved(tmp_path, **without_test), seed=0)
    assert pixels(data.test) == wanted(parts[1])
    assert f"test from {keys[2]}" in data.found


def test_arrays_without_a_meaning_are_named(tmp_path):
    with pytest.warns(LowlandWarning, match=r"my\.npz: not used: weights, train_extra_images$"):
        load(saved(tmp_path, images=X, labels=Y, weights=Y, train_extra_images=X), seed=0)


@pytest.mark.parametrize("numbers_first", [True, False])
def test_numbers_match_text_that_is_numbers(tmp_path, numbers_first):
    y = np.arange(24) % 12
    x = RNG.integers(0, 256, (48, 6, 6), dtype=np.uint8)
    labels = (y, y.astype(str)) if numbers_first else (y.astype(str), y)
    arrays = {"x_train": x[:24], "x_test": x[24:], "y_train": labels[0], "y_test": labels[1]}
    data = load(saved(tmp_path, **arrays), seed=0)
    assert data.classes == tuple(map(str, range(12)))
    for i, label in enumerate(data.test.labels_N.tolist()):
        (place,) = (k for k in range(24) if (x[24 + k] == data.test.images(torch.tensor([i]))[0, 0].numpy()).all())
        assert y[place] == label


@pytest.mark.parametrize("size", [(3, 8), (8, 3), (3, 3)])
def test_what_is_too_small_in_a_folder_is_too_small_in_arrays(tmp_path, size):
    """Pictures with a side below 4 pixels are refused alike, whatever holds them."""
    height, width = size
    images = np.zeros((8, height, width, 3), dtype=np.uint8)
    np.savez(tmp_path / "small.npz", x_train=images, y_train=np.arange(8) % 2, x_test=images, y_test=np.arange(8) % 2)
    for name in "ab":
        (tmp_path / "folder" / name).mkdir(parents=True)
        for place in range(8):
            Image.fromarray(images[0]).save(tmp_path / "folder" / name / f"{place}.png")
    for where in (tmp_path / "small.npz", tmp_path / "folder"):
        with pytest.raises(DataError, match="sides of at least 4"):
            load(DataConfig(name=str(where)), seed=0)
