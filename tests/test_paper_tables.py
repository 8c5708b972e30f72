"""benchmarks/paper/: the published figure beside ours, and what the published scale needs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PAPER = Path(__file__).resolve().parent.parent / "benchmarks" / "paper"

pytestmark = pytest.mark.skipif(not PAPER.is_dir(), reason="the benchmarks are not part of the distribution")


@pytest.fixture(autouse=True)
def reachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripts' folder, and the one above, which they add themselves."""
    path = list(sys.path)
    monkeypatch.syspath_prepend(str(PAPER))
    yield
    sys.path[:] = path


def test_ours_stands_beside_the_published_figure_with_n_and_interval() -> None:
    from paper import beside

    found = beside([75.0, 76.0, 77.0], 75.95, "smaller data")
    assert (found["mean"], found["n"], found["published"], found["published_in_interval"]) == (76.0, 3, 75.95, True)
    assert found["low"] < 76.0 < found["high"]
    assert beside([75.0, 76.0, 77.0], 90.0, "")["published_in_interval"] is False
    assert beside([75.0], 75.95, "")["published_in_interval"] is None
    assert beside([75.0, 76.0], None, "")["published_in_interval"] is None


def test_the_published_scale_needs_its_data(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    import transfer

    monkeypatch.setattr(sys, "argv", ["transfer.py", "--scale", "published"])
    with pytest.raises(SystemExit) as stopped:
        transfer.main()
    assert stopped.value.code == 2
    assert "--target" in capsys.readouterr().err
