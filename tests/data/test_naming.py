"""Names of strangers: which part and class they mean, and that no doubtful one is guessed."""

import numpy as np
import pytest

from lowland.core.errors import DataError
from lowland.data.naming import in_order, matched, role, twins_note

TWELVE = tuple(map(str, range(12)))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *((name, "train") for name in ("train", "Training", "TRAIN_SET", "training-images")),
        *((name, "val") for name in ("val", "valid", "Validation", "dev", "eval", "val_split")),
        *((name, "test") for name in ("test", "Testing", "test_data", "testset")),
        *((name, None) for name in ("trains", "cat", "data", "images", "invalid", "pretest", "devil")),
    ],
)
def test_parts(name: str, part: str | None) -> None:
    assert role(name) == part


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (sorted(TWELVE), TWELVE),
        (["10", "2", "-1"], ("-1", "2", "10")),
        (["02", "10", "1"], ("1", "02", "10")),
        (["10", "2", "cat"], ("10", "2", "cat")),
        (["b", "a", "B"], ("B", "a", "b")),
        (["1.5", "10"], ("1.5", "10")),
        (["²", "1"], ("1", "²")),
    ],
)
def test_order(names: list[str], expected: tuple[str, ...]) -> None:
    assert in_order(names, "here") == expected


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        ([11, 2, 0], TWELVE, [11, 2, 0]),
        (["11", "2", "0"], TWELVE, [11, 2, 0]),
        ([8, 5], ("2", "5", "8"), [2, 1]),
        ([3, 1], ("01", "02", "03"), [2, 0]),
        ([2, 0], ("cat", "dog", "eel"), [2, 0]),
        (["eel", "cat"], ("cat", "dog", "eel"), [2, 0]),
        ([1, 0], ("class10", "class9"), None),
        (["class9", "class10"], ("class10", "class9"), [1, 0]),
        ([1, 0], ("zebra 10", "ape 9"), [1, 0]),  # an order of the data set's own
    ],
)
def test_labels_match_by_name_or_number(
    labels: list[int] | list[str], classes: tuple[str, ...], expected: list[int] | None
) -> None:
    if expected is None:
        with pytest.raises(DataError, match="have another order as text than by the numbers in them; write the class"):
            matched(np.array(labels), classes, "labels.npy")
    else:
        assert matched(np.array(labels), classes, "labels.npy").tolist() == expected


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        ([1, 2], ("1", "2", "3"), "these could be the classes' names or their positions from 0; write the names"),
        ([0, 1], ("1", "2", "3"), "could be the classes' names or their positions"),
        ([5], ("1", "2", "3"), "holds the class 5, but there are the classes 0 to 2 .1, 2, 3."),
        ([1, 2, 3], ("a", "b", "c"), "holds the class 3, .* if it counts from 1, subtract 1"),
        ([-1], ("a", "b"), "holds the class -1"),
        (["d"], ("a", "b"), "holds the class 'd', but the classes are a, b"),
    ],
)
def test_doubtful_labels_are_refused(labels: list[int] | list[str], classes: tuple[str, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        matched(np.array(labels), classes, "labels.npy")


def test_names_that_differ_in_nothing_meant_are_told() -> None:
    assert twins_note(("A", "b", "C")) == ()
    (said,) = twins_note(("Cat", "cat", "dog", "dog "))
    assert said.startswith("classes 'Cat' and 'cat' (and 1 more such) differ only in case")
    assert "'\\xe9' and 'e\\u0301' differ" in twins_note(("\u00e9", "e\u0301"))[0]
