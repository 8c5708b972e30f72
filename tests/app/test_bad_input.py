"""Bad input, damage and a refusing machine: one sentence, exit code 2, nothing lost, and advice that works."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lowland import spaces
from lowland.core import files
from lowland.core.errors import GenotypeError, RunError
from lowland.store import inside
from lowland.store.run import Run
from whole_runs import Command, content, made, options


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "fashion-mnist-6"], ["fashion-mnist-6", "did you mean 'fashion-mnist-6k'"]),
        (["--data", "./nowhere/pictures"], ["nowhere/pictures does not exist"]),
        (["--space", "nasbench2O1"], ["nasbench2O1", "nasbench201"]),
        (["--measure", "flatnes"], ["flatnes", "flatness"]),
        (["--measure", "angle+flatnes"], ["flatnes", "flatness"]),
        (["--measure", "angle+"], ["unknown measure ''"]),
        (["--preset", "quik"], ["quik", "did you mean quick"]),
        (["--preset", "paper+compatt"], ["compatt", "compat"]),
        (["--recipe", "cifr"], ["cifr", "cifar"]),
        (["--recipe", "cifar"], ["retrain.auxiliary_weight"]),
        (["--strategy", "evolutin"], ["evolutin", "evolution"]),
        (["--set", "serch.population=1"], ["serch", "did you mean 'search"]),
        (["--set", "population"], ["population", "section.key=value"]),
        (["--set", "search.population=[1"], ["not valid YAML"]),
        (["--set", "search.population=30"], ["search.population is now search.options.evolution.population"]),
        (["--set", "search.options.evolution.population=many"], ["search.options.evolution.population", "many"]),
        (["--set", "search.options.evolution.populatoin=9"], ["did you mean 'search.options.evolution.population'"]),
        (["--set", "search.options.evolutoin.population=9"], ["search.options.evolutoin", "did you mean evolution"]),
        (["--set", "search.searcher=one-shoot"], ["one-shoot", "did you mean one-shot"]),
        (["--set", "compute.executor=locl"], ["locl", "did you mean local"]),
        (["--set", "seed={a: 1}"], ["seed"]),
        (["--set", "search=3"], ["search"]),
        (["--set", "measure.options.flatness.sigmas=[0.1, 0.01]"], ["sigmas", "increasing"]),
        (["--set", "evaluate.options.corruptions.names=[fogg]"], ["fogg", "fog"]),
        (["--epochs", "0"], ["supernet.epochs", "0"]),
        (["--retrain-epochs", "-1"], ["retrain.epochs"]),
        (["--top", "0"], ["retrain.top"]),
        (["--max-params", "abc"], ["--max-params", "abc", "1.0M"]),
        (["--max-macs", "-5"], ["--max-macs"]),
        (["--max-params", "100"], ["at most 100 parameters", "raise search.max_params to"]),
        (["--image-size", "2"], ["image_size"]),
        (["--device", "cuda:99"], ["cuda:99"]),
        (["--device", "toaster"], ["toaster"]),
        (["--config", "/nowhere/settings.yaml"], ["/nowhere/settings.yaml does not exist"]),
        (["--data", "cifar10", "--data-root", "/nowhere"], ["/nowhere"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_a_bad_setting_is_one_sentence_and_leaves_nothing(
    arguments: list[str], words: list[str], tmp_path: Path, lowland: Command
) -> None:
    for verb in ("run", "search") if "--top" not in arguments and "--re" not in arguments[0][:4] else ("run",):
        fault = lowland(verb, *options(*arguments, "--out", str(tmp_path / "run"))).fault
        assert all(word in fault for word in words), fault
    assert list(tmp_path.iterdir()) == []


def test_a_bad_settings_file(tmp_path: Path, lowland: Command) -> None:
    file = tmp_path / "settings.yaml"
    for text, word in (("a: [", "not valid YAML"), ("- 1", "sections"), ("sead: 1", "'seed'"), ("\xff", "UTF-8")):
        file.write_bytes(text.encode("latin-1"))
        assert word in lowland("run", "--config", file, "--out", tmp_path / "run").fault
    assert "cannot be read" in lowland("run", "--config", tmp_path, "--out", tmp_path / "run").fault
    assert [path.name for path in tmp_path.iterdir()] == ["settings.yaml"]


def pictures(folder: Path, classes: dict[str, int]) -> Path:
    rng = np.random.default_rng(0)
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(folder / name / f"{index}.png")
    return folder


def test_bad_image_folders_name_what_is_wrong(tmp_path: Path, lowland: Command) -> None:
    def fault(folder: Path) -> str:
        said = lowland("run", *options("--data", str(folder), "--out", str(tmp_path / "run"))).fault
        assert not (tmp_path / "run").exists()
        return said

    (tmp_path / "empty").mkdir()
    assert "empty" in fault(tmp_path / "empty")
    assert "'b'" in fault(pictures(tmp_path / "single", {"a": 6, "b": 1}))
    spoilt = pictures(tmp_path / "spoilt", {"a": 6, "b": 6})
    (spoilt / "b" / "2.png").write_text("not a picture")
    assert "b/2.png" in fault(spoilt)
    (tmp_path / "text.csv").write_text("1,2")
    assert "text.csv" in fault(tmp_path / "text.csv")
    (tmp_path / "broken.npz").write_bytes(b"PK nonsense")
    assert "broken.npz" in fault(tmp_path / "broken.npz")


@pytest.mark.parametrize(
    ("space", "text"),
    [
        ("nasbench201", "|nor_conv_3x3~0|+|"),
        ("nasbench201", "|nor_conv_9x9~0|+|none~0|none~1|+|none~0|none~1|none~2|"),
        ("nasbench201", "|nor_conv_3x3~1|+|none~0|none~1|+|none~0|none~1|none~2|"),
        ("darts", "Genotype(normal=[])"),
        ("darts", "__import__('os').system('true')"),
        ("darts", ""),
    ],
)
def test_bad_genotypes(space: str, text: str) -> None:
    with pytest.raises(GenotypeError) as caught:
        spaces.get(space).parse(text)
    assert "\n" not in str(caught.value)


def test_folders_in_the_way(finished: Path, tmp_path: Path, lowland: Command) -> None:
    before = content(finished)
    fault = lowland("run", *options("--out", str(finished))).fault
    assert f"lowland resume {finished}" in fault
    assert content(finished) == before
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("precious")
    assert "chapter.tex" in lowland("run", *options("--out", str(tmp_path / "thesis"))).fault
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]
    (tmp_path / "file").write_text("precious")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        assert "a file is in the way" in lowland("run", *options("--out", str(out))).fault
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("verb", ["resume", "status", "search", "supernet", "train", "evaluate", "report"])
def test_what_is_no_run(verb: str, tmp_path: Path, lowland: Command) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        assert f"{path} is not a run directory" in lowland(verb, path).fault
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_version(finished: Path, lowland: Command) -> None:
    manifest = json.loads((finished / "manifest.json").read_text())
    (finished / "manifest.json").write_text(json.dumps(manifest | {"format": 99, "lowland": "9.1"}))
    before = content(finished)
    for verb in ("resume", "status", "report"):
        fault = lowland(verb, finished).fault
        assert "format 99" in fault
        assert "use lowland 9.1" in fault
    facts = json.loads((finished / "network" / "network.json").read_text())
    (finished / "network" / "network.json").write_text(json.dumps(facts | {"format": 99}))
    assert "format 99" in lowland("export", finished).fault
    (finished / "network" / "network.json").write_bytes(before["network/network.json"])
    assert content(finished) == before


def advice(fault: str) -> list[str]:
    """The command that a message tells to give."""
    command = fault.split("`")[1].split()
    assert command[0] == "lowland", fault
    return command[1:]


def spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(bytes(content))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "how", "verb"),
    [
        ("supernet/trained.safetensors", "changed", ["search", "--measure", "loss"]),
        ("supernet/initial.safetensors", "missing", ["search", "--measure", "angle"]),
        ("search.json", "changed", ["train", "--retrain-epochs", "1"]),
        ("search.json", "missing", ["report"]),
        ("archive.sqlite", "changed", ["report"]),
        ("archive.sqlite", "missing", ["report"]),
        ("network/network.safetensors", "changed", ["export"]),
        ("network/network.safetensors", "missing", ["evaluate"]),
        ("network/network.json", "changed", ["evaluate"]),
        ("network/network.json", "missing", ["export"]),
        ("evaluation/classification.json", "changed", ["report"]),
        ("training.json", "missing", ["report"]),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_damaged_file_is_named_and_the_advice_helps(
    file: str, how: str, verb: list[str], finished: Path, pristine: Path, lowland: Command
) -> None:
    if verb == ["evaluate"]:
        with Run.open(finished) as run:
            run.reset_stage("evaluate")
    if how == "missing":
        (finished / file).unlink()
    elif file == "archive.sqlite":
        (finished / file).write_bytes(b"SQLite format 3\x00" + b"nonsense" * 600)
    elif file == "network/network.json":
        (finished / file).write_text("{")
    else:
        spoil(finished / file)
    command = [verb[0], str(finished), *verb[1:]]
    if verb == ["export"]:
        command += ["--out", str(finished.parent / "network.pt2")]
    fault = lowland(*command).fault
    assert file in fault
    told = advice(fault)
    assert told[:2] == ["resume", str(finished)]
    said = lowland(*told)
    assert said.code == 0, said.err
    said = lowland(*command)
    assert said.code == 0, said.err
    assert lowland("resume", finished).code == 0
    with Run.open(finished, read_only=True) as run:
        assert run.verify() == []
    if "--retrain-epochs" not in verb and "--measure" not in verb:
        assert content(finished / "evaluation") == content(pristine / "evaluation")


def test_damaged_settings_and_manifests_are_put_right_by_a_copy(finished: Path, lowland: Command) -> None:
    for file in ("config.yaml", "manifest.json"):
        good = (finished / file).read_bytes()
        for bad in (b"seed: 7\n" if file == "config.yaml" else b"[]", b"\x00{", good[: len(good) // 2], None):
            if bad is None:
                (finished / file).unlink()
            else:
                (finished / file).write_bytes(bad)
            fault = lowland("resume", finished).fault
            assert file in fault
            (finished / file).write_bytes(good)
    assert lowland("resume", finished).code == 0


def test_no_permission_to_write(
    tmp_path: Path, finished: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The kernel lets nobody, not even root, make folders here.
    fault = lowland("run", *options("--out", "/proc/lowland")).fault
    assert "/proc/lowland" in fault
    before = content(finished)

    def refuse(root: Path, relative: str, value: object, **_: bool) -> None:
        with files.explained(root / relative):
            raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(inside, "write_text", refuse)
    fault = lowland("train", finished, "--top", "2").fault
    assert "no permission to write" in fault
    assert fault.endswith("or choose another folder: --out for what is new, a copy (cp -r) of a run that exists")
    assert content(finished) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A file system of a few kilobytes, mounted for one test."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")

    def leave(kilobytes: int) -> Path:
        (disk / "ballast").unlink(missing_ok=True)
        free = shutil.disk_usage(disk).free - kilobytes * 1024
        (disk / "ballast").write_bytes(b"0" * free)
        return disk

    yield leave
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [20, 200, 400])
def test_a_full_disk_loses_nothing(
    kilobytes: int, small_disk: Callable[[int], Path], pristine: Path, lowland: Command
) -> None:
    disk = small_disk(kilobytes)
    run = disk / "run"
    fault = lowland("run", *options("--set", "compute.checkpoint_seconds=0.05", "--out", str(run))).fault
    assert "is full" in fault
    assert "free some space" in fault
    (disk / "ballast").unlink()
    again = ["resume", str(run)] if (run / "manifest.json").exists() else ["run", *options("--out", str(run))]
    said = lowland(*again)
    assert said.code == 0, said.err
    assert content(run / "evaluation") == content(pristine / "evaluation")
    assert (run / "network/network.safetensors").read_bytes() == (pristine / "network/network.safetensors").read_bytes()


def test_a_full_disk_in_the_middle_of_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    genuine = inside.flush

    def filling(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        genuine(handle)

    monkeypatch.setattr(inside, "flush", filling)
    with pytest.raises(RunError, match="is full"):
        made(tmp_path / "run")
    with Run.open(tmp_path / "run", read_only=True) as run:
        assert run.verify() == []


def test_the_installed_command_speaks_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lowland", "resume", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("error: ")
    assert said.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("run", "--epoch", "3"),
            "no such option: --epoch (Possible options: --epochs, --retrain-epochs); `lowland run -h`",
        ),
        (("flatnes",), "no such command 'flatnes'. Did you mean 'flatness'? `lowland -h`"),
        (("train",), "train needs a run directory, or --genotype published:NAME for a new run"),
        (("run", "--seed", "x"), "invalid value for '--seed'"),
    ],
)
def test_a_mistyped_command_line_is_one_sentence(arguments: tuple[str, ...], said: str, lowland: Command) -> None:
    assert said in lowland(*arguments).fault
