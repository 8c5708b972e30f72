"""The main job from Python: data in memory, settings that are those of the command line, and what comes back."""

from __future__ import annotations

import io
import json
import shutil
import sys
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch.utils.data import DataLoader, Dataset, TensorDataset

import lowland as package
from lowland.app import console
from lowland.core.config import Config, RetrainConfig, SupernetConfig
from lowland.core.errors import ConfigError, DataError, LowlandWarning, RunError
from lowland.core.monitor import Monitor
from lowland.core.settings import merge, nested
from lowland.data import in_memory
from lowland.store.run import Run
from lowland.workflow.presets import PRESETS, assemble
from whole_runs import TINY, Command, content, copied, options

RNG = np.random.default_rng(0)
SMALL = {key: value for key, value in TINY.items() if key != "data"}
"""Settings of a run of two or three seconds, on data of one's own."""


def pictures(count: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Dark and bright pictures of 8×8."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    return (rng.integers(0, 90, (count, 8, 8)) + 150 * labels[:, None, None]).astype(np.uint8), labels


def small(**also: Any) -> Config:
    return package.settings(**merge(SMALL, {"supernet": {"batch_size": 8}, "retrain": {"batch_size": 8}}), **also)


class Pictures(Dataset):  # type: ignore[type-arg]
    """A data set as people write them."""

    classes = ("dark", "bright")

    def __init__(self, form: str, count: int = 60) -> None:
        self.x, self.y = pictures(count)
        self.form, self.read = form, 0

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        self.read += 1
        x = self.x[index]
        forms = {
            "PIL": Image.fromarray(x),
            "array": x,
            "tensor": torch.from_numpy(x)[None],
            "ToTensor": torch.from_numpy(x)[None].float() / 255,
        }
        return forms[self.form], torch.tensor(self.y[index]) if self.form == "tensor" else int(self.y[index])


@pytest.mark.slow
def test_arrays_in_memory_become_a_network_and_can_be_resumed_elsewhere(tmp_path: Path) -> None:
    x, y = pictures()
    with pytest.warns(LowlandWarning, match="test pictures"):
        result = package.run((x, y), tmp_path / "run", config=small(), quiet=True)
    assert result.stages == ("supernet", "search", "train", "evaluate", "report")
    network = result.load()
    assert network.classes == ("0", "1")
    assert [name for name, _ in network.predict(x[:4])] == ["0", "1", "0", "1"]
    kept = np.load(tmp_path / "run" / "data.npz")
    assert kept["x"].dtype == np.uint8
    assert np.array_equal(kept["x"][:, 0], x)
    with Run.open(tmp_path / "run", read_only=True) as run:
        assert run.verify() == []
        assert run.config.data.name == str(tmp_path / "run" / "data.npz")
    moved = shutil.move(tmp_path / "run", tmp_path / "moved")
    again = package.resume(moved, restart="train", quiet=True)
    for file in ("network/network.safetensors", "evaluation/classification.json"):
        assert (again.path / file).is_file()
    assert (again.path / "data.npz").is_file()
    reset = package.resume(again, set={"retrain.epochs": 2}, last="train", quiet=True)
    assert reset.load().classes == ("0", "1")


@pytest.mark.slow
def test_the_same_arrays_in_a_file_make_the_same_run(tmp_path: Path) -> None:
    (x, y), (x_test, y_test) = pictures(), pictures(120, seed=1)
    np.savez(tmp_path / "my.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    package.run(tmp_path / "my.npz", tmp_path / "file", config=small(), last="train", quiet=True)
    package.run(((x, y), (x_test, y_test)), tmp_path / "memory", config=small(), last="train", quiet=True)
    digests = [(tmp_path / name / "network" / "network.safetensors").read_bytes() for name in ("file", "memory")]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("form", ["PIL", "array", "tensor", "ToTensor"])
def test_torch_data_sets_are_read_once_with_the_names_of_their_classes(form: str) -> None:
    given = Pictures(form)
    arrays = in_memory(given, 4.0)
    assert given.read == len(given)
    assert np.array_equal(arrays["x"][:, 0], given.x)
    assert arrays["x"].dtype == np.uint8
    assert arrays["y"].tolist() == [given.classes[label] for label in given.y]


def test_all_forms_of_arrays_are_the_same() -> None:
    x, y = pictures()
    for given_x in (x, x[..., None], x[:, None], x / 255, torch.from_numpy(x), list(x), list(map(Image.fromarray, x))):
        for given_y in (y, y.tolist(), torch.from_numpy(y), y[:, None], y.astype(object)):
            arrays = in_memory((given_x, given_y), 4.0)
            assert np.array_equal(arrays["x"][:, 0], x)
            assert np.array_equal(arrays["y"].ravel(), y)
    names = np.array(["a", "b"], dtype=object)[y]
    assert in_memory((x, names), 4.0)["y"].dtype.kind == "U"
    assert list(in_memory((Pictures("PIL"), Pictures("PIL", 9)), 4.0)) == ["x_train", "y_train", "x_test", "y_test"]
    assert in_memory(TensorDataset(torch.from_numpy(x)[:, None], torch.from_numpy(y)), 4.0)["y"].tolist() == y.tolist()


class Odd(Dataset):  # type: ignore[type-arg]
    """A data set of one wrong item."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


X, Y = pictures(8)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, r"data of type int cannot be used; give \(x, y\)"),
        ((X, Y, X), r"data of type tuple cannot be used; give \(x, y\)"),
        ((X, Y.astype(float)), "y must hold one integer or string per image, not float64"),
        ((X, Y[:3]), "data: x has 8 images but y has 3 labels"),
        ((X.astype(int), Y), "data: array x is int64, but uint8, or floats from 0 to 1, are needed"),
        ((X * 1.0, Y), "data: the floats of x go from 0 to .*, but must go from 0 to 1"),
        ((X.reshape(8, 64), Y), r"data: array x has shape \(8, 64\)"),
        ((X, Y * 0), "data: array y holds a single class"),
        (((X, Y), (X, Y + 5)), "data: label 5 is in y_test but not in y_train"),
        (([], []), "x holds no images"),
        (
            ([X[0], X[1][:4]], [0, 1]),
            r"image 1 of x is uint8 of shape \(4, 8\), but the first is .* write them into a f",
        ),
        ((X, ["a", 1] * 4), "data: y holds int and str, but one integer or one text per image"),
        ((X, np.array(["a", 1] * 4, dtype=object)), "data: y holds int and str"),
        (DataLoader(TensorDataset(torch.zeros(2, 1, 8, 8), torch.arange(2))), "is a DataLoader, .* give its dataset"),
        (Odd(X[0]), r"item 0 of the Dataset is no pair \(image, label\), but ndarray"),
        (Odd((X[0], 0), ("x.png", 1)), "image 1 of the Dataset is of type str"),
        (Odd((Image.new("F", (8, 8)), 0)), "image 0 of the Dataset cannot be used: it holds floating-point levels"),
    ],
    ids=range(17),
)
def test_data_that_cannot_be_used_is_one_sentence_and_leaves_nothing(given: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words) as fault:
        package.run(given, tmp_path / "run", config=small(), quiet=True)
    assert "\n" not in str(fault.value)
    assert not (tmp_path / "run").exists()


def test_data_too_large_for_a_copy_is_refused_with_advice(tmp_path: Path) -> None:
    config = small(data={"memory_gb": 2e-6})
    for given in (pictures(), Pictures("array")):
        with pytest.raises(DataError, match=r"data takes more than data.memory_gb=2e-06 .*; write the pictures into a"):
            package.run(given, tmp_path / "run", config=config, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_a_stranger_s_data_npz_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(b"mine")
    with pytest.raises(RunError, match=r"is not empty and not a run \(it holds 'data.npz'\)"):
        package.run(pictures(240), tmp_path, config=small(), quiet=True)
    assert (tmp_path / "data.npz").read_bytes() == b"mine"


@pytest.mark.parametrize("preset", [*PRESETS, "paper+compat"])
def test_settings_are_those_of_the_command_line(preset: str, lowland: Command) -> None:
    space = "darts" if preset == "imagenet" or "compat" in preset else None  # which have nothing for other spaces
    extra = ["--space", "darts"] if space else []
    if preset in ("paper", "paper+compat"):
        extra += ["--retrain-epochs", "3"]  # else its recipe asks for more than the network has
    told = lowland("run", "--data", "digits", "--preset", preset, *extra, "--dry-run")
    changed = {"retrain": {"epochs": 3}} if "paper" in preset else {}
    made = package.settings(preset=preset, space=space, data={"name": "digits"}, **changed)
    if told.code == 0:
        assert json.loads(made.model_dump_json()) == parsed(told.out)
    else:
        assert "auxiliary" in told.err


def parsed(text: str) -> Any:
    import yaml

    return json.loads(json.dumps(yaml.safe_load(text)))


def test_settings_by_keyword() -> None:
    found = package.settings(
        preset="standard", measure="flatness", max_params="1M", max_macs=5_000_000, seed=4,
        set={"search.options.evolution.generations": 6}, supernet={"epochs": 2},
    )  # fmt: skip
    assert found == assemble(
        {"preset": "standard", "measure": {"name": "flatness"}, "seed": 4, "supernet": {"epochs": 2}},
        {"search": {"max_params": 1_000_000, "max_macs": 5_000_000}},
        nested("search.options.evolution.generations", 6),
    )
    assert package.settings() == assemble()
    with pytest.raises(ConfigError, match="unknown preset 'nonsense'"):
        package.settings(preset="nonsense")
    with pytest.raises(ConfigError, match="unknown setting 'supernt'"):
        package.settings(supernt={"epochs": 2})
    with pytest.raises(ConfigError, match="max_params '1X' is not a count"):
        package.settings(max_params="1X")


class Stop(Exception):
    """The settings have arrived."""


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Config, Any]]:
    """What the main job is called with; it is not begun."""
    seen: list[tuple[Config, Any]] = []

    def run(config: Config, path: Any, **_: Any) -> None:
        seen.append((config, path))
        raise Stop

    monkeypatch.setattr("lowland.workflow.pipeline.run", run)
    return seen


@pytest.mark.parametrize(
    ("given", "layers"),
    [
        (Config(), [{}]),
        (Config(preset="paper"), [{"preset": "paper"}]),
        (Config(preset="paper", space="darts"), [{"preset": "paper", "space": "darts"}]),
        (Config(supernet=SupernetConfig(epochs=3)), [{"supernet": {"epochs": 3}}]),
        (Config(retrain=RetrainConfig(recipe="nasbench201")), [{"retrain": {"recipe": "nasbench201"}}]),
        (assemble({"preset": "flatnas"}), [{"preset": "flatnas"}]),
        (assemble(TINY, {"preset": "paper"}), [TINY, {"preset": "paper"}]),
    ],
    ids=range(7),
)
def test_settings_made_by_hand_are_completed_by_their_preset(
    given: Config, layers: list[dict[str, Any]], arrived: list[tuple[Config, Any]]
) -> None:
    for call in (lambda: package.run(given, "runs/x"), lambda: package.run(config=given, out="runs/x")):
        with pytest.raises(Stop):
            call()
        assert arrived.pop() == (assemble(*layers), "runs/x")


def test_settings_are_given_once(arrived: list[tuple[Config, Any]]) -> None:
    with pytest.raises(ConfigError, match="unknown preset 'nonsense'"):
        package.run(Config(preset="nonsense"))
    with pytest.raises(ConfigError, match=r"run was given settings and preset, seed; give all to lowland\.settings"):
        package.run("digits", config=Config(), preset="quick", seed=0)
    with pytest.raises(ConfigError, match="settings twice"):
        package.run(Config(), config=Config())
    with pytest.raises(Stop):
        package.run("digits", max_params="1M", set={"supernet.epochs": 3})
    assert arrived.pop()[0] == assemble(
        {"data": {"name": "digits"}, "search": {"max_params": 1_000_000}, "supernet": {"epochs": 3}}
    )


def test_progress_is_shown_unless_quiet_or_heard_elsewhere(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=shown, width=200))
    for silent in ({"quiet": True}, {"monitor": Monitor()}):
        package.resume(finished, restart="evaluate", last="evaluate", **silent)  # type: ignore[arg-type]
    assert shown.getvalue() == capsys.readouterr().out == ""
    package.resume(finished, restart="evaluate", last="evaluate")
    assert "corruptions  4/4" in shown.getvalue()


def test_it_runs_in_another_thread(finished: Path) -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(package.resume(finished, quiet=True)))
    thread.start()
    thread.join()
    assert found[0].stages[-1] == "report"


def test_the_result_says_what_there_is(finished: Path) -> None:
    result = package.resume(finished, quiet=True)
    text = repr(result)
    assert text.startswith(f"run '{finished}': supernet, search, train, evaluate, report done\n  rank 1; genotype |")
    assert " M; MACs " in text
    assert "; test top-1 " in text
    assert text.endswith(f"\n  report {finished / 'report.html'}")
    assert result.load().classes == tuple("0123456789")
    assert result.report == finished / "report.html"


def test_the_result_in_a_notebook_is_escaped(finished: Path, tmp_path: Path) -> None:
    path = copied(finished, tmp_path / "<b>run&")
    page = package.resume(path, quiet=True)._repr_html_()
    assert "&lt;b&gt;run&amp;: supernet" in page
    assert "<b>" not in page
    assert page.count("<tr>") == 2
    assert "<td>1</td>" in page


def test_a_run_without_a_network_says_so(tmp_path: Path) -> None:
    result = package.run("digits", tmp_path / "run", config=assemble(TINY), last="supernet", quiet=True)
    assert repr(result) == f"run '{tmp_path / 'run'}': supernet done"
    assert "supernet done" in result._repr_html_()
    with pytest.raises(RunError, match="has no network yet; run `lowland resume"):
        result.load()
    with pytest.raises(RunError, match=r"the search of .* is not finished"):
        result.archive()


def test_the_archive_as_rows(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowland.workflow.candidates.find_spec", lambda name: None)
    before = content(pristine)
    rows = package.archive(pristine)
    searched = json.loads((pristine / "search.json").read_text())
    assert len(rows) == len(searched["candidates"])
    assert [row["genotype"] for row in rows] == [each["genotype"] for each in searched["ranking"]]
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    # Under log-rank the raw sum is in effect the MACs; what orders is the aggregate of the ranks.
    assert [row["value"] for row in rows] == pytest.approx([each["value"] for each in searched["ranking"]])
    assert [row["value"] for row in rows] == sorted((row["value"] for row in rows), reverse=True)
    assert {"measure_flatness", "measure_macs", "measure_naswot"} <= set(rows[0])
    assert rows[0]["measure_macs"] == searched["ranking"][0]["details"]["macs"]["value"]
    assert content(pristine) == before


def test_the_archive_as_a_data_frame_where_pandas_is(pristine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = types.SimpleNamespace(DataFrame=lambda rows: ("frame", rows))
    monkeypatch.setitem(sys.modules, "pandas", frames)  # type: ignore[arg-type]
    monkeypatch.setattr("lowland.workflow.candidates.find_spec", lambda name: object())
    kind, rows = package.archive(package.resume(pristine, quiet=True))
    assert kind == "frame"
    assert rows[0]["rank"] == 1


def test_the_archive_of_a_single_measure_and_of_a_front(
    tmp_path: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowland.workflow.candidates.find_spec", lambda name: None)
    few = [f"--set=search.options.pareto.{each}" for each in ("initial=4", "iterations=1", "proposals=2")]
    for extra in (["--measure", "loss"], ["--objective", "error", "--objective", "macs", *few]):
        run = tmp_path / extra[1]
        said = lowland("search", *options(*extra, "--out", str(run)))
        assert said.code == 0, said.err
        rows = package.archive(run)
        ranking = json.loads((run / "search.json").read_text())["ranking"]
        ranked = [row for row in rows if row["rank"] is not None]
        assert [row["genotype"] for row in ranked] == [each["genotype"] for each in ranking]
        assert [row["value"] for row in ranked] == pytest.approx([each["value"] for each in ranking])
