"""What is said of a data set before anything is computed, and what is unwise about it."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lowland.core.config import DataConfig
from lowland.core.errors import LowlandWarning
from lowland.data import DataSet, describe, load

RNG = np.random.default_rng(0)


def noise(count: int, side: int = 8) -> np.ndarray:
    return RNG.integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def loaded(path: Path, **settings: object) -> DataSet:
    """The data set, with what it warns of kept to itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LowlandWarning)
        return load(DataConfig.model_validate({"name": str(path), **settings}), seed=0)


def saved(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path / "my.npz", **arrays)
    return path / "my.npz"


def test_the_line_of_a_folder(tmp_path: Path) -> None:
    for part, counts in (("train", (10, 20, 20)), ("test", (40, 40, 40))):
        for name, count in zip("abc", counts, strict=True):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(noise(1)[0]).save(tmp_path / part / name / f"{i}.png")
    data = loaded(tmp_path)
    assert describe(data) == (
        "3 classes; 40 / 10 / 120 train / search / test; test from test/; 8×8 colour, PNG; class sizes 10–20"
    )
    assert data.warnings == ()
    line = describe(loaded(tmp_path, memory_gb=1e-9))
    assert "streamed, so repeated pictures are not looked for" in line


def test_the_lines_of_the_embedded_and_an_unsplit_set() -> None:
    data = load(DataConfig(), seed=0)
    assert describe(data).startswith(
        "10 classes; 4,000 / 1,000 / 1,000 train / search / test; test images its own; 28×28"
    )
    assert data.warnings == ()
    assert "test cut from the training images (20%)" in describe(load(DataConfig(name="digits"), seed=0))


def test_a_data_set_made_by_hand_has_a_line() -> None:
    data = replace(load(DataConfig(name="digits"), seed=0), found=())
    assert describe(data) == "10 classes; 1,150 / 288 / 359 train / search / test; class sizes 139–146"


def test_the_embedded_set_is_what_it_was() -> None:
    assert load(DataConfig(), seed=0).fingerprint[:16] == "7cc15f7039aef5c2"
    assert load(DataConfig(name="digits"), seed=3).fingerprint[:16] == "66f602cdf05799f9"


def arrays(test: int = 120) -> dict[str, np.ndarray]:
    return {"x_train": noise(40), "y_train": np.arange(40) % 2, "x_test": noise(test), "y_test": np.arange(test) % 2}


def test_nothing_is_said_of_data_without_fault(tmp_path: Path) -> None:
    assert load(DataConfig(name=str(saved(tmp_path, **arrays()))), seed=0).warnings == ()


def spoilt(fault: str) -> dict[str, np.ndarray]:
    given = arrays(99 if fault == "few" else 120)
    x, y = given["x_train"], given["y_train"]
    if fault == "imbalance":
        given["y_train"] = (np.arange(40) < 3).astype(int)
    elif fault == "repeated":
        given["x_test"][[4, 8]] = x[[6, 10]]
    elif fault == "torn":
        x[1] = x[0]
    elif fault == "flat":
        x[:] = noise(40)
        x[7] = 130
        x[7, 0, 0] = 132
    elif fault == "dim":
        given["x_train"], given["x_test"] = x // 16, given["x_test"] // 16
    return {**given, "y_train": given["y_train"] if fault == "imbalance" else y}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("few", "only 99 test pictures: an accuracy measured on them is uncertain by up to ±10 points"),
        ("imbalance", "class '0' has 37 training pictures and '1' only 3: accuracy will say little"),
        ("repeated", "2 test pictures of 120 are also among the training or search pictures (same pixels at 8×8): the"),
        ("torn", "1 picture (same pixels at 8×8) is in more than one class; keep it in one"),
        ("flat", "1 picture is of one level throughout (within 2 of 255): empty or damaged?"),
        ("dim", "no picture is brighter than level 15 of 255; if their levels have another range, scale them"),
    ],
)
def test_what_is_unwise_is_said_once(tmp_path: Path, fault: str, words: str) -> None:
    path = saved(tmp_path, **spoilt(fault))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = load(DataConfig(name=str(path)), seed=0)
    (sentence,) = data.warnings
    assert sentence.startswith(words)
    assert [str(warning.message) for warning in said if warning.category is LowlandWarning] == [sentence]


def test_repeats_are_counted_in_the_line(tmp_path: Path) -> None:
    assert "2 test pictures also in train or search" in describe(loaded(saved(tmp_path, **spoilt("repeated"))))


def test_every_picture_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(6):
            Image.fromarray(noise(1)[0]).save(tmp_path / name / f"{i}.png")
    from lowland.data import pictures

    decoded: list[object] = []
    genuine = pictures.pixels
    monkeypatch.setattr(pictures, "pixels", lambda *given: decoded.append(given) or genuine(*given))
    data = loaded(tmp_path)
    assert len(decoded) == 12
    data.train.images(torch.arange(2))
    assert len(decoded) == 12
