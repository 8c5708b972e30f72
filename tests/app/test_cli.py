"""The command line as a person uses it: verbs, tables, and how quickly it answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import lowland as package
from lowland import data, measures, spaces
from whole_runs import Command, content, lasting, options, results


def test_help_answers_without_importing_torch() -> None:
    code = (
        "import sys; sys.argv = ['lowland', '--help']\n"
        "from lowland.app import cli\n"
        "try: cli.main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'matplotlib', 'PIL', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    for verb in ("run", "search", "supernet", "train", "evaluate", "report", "resume", "status", "flatness", "export"):
        assert f" {verb} " in said.stdout


def test_status_answers_without_importing_torch(pristine: Path) -> None:
    code = (
        f"import sys; sys.argv = ['lowland', 'status', {str(pristine)!r}]\n"
        "from lowland.app import cli\n"
        "try: cli.main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


def test_lists_name_everything_with_its_source(lowland: Command) -> None:
    told = lowland("spaces").out
    for name in spaces.registered():
        assert name in told
        assert spaces.get(name).source.split()[0] in told
    told = lowland("measures").out
    for name, measure in measures.registered().items():
        assert name in told
        assert measure.source.split()[0] in told
    told = lowland("data").out
    for entry in data.catalogue():
        assert entry.name in told


def test_verb_after_verb_ends_where_run_does(tmp_path: Path, pristine: Path, lowland: Command) -> None:
    run = tmp_path / "run"

    def stages() -> list[str]:
        told = lowland("status", run).out.splitlines()
        return [line.split()[1].rstrip(",") for line in told[1:6]]

    said = lowland("search", *options("--out", str(run)))
    assert said.code == 0, said.err
    assert stages() == ["done", "done", "pending", "pending", "pending"]
    assert f"lowland resume {run}" in lowland("status", run).out
    assert not (run / "network").exists()
    assert f"run      {run}" in said.out
    for verb, expected in (
        ("supernet", ["done", "done", "pending", "pending", "pending"]),
        ("report", ["done", "done", "pending", "pending", "pending"]),
        ("train", ["done", "done", "done", "pending", "pending"]),
        ("evaluate", ["done", "done", "done", "done", "pending"]),
        ("report", ["done"] * 5),
    ):
        said = lowland(verb, run)
        assert said.code == 0, said.err
        assert stages() == expected, verb
    assert (run / "report.html").is_file()
    for folder in ("evaluation", "network"):
        assert content(run / folder).keys() == content(pristine / folder).keys()
    for file in (*(f"evaluation/{name}" for name in content(run / "evaluation")), "network/network.safetensors"):
        assert (run / file).read_bytes() == (pristine / file).read_bytes()


def test_train_top_on_a_finished_run(finished: Path, lowland: Command) -> None:
    first = lasting(finished / "network")
    said = lowland("train", finished, "--top", "2")
    assert said.code == 0, said.err
    assert lasting(finished / "network") == first
    assert package.load(finished / "networks" / "2").facts["rank"] == 2
    rows = [line.split()[0] for line in said.out.splitlines() if line[:5].strip() in ("1", "2")]
    assert rows == ["1", "2"]
    assert set(results(finished, "classification")["networks"]) == {"1", "2"}


def own(strategy: str, *settings: str) -> list[str]:
    """Options that set own settings of a strategy."""
    return [option for text in settings for option in ("--set", f"search.options.{strategy}.{text}")]


def test_a_search_is_done_again_with_other_settings(finished: Path, lowland: Command) -> None:
    supernet = content(finished / "supernet")
    said = lowland("search", finished, "--strategy", "random", *own("random", "candidates=4"), "--measure", "accuracy")
    assert said.code == 0, said.err
    assert json.loads((finished / "search.json").read_text())["summary"]["proposed"] == 4
    assert content(finished / "supernet") == supernet
    assert (finished / "network" / "network.json").exists()  # until another is trained
    assert "pending" in lowland("status", finished).out


def test_objectives_ask_for_a_pareto_search(finished: Path, lowland: Command) -> None:
    few = own("pareto", "initial=4", "iterations=1", "proposals=2")
    said = lowland("search", finished, "--objective", "error", "--objective", "macs", *few)
    assert said.code == 0, said.err
    found = json.loads((finished / "search.json").read_text())
    assert [each["label"] for each in found["pareto"]["objectives"]] == ["error", "macs"]
    said = lowland("search", finished, "--strategy", "random", "--objective", "error")
    assert said.code == 2
    assert "--objective belongs to --strategy pareto, not random" in said.err


def test_own_pictures_of_mixed_sizes_and_modes(tmp_path: Path, lowland: Command) -> None:
    rng = np.random.default_rng(0)
    kinds = [("png", "RGB"), ("jpg", "L"), ("png", "RGBA"), ("jpg", "RGB"), ("png", "P"), ("png", "LA")]
    for name, level in (("dark", 40), ("light", 210)):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for index in range(18):
            height, width = rng.integers(8, 20, 2)
            pixels = np.clip(rng.normal(level, 20, (height, width, 3)), 0, 255).astype(np.uint8)
            suffix, mode = kinds[index % len(kinds)]
            Image.fromarray(pixels).convert(mode).save(folder / f"{index}.{suffix}")
    run = tmp_path / "run"
    own = ("--data", str(tmp_path / "pictures"), "--image-size", "8")
    small = ("--set", "supernet.batch_size=8", "--set", "retrain.batch_size=4")
    said = lowland("run", *options(*own, *small, "--out", str(run)))
    assert said.code == 0, said.err
    network = package.load(run)
    assert network.classes == ("dark", "light")
    assert network.shape.in_channels == 3
    bright, black = Image.new("L", (31, 9), 230), Image.new("RGBA", (12, 12), (20, 20, 20, 255))
    assert [name for name, _ in network.predict([bright, black])] == ["light", "dark"]


def test_settings_from_a_file_give_way_to_options(tmp_path: Path, lowland: Command) -> None:
    written = "seed: 5\nmeasure: {name: loss}\nsearch: {options: {evolution: {population: 6}}}\n"
    (tmp_path / "settings.yaml").write_text(written)
    run = tmp_path / "run"
    said = lowland("search", *options("--config", str(tmp_path / "settings.yaml"), "--seed", "4", "--out", str(run)))
    assert said.code == 0, said.err
    text = (run / "config.yaml").read_text()
    assert "seed: 4" in text
    assert "name: loss" in text
