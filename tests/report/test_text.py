"""Numbers as people read them."""

from __future__ import annotations

import pytest

from lowland.report import text


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (86.4321, 0.3412, "86.43 ± 0.34"),
        (86.4321, 1.26, "86.4 ± 1.3"),
        (86.4321, 12.0, "86 ± 12"),
        (0.43126, 0.0142, "0.431 ± 0.014"),
        (1234.5678, 0.00051, "1234.56780 ± 0.00051"),
        (12.3456, None, "12.35"),
        (0.0012345, 0.0, "0.001234"),
        (0.0, None, "0.000"),
        (None, None, "–"),
    ],
)
def test_the_error_sets_the_digits(value: float | None, error: float | None, shown: str) -> None:
    assert text.estimate(value, error) == shown.replace(" ", text.HARD_SPACE)


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (316_234, "316 k"), (999_600, "1.00 M"), (47_213_000, "47.2 M"),
     (610_890_000, "611 M"), (1.0767e18, "1.08e18"), (None, "–")],
)  # fmt: skip
def test_sizes(count: int | None, shown: str) -> None:
    assert text.size(count) == shown.replace(" ", text.HARD_SPACE)


@pytest.mark.parametrize(
    ("seconds", "shown", "rough"),
    [(0.42, "0.4 s", "0 s"), (42, "42 s", "42 s"), (59.7, "1 min 00 s", "60 s"), (1638, "27 min 18 s", "27 min"),
     (11100, "3 h 05 min", "3.1 h"), (187_200, "2 d 4 h", "2.2 d")],
)  # fmt: skip
def test_durations(seconds: float, shown: str, rough: str) -> None:
    assert text.duration(seconds) == shown
    assert text.rough_duration(seconds) == rough.replace(" ", text.HARD_SPACE)


def test_control_characters_are_shown_as_such() -> None:
    assert text.clean("a\x00b\nc\ud800é") == "a\ufffdb\ufffdc\ufffdé"


def test_counts() -> None:
    assert text.grouped(15625) == "15,625"
    assert text.grouped(10**18) == "1e18"
