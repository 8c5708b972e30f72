"""A run directory from a stranger harms nobody: one sentence, exit code 2, and nothing outside is touched."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cases import ARCHIVES, CASES, NETWORKS, make_outside

import lowland as package
from lowland.core.config import Config
from lowland.core.errors import LowlandError, LowlandWarning, RunError
from lowland.core.files import write_text
from lowland.delivery.description import digest
from lowland.search import Archive
from lowland.store import inside
from lowland.store.run import Run
from lowland.workflow import pipeline
from whole_runs import Command

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pipes, and links that anybody may make")


@contextmanager
def soon(seconds: int = 30) -> Iterator[None]:
    """Fail instead of waiting for ever, as at a pipe."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def within(run: Path) -> dict[str, bytes | None]:
    """What is in a run; links, pipes and what is huge as None."""
    found: dict[str, bytes | None] = {}
    for folder, _, names in os.walk(run):
        for path in (Path(folder) / name for name in names if name != ".lock"):
            whole = path.is_file() and not path.is_symlink() and path.stat().st_size < 2**30
            found[str(path)] = path.read_bytes() if whole else None
    return found


@pytest.fixture(params=["anchored", "looked at"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are walked from open handles, or, as on Windows, looked at part by part."""
    monkeypatch.setattr(inside, "ANCHORED", request.param == "anchored" and inside.ANCHORED)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("case", CASES)
def test_a_hostile_run_is_one_sentence_and_nothing_outside_is_touched(
    case: str, run: Path, tmp_path: Path, untouched, lowland: Command
) -> None:
    outside = make_outside(tmp_path / "outside", run)
    CASES[case](run, outside)
    before = within(run)
    for verb in (["status"], ["report"], ["resume", "--restart", "supernet"], ["evaluate"]):
        with soon(), untouched(outside):
            fault = lowland(verb[0], run, *verb[1:]).fault
        assert "precious" not in fault
        assert len(fault) < 1000
        assert fault.isprintable()
    assert within(run) == before


@pytest.mark.parametrize("case", NETWORKS)
def test_a_hostile_network_is_one_sentence_and_is_not_built(case: str, run: Path, tmp_path: Path, untouched) -> None:
    outside = make_outside(tmp_path / "outside", run)
    NETWORKS[case](run, outside)
    with soon(), untouched(outside), pytest.raises(LowlandError) as caught:
        package.load(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", ARCHIVES)
def test_a_hostile_archive_is_refused(case: str, run: Path, tmp_path: Path) -> None:
    ARCHIVES[case](run, tmp_path)

    def read(read_only: bool) -> None:
        with Archive(run / "archive.sqlite", read_only=read_only) as archive:
            archive.candidates()

    for read_only in (True, False):
        with soon(), pytest.raises(RunError):
            read(read_only)


PLANTED = {".lock": "lock", "checkpoints": ".", "config.yaml": "config.yaml"}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", PLANTED)
def test_links_planted_in_an_empty_folder(name: str, run: Path, tmp_path: Path, untouched) -> None:
    outside = make_outside(tmp_path / "outside", run)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / name).symlink_to(outside / PLANTED[name])
    with soon(), untouched(outside), pytest.raises(RunError, match="is a link"):
        Run.create(tmp_path / "new", Config())


@pytest.mark.usefixtures("way")
def test_links_that_no_manifest_names_are_never_followed(run: Path, tmp_path: Path, untouched) -> None:
    outside = make_outside(tmp_path / "outside", run)
    with Run.open(run) as opened, untouched(outside):
        opened.reset_stage("evaluate")
        (run / "evaluation").symlink_to(outside)
        (run / ".left.tmp").symlink_to(outside / "key")
        opened.start_stage("evaluate")
        for write in (
            lambda: opened.write_json("evaluation/x.json", 1),
            lambda: opened.delete(["evaluation/key"]),
            lambda: opened.finish_stage("evaluate", ["evaluation/key"], {}),
            lambda: inside.files(run, "evaluation"),
            lambda: inside.delete_empty_folders(run, "evaluation"),
            lambda: inside.require_no_links(run),
        ):
            with pytest.raises(RunError, match="is a link"):
                write()
        inside.clear_temporary(run)
    assert (run / ".left.tmp").is_symlink()


def test_a_run_behind_a_link_of_ones_own_is_a_run(run: Path, tmp_path: Path, lowland: Command) -> None:
    (tmp_path / "mine").symlink_to(run)
    assert lowland("status", tmp_path / "mine").code == 0
    with Run.open(tmp_path / "mine") as opened:
        opened.reset_stage("report")
        opened.start_stage("report")
        opened.write_json("x.json", 1)
    assert (run / "x.json").exists()


@pytest.mark.parametrize(
    "best", [{"score": 1.0}, {"genotype": 3, "score": 1.0}, [], "x", {"genotype": "\x1b[2J", "score": 1}], ids=str
)
def test_a_best_without_genotype_tells_nothing(best: object, run: Path, lowland: Command) -> None:
    file = run / "progress.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"best": best}))
    said = lowland("status", run)
    assert said.code == 0
    assert "best so far" not in said.out
    assert "\x1b[2J" not in said.out


def test_a_network_tells_when_its_description_was_changed(run: Path) -> None:
    file = run / "network" / "network.json"
    values = json.loads(file.read_text())
    values["digest"] = digest(values)
    file.write_text(json.dumps(values))
    package.load(run)
    for change in (
        {"classes": values["classes"][::-1]},
        {"mean": [0.25] * len(values["mean"])},
        {"facts": {}},
        {"fit": "pad"},
        {"genes": [*values["genes"][:-1], (values["genes"][-1] + 1) % 5]},
    ):
        file.write_text(json.dumps(values | change))
        with pytest.raises(RunError, match=r"not what was written at delivery"):
            package.load(run)


def test_the_watch_sees_what_goes_through_links(run: Path, tmp_path: Path, untouched) -> None:
    outside = make_outside(tmp_path / "outside", run)
    (run / "link").symlink_to(outside)
    with pytest.raises(AssertionError, match=r"open .*key"), untouched(outside):
        (run / "link" / "key").read_text()


@pytest.mark.parametrize("mask", [0o077, 0o022])
def test_files_have_the_permissions_that_the_umask_leaves(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        with Run.create(tmp_path / "run", Config()) as opened:
            opened.start_stage("supernet")
            opened.write_json("x.json", 1)
            write_text(tmp_path / "page.html", "")
    finally:
        os.umask(before)
    for file in (tmp_path / "run" / "x.json", tmp_path / "run" / "manifest.json", tmp_path / "page.html"):
        assert file.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"[NaN]", b"\xff", b""], ids=["nested", "NaN", "no UTF-8", "empty"]
)
def test_results_that_are_none_though_their_checksum_holds(content: bytes, run: Path, lowland: Command) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    for file in ("search.json", "supernet/trained.safetensors"):
        (run / file).write_bytes(content)
        manifest["files"][file] = hashlib.sha256(content).hexdigest()
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert "search.json is no JSON" in lowland("report", run).fault
    with (
        Run.open(run, read_only=True) as opened,
        pytest.raises(RunError, match=r"trained\.safetensors holds no tensors"),
    ):
        opened.load_tensors("supernet/trained.safetensors")


@pytest.mark.parametrize("value", ["[" * 50_000, "{a: " * 50_000], ids=["lists", "mappings"])
def test_settings_nested_without_end(value: str, run: Path, tmp_path: Path, lowland: Command) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"seed: {value}")
    assert "nested too deeply" in lowland("run", "--config", file, "--out", tmp_path / "new").fault
    assert "nested too deeply" in lowland("run", "--set", f"seed={value}", "--out", tmp_path / "new").fault
    (run / "config.yaml").write_text(f"seed: {value}")
    assert "nested too deeply" in lowland("status", run).fault


def test_a_resume_says_which_results_of_a_finished_run_are_damaged(run: Path) -> None:
    file = run / "supernet" / "trained.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.warns(LowlandWarning, match=r"trained\.safetensors is damaged or missing, though"):
        pipeline.resume(run)
