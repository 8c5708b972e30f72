"""Runs, archives and rankings of run format 1 open, are reported, go on and lend their scores."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from golden.relocate import relocated
from lowland.core.errors import ConfigError
from lowland.core.monitor import Monitor
from lowland.core.moved import MOVED
from lowland.store import inside
from lowland.store.run import ARCHIVE, CONFIG, FORMAT, MANIFEST, STAGES, Run
from lowland.store.translation import expression_from_format_1, from_format_1
from lowland.workflow import pipeline, rank, reporting
from lowland.workflow.identity import identity_text, measure_identity
from lowland.workflow.renewal import renewed
from lowland.workflow.session import Session

GOLDEN = Path(__file__).parent / "format-1"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
FINISHED = ("evolution", "pareto", "racing")
INTERRUPTED = "darts-interrupted"


class Heard(Monitor):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def content(folder: Path) -> dict[str, str]:
    """Every file and what is in it, without what comes and goes."""
    passing = (".lock", "run.log", "progress.json", f"{ARCHIVE}-wal", f"{ARCHIVE}-shm")
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in passing)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(archive: Path) -> list[tuple[Any, ...]]:
    """Identity, key and value of every candidate."""
    with closing(sqlite3.connect(archive)) as connection:
        return connection.execute("SELECT measure, key, value FROM candidates ORDER BY id").fetchall()


def ranking(run: Path) -> list[dict[str, Any]]:
    entries = json.loads((run / "search.json").read_text())["ranking"]
    return [{name: entry[name] for name in ("genes", "value")} for entry in entries]


def approximately(expected: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"genes": each["genes"], "value": pytest.approx(each["value"], rel=1e-6)} for each in expected]


@pytest.fixture(params=FINISHED)
def finished(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return relocated(GOLDEN / request.param, tmp_path / request.param)


# --- settings ------------------------------------------------------------------------------------------------------


def at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


@pytest.mark.parametrize("name", [*FINISHED, INTERRUPTED])
def test_every_old_value_stands_at_its_new_place(name: str, tmp_path: Path) -> None:
    copy = relocated(GOLDEN / name, tmp_path / name)
    old = yaml.safe_load((copy / CONFIG).read_text())
    with Run.open(copy, read_only=True) as run:
        new = run.config.model_dump(mode="json")
    for key, place in MOVED.items():
        assert at(new, place) == at(old, key), key
    stayed = [key for key in old["measure"] if f"measure.{key}" not in MOVED]
    assert {key: new["measure"][key] for key in stayed} == {key: old["measure"][key] for key in stayed}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("angle+flatness", "angle+flatness"),
        ("robustness(robustness_sigma=0.1, draws=3)", "robustness(sigma=0.1, draws=3)"),
        ("robustness(sigma=0.1)", "robustness(sigma=0.1)"),
        ("flatnas(alpha=0.5,robustness_draws=4)", "flatnas(alpha=0.5,draws=4)"),
        ("angle(angle=cells)+flatness(sigmas=[1e-3, 2e-3])", "angle(vector=cells)+flatness(sigmas=[1e-3, 2e-3])"),
        ("perturbed_accuracy(perturbed_accuracy_sigma=0.3,draws=16)", "perturbed_accuracy(sigma=0.3,draws=16)"),
    ],
)  # fmt: skip
def test_expressions_call_settings_as_today(old: str, new: str) -> None:
    assert expression_from_format_1(old) == new
    assert from_format_1({"measure": {"name": old}})["measure"]["name"] == new


@pytest.mark.parametrize("name", ["flatness(direction=hessian)", "flatness"])
def test_runs_from_before_the_scale_of_the_hessian_direction_keep_theirs(name: str, tmp_path: Path) -> None:
    """It was σ·√P; today's default is σ. Format 1, and the first runs of format 2, do not say it."""
    copy = relocated(GOLDEN / "evolution", tmp_path / "run")
    with Run.open(copy) as run:
        old = run.config.model_dump(mode="json")
    followed = {"direction": "random" if "(" in name else "hessian", "hessian_vectors": 1}
    old["measure"] |= {"name": name, "options": {"flatness": followed}}
    written = yaml.safe_dump(old)
    manifest = json.loads((copy / MANIFEST).read_text())
    assert manifest["format"] == 1
    for number in (1, FORMAT):
        (copy / CONFIG).write_text(written)
        manifest["format"] = number
        manifest["files"][CONFIG] = hashlib.sha256(written.encode()).hexdigest()
        (copy / MANIFEST).write_text(json.dumps(manifest))
        with Run.open(copy, read_only=True) as run:
            held = run.config.measure
        assert held.options["flatness"]["hessian_scale"] == "noise", number
        ours = json.loads(identity_text(held, {}))["measure"]["options"]
        assert ours["direction"] == "hessian"
        assert "hessian_scale" not in ours


def test_an_archive_of_format_1_keeps_its_hessian_direction() -> None:
    parts = json.loads(rows(GOLDEN / "evolution" / ARCHIVE)[0][0])
    parts["measure"] |= {"name": "flatness", "direction": "hessian"}
    options = json.loads(renewed(json.dumps(parts), "fp32"))["measure"]["options"]
    assert options["direction"] == "hessian"
    assert "hessian_scale" not in options


# --- runs ----------------------------------------------------------------------------------------------------------


def test_a_finished_run_is_read_and_resumed_as_it_is(finished: Path) -> None:
    before = content(finished)
    with Run.open(finished, read_only=True) as run:
        assert run.verify() == []
        assert {name: each["status"] for name, each in run.status()["stages"].items()} == dict.fromkeys(STAGES, "done")
    result = pipeline.resume(finished)
    assert [row["genes"] for row in result.networks] == [
        entry["genes"] for entry in EXPECTED["runs"][finished.name]["ranking"][: len(result.networks)]
    ]
    assert content(finished) == before


def test_a_report_makes_it_a_run_of_today(finished: Path) -> None:
    before = content(finished)
    reporting.report(finished)
    after = content(finished)
    changed = {name for name in after if after[name] != before.get(name)}
    assert {file for file in changed if file != "report.html" and not file.endswith("/README.md")} == {CONFIG, MANIFEST}
    with Run.open(finished, read_only=True) as run:
        assert run.manifest["format"] == FORMAT
        assert run.manifest["renewed"] == {"format": 1, "precision": EXPECTED["made_with"]["precision"]}
        assert run.verify() == []
        assert set(run.config.measure.options) >= {"flatness", "angle"}


@pytest.mark.parametrize("writes", range(1, 5))
def test_a_stop_at_any_write_of_the_renewal_leaves_a_run_that_opens(
    writes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = relocated(GOLDEN / "evolution", tmp_path / "run")
    with Run.open(copy, read_only=True) as run:
        settings = run.config
    left = writes

    def stopping(write: Any) -> Any:
        def wrapped(*arguments: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            write(*arguments)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(inside, "write_text", stopping(inside.write_text))
        with pytest.raises(KeyboardInterrupt), Run.open(copy) as run:
            run.reset_stage("report")
    with Run.open(copy, read_only=True) as run:
        assert run.config == settings
    with Run.open(copy) as run:
        assert run.config == settings
        run.reset_stage("report")
    with Run.open(copy, read_only=True) as run:
        assert (run.manifest["format"], run.config) == (FORMAT, settings)
        assert run.verify() == []


def test_settings_that_were_being_changed_are_read_in_the_old_format(tmp_path: Path) -> None:
    """A stop of the old version within a change left the new settings, in its format, in the manifest."""
    copy = relocated(GOLDEN / "evolution", tmp_path / "run")
    manifest = json.loads((copy / MANIFEST).read_text())
    changed = yaml.safe_load((copy / CONFIG).read_text())
    changed["measure"]["gamma"] = 0.5
    manifest |= {"config": yaml.safe_dump(changed), "reset": "search", "keep": [ARCHIVE]}
    (copy / MANIFEST).write_text(json.dumps(manifest))
    with Run.open(copy) as run:
        assert run.config.measure.options["flatness"]["gamma"] == 0.5
        assert run.manifest["renewed"]["precision"] == EXPECTED["made_with"]["precision"]
        assert not run.stage_done("search")
    with Run.open(copy, read_only=True) as run:
        assert run.config.measure.options["flatness"]["gamma"] == 0.5


# --- scores --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FINISHED)
def test_a_changed_search_takes_every_score_from_the_archive(name: str, tmp_path: Path) -> None:
    """The golden runs say `auto`, and the precision that it meant is in their evaluation."""
    copy = relocated(GOLDEN / name, tmp_path / name)
    before = rows(copy / ARCHIVE)
    precision = EXPECTED["made_with"]["precision"]
    with Run.open(copy) as run:  # another machine may not resolve `auto` alike
        compute = run.config.compute.model_copy(update={"precision": precision})
        run.reconfigure(run.config.model_copy(update={"compute": compute}), None)
    monitor = Heard()
    pipeline.resume(copy, monitor=monitor, last="search", changes=[{"search": {"max_params": 10**9}}])
    assert not any("precision" in note for note in monitor.notes)
    after = rows(copy / ARCHIVE)
    assert [row[1:] for row in after] == [row[1:] for row in before], "nothing was scored anew"
    assert all(json.loads(row[0])["precision"] == precision for row in after)
    found, expected = ranking(copy), EXPECTED["runs"][name]["ranking"]
    if name == "racing":  # its two finalists are trained as they are today
        assert sorted(found[:2], key=str) == sorted(expected[:2], key=str)
        found, expected = found[2:], expected[2:]
    assert found == expected


def test_an_interrupted_search_goes_on_to_the_expected_ranking(tmp_path: Path) -> None:
    """Its scores are in fp32; new ones by today's code equal those of the version that made the golden runs."""
    copy = relocated(GOLDEN / INTERRUPTED, tmp_path / "run")
    before, expected = rows(copy / ARCHIVE), EXPECTED["runs"][INTERRUPTED]["resumed"]
    pipeline.resume(copy, last="search")
    after = rows(copy / ARCHIVE)
    assert [row[1:] for row in after[: len(before)]] == [row[1:] for row in before]
    assert len({row[0] for row in after}) == 1
    wanted = [(row["key"], pytest.approx(row["value"], rel=1e-6)) for row in expected["archive"][0]["rows"]]
    assert [row[1:] for row in after] == wanted
    assert ranking(copy) == approximately(expected["ranking"])


def test_scores_of_today_are_those_of_the_old_archive(tmp_path: Path) -> None:
    """Without its archive every candidate is scored anew, to the same value."""
    copy = relocated(GOLDEN / INTERRUPTED, tmp_path / "run")
    (copy / ARCHIVE).unlink()
    pipeline.resume(copy, last="search")
    assert ranking(copy) == approximately(EXPECTED["runs"][INTERRUPTED]["resumed"]["ranking"])


def test_an_old_identity_becomes_that_of_the_translated_settings(tmp_path: Path) -> None:
    copy = relocated(GOLDEN / INTERRUPTED, tmp_path / "run")
    (old,) = {row[0] for row in rows(copy / ARCHIVE)}
    with Run.open(copy, read_only=True) as run:
        session = Session(run, Monitor())
        assert renewed(old, "bf16") == measure_identity(session, run.config.measure)
    assert renewed(renewed(old, "bf16"), "fp16") == renewed(old, "bf16")
    auto = json.dumps({**json.loads(old), "precision": "auto"})
    assert json.loads(renewed(auto, "bf16"))["precision"] == "bf16"
    unknown = json.dumps({**json.loads(old), "measure": {"name": "mine"}})
    assert renewed(unknown, "bf16") == unknown


def test_what_auto_meant_is_said_where_nothing_tells(tmp_path: Path) -> None:
    copy = relocated(GOLDEN / "evolution", tmp_path / "run")
    (copy / "evaluation.json").unlink()
    monitor = Heard()
    pipeline.resume(copy, monitor=monitor, last="search", changes=[{"search": {"max_params": 10**9}}])
    (note,) = [note for note in monitor.notes if "precision" in note]
    assert note.startswith("archive.sqlite does not tell the precision of its old scores; they count as ")
    assert len({row[0] for row in rows(copy / ARCHIVE)}) == 1


# --- rankings ------------------------------------------------------------------------------------------------------


def test_a_ranking_goes_on_with_its_scores(tmp_path: Path) -> None:
    copy = relocated(GOLDEN / "rank", tmp_path / "rank")
    before, expected = rows(copy / ARCHIVE), EXPECTED["rank"]
    precision = json.loads((copy / rank.RESULT).read_text())["environment"]["precision"]
    with Run.open(copy / "run", read_only=True) as run:
        compute = run.config.compute
    request = rank.RankingRequest(
        truth=GOLDEN / "truth.csv",
        measures=("accuracy", "angle", "flatness(alpha=0)", "angle+flatness"),
        rank_sums=(("accuracy", "angle"),),
        log_rank_sums=(("angle", "flatness(alpha=0)"),),
        resamples=60,
    )
    layer = {"compute": {"device": "cpu", "threads": compute.threads, "precision": precision}}
    found = rank.rank(request, copy, [layer], supernets=[copy / "run"])
    assert [row[1:] for row in rows(copy / ARCHIVE)] == [row[1:] for row in before], "nothing was scored anew"
    assert {row["name"]: row["truth"]["test_acc"]["all"]["tau"]["value"] for row in found["measures"]} == {
        name: pytest.approx(tau["test_acc"]) for name, tau in expected["tau"].items()
    }


def test_an_old_run_and_a_new_one_may_rank_together(tmp_path: Path) -> None:
    """They hold settings of other measures, with equal values."""
    copy = relocated(GOLDEN / "rank", tmp_path / "rank")
    with Run.open(copy / "run", read_only=True) as run:
        old = run.config
    options = {name: old.measure.options[name] for name in ("flatness", "angle")}
    new = old.model_copy(update={"measure": old.measure.model_copy(update={"options": options})})
    rank.require_alike([tmp_path / "a", tmp_path / "b"], old, {tmp_path / "b": new})
    options = options | {"angle": {"vector": "cells+fixed"}}
    other = old.model_copy(update={"measure": old.measure.model_copy(update={"options": options})})
    with pytest.raises(ConfigError, match=r"measure of .* differs"):
        rank.require_alike([tmp_path / "a", tmp_path / "b"], old, {tmp_path / "b": other})
