"""`--plugin`: a space of one's own is used, recorded, asked for again, and never imported because a run names it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lowland.core.registry import SPACES
from lowland.store.run import Run
from whole_runs import Command, options

MODULE = "mylab_space"

SOURCE = '''"""A search space of somebody's own."""

from lowland.spaces import register
from lowland.spaces.nasbench201.space import NasBench201


@register
class Mine(NasBench201):
    """The cell of NAS-Bench-201 under another name."""

    name = "mine"
    summary = "as nasbench201, but mine"
    source = "this test"
'''


@pytest.fixture
def forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A plugin in the current folder; calling the fixture makes this process as one that never imported it."""
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def forget() -> None:
        sys.modules.pop(MODULE, None)
        SPACES._classes.pop("mine", None)

    yield forget
    forget()


def test_a_space_of_ones_own(tmp_path: Path, forgotten: Callable[[], None], lowland: Command) -> None:
    run = tmp_path / "run"
    said = lowland("supernet", run)
    assert said.code == 2
    said = lowland("search", *options("--space", "mine", "--plugin", MODULE, "--out", str(run)))
    assert said.code == 0, said.err
    with Run.open(run, read_only=True) as opened:
        assert opened.config.plugins == (MODULE,)
        assert opened.config.space == "mine"

    forgotten()
    again = f"run {run} uses the space 'mine' of plugin {MODULE}: give --plugin {MODULE} again"
    for verb in ("resume", "supernet", "train", "report", "flatness"):
        assert lowland(verb, run).fault == again
    truth = tmp_path / "truth.csv"
    truth.write_text("arch,test_acc\n")
    assert lowland("rank", "--truth", truth, "--supernet", run, "--out", tmp_path / "rank").fault == again
    assert MODULE not in sys.modules
    assert "done" in lowland("status", run).out

    said = lowland("supernet", run, "--plugin", MODULE)
    assert said.code == 0, said.err


def test_a_plugin_is_recorded_in_a_run_and_nothing_is_done_again(
    finished: Path, forgotten: Callable[[], None], lowland: Command
) -> None:
    before = {name: stage["started"] for name, stage in stages(finished).items()}
    said = lowland("resume", finished, "--plugin", MODULE)
    assert said.code == 0, said.err
    with Run.open(finished, read_only=True) as opened:
        assert opened.config.plugins == (MODULE,)
    assert {name: stage["started"] for name, stage in stages(finished).items()} == before
    forgotten()  # the run needs nothing of it
    assert lowland("resume", finished).code == 0
    assert MODULE not in sys.modules


def stages(run: Path) -> dict[str, dict[str, object]]:
    with Run.open(run, read_only=True) as opened:
        found: dict[str, dict[str, object]] = opened.manifest["stages"]
        return found


def test_a_listing_shows_what_a_plugin_brings(forgotten: Callable[[], None], lowland: Command) -> None:
    assert "mine" not in lowland("spaces").out
    assert f"this test (from {MODULE})" in lowland("spaces", "--plugin", MODULE).out
    assert "as nasbench201, but mine" in lowland("spaces", "mine").out
    assert "did you mean darts?" in lowland("spaces", "dart").fault


def test_a_plugin_that_is_not_there_or_fails(tmp_path: Path, forgotten: Callable[[], None], lowland: Command) -> None:
    assert "--plugin nowhere.at_all: cannot be imported" in lowland("spaces", "--plugin", "nowhere.at_all").fault
    (tmp_path / "broken_plugin.py").write_text("1 / 0\n")
    fault = lowland("spaces", "--plugin", "broken_plugin").fault
    assert fault == (
        "--plugin broken_plugin: fails while it is imported (ZeroDivisionError: division by zero); repair it"
    )
    twice = SOURCE.replace('"mine"', '"darts"')
    (tmp_path / "taken_name.py").write_text(twice)
    assert "space 'darts' of taken_name is registered twice" in lowland("spaces", "--plugin", "taken_name").fault
