"""Files and texts made to exhaust memory, time or a terminal are one sentence."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import pickle
import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.table import Table

from lowland import __version__, spaces
from lowland.app.console import Harmless, literal
from lowland.core import settings
from lowland.core.errors import ConfigError, DataError
from lowland.core.text import harmless
from lowland.data.folder import open_folder
from lowland.data.npz import open_npz
from lowland.evaluation.ranking import truth, unpickle
from lowland.store.run import Run
from lowland.workflow import pipeline
from whole_runs import Command

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pipes and limits of memory")


def test_an_array_whose_header_promises_ten_terabytes(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**13 // 784, 28, 28)}
    )
    labels = io.BytesIO()
    np.save(labels, np.arange(4))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x_train.npy", header.getvalue())
        archive.writestr("y_train.npy", labels.getvalue())
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**36, before[1]))  # machines that lend memory they have not
    try:
        with pytest.raises(DataError, match=r"x\.npz (do not fit in this machine's memory|cannot be read)"):
            open_npz(tmp_path / "x.npz")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_gzip_bomb_as_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truth, "MOST_BYTES", 10**6)
    file = tmp_path / "truth.csv.gz"
    file.write_bytes(gzip.compress(bytes(2 * 10**6)))
    with pytest.raises(DataError, match=r"truth\.csv\.gz has more than 1,000,000 bytes of text"):
        truth.read_truth(file, spaces.get("nasbench201"))


BOMBS = {
    "one entry": b"\x80\x04\x8e" + (10**13).to_bytes(8, "little"),
    "behind its data": pickle.dumps({}) + bytes(10**6),
    "many entries": b"\x80\x04(" + pickle.dumps("x" * 1000)[2:-1] * 2000 + b"t.",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bzip2_bomb_as_release(bomb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpickle, "MOST_BYTES", 10**6)
    file = tmp_path / "release.pickle.pbz2"
    file.write_bytes(bz2.compress(BOMBS[bomb]))
    with pytest.raises(DataError, match=r"cannot be read as plain data|does not fit in this machine's memory"):
        unpickle.read_bz2(file)


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))


def test_references_in_settings_neither_swell_nor_loop(tmp_path: Path, lowland: Command) -> None:
    for text, words in ((LAUGHS, "more than 10,000 values"), ("a: &a [*a]", "refers to itself")):
        (tmp_path / "s.yaml").write_text(text)
        begun = time.monotonic()
        fault = lowland("run", "--config", tmp_path / "s.yaml", "--out", tmp_path / "new").fault
        assert words in fault
        assert len(fault) < 500
        assert time.monotonic() - begun < 10
    with pytest.raises(ConfigError, match="refers to itself"):
        settings.assignment("seed=&a [*a]")
    assert settings.parse("a: &a [1, 2]\nb: *a", "x") == {"a": [1, 2], "b": [1, 2]}
    assert len(lowland("run", "--set", f"seed=[{'1,' * 5000}]", "--out", tmp_path / "new").fault) < 500


def test_a_pipe_among_the_pictures(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.new("L", (8, 8), index).save(tmp_path / name / f"{index}.png")
    os.mkfifo(tmp_path / "cat" / "9.png")
    with pytest.raises(DataError, match=r"9\.png is no file but a pipe, socket or device; remove it"):
        open_folder(tmp_path)


EVIL = "a\x1b[31m\x1b]0;owned\x07\u202eb\x9b2J\rc"


def test_nothing_shown_moves_the_terminal() -> None:
    table = Table("name")
    table.add_row(literal(EVIL))
    shown = io.StringIO()
    console = Harmless(file=shown, force_terminal=True, width=120, color_system=None)
    console.print(literal(EVIL), soft_wrap=True)
    console.print(table)
    for mark in "\x1b\x07\u202e\x9b\r":
        assert mark not in shown.getvalue()
    assert shown.getvalue().count("\\x1b]0;o") == 2
    assert harmless("Größe τ\t中文\n") == "Größe τ\t中文\n"


INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, *rest):
        if name == sys.argv[0]:
            os.kill(os.getpid(), signal.SIGINT)

# Not as the tests were started: a shell's background jobs, and all that they start, ignore the signal.
signal.signal(signal.SIGINT, signal.SIG_IGN if sys.argv[2] == "--version" else signal.default_int_handler)
sys.argv = sys.argv[1:]
sys.meta_path.insert(0, Interrupting())
from lowland.__main__ import main
main()
"""


@pytest.mark.parametrize(
    "name",
    [
        "lowland.app.cli",
        "typer",
        "rich.console",
        pytest.param("lowland.workflow.pipeline", marks=pytest.mark.slow),  # behind all of torch
        "torch",
    ],
)
def test_an_interrupt_while_modules_are_imported_is_quiet(name: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, name, "run", "--data", "digits", "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
    assert not (tmp_path / "run").exists()


def test_where_interrupts_are_ignored_they_stay_so() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "typer", "--version"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"lowland {__version__}\n", "")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 1 GB")])
def test_short_memory_in_training_is_one_sentence(
    error: Exception, run: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object, **__: object) -> None:
        raise error

    with Run.open(run) as opened:
        opened.reset_stage("report")
    stage = pipeline.STAGES["report"]
    monkeypatch.setitem(pipeline.STAGES, "report", type(stage)(**{**vars_of(stage), "run": short}))
    fault = lowland("resume", run).fault
    assert "memory ran short in stage report of " in fault
    assert "free memory, raise a limit on it (ulimit -v), or lower its batch_size, and resume" in fault


def vars_of(stage: object) -> dict[str, object]:
    return {name: getattr(stage, name) for name in stage.__dataclass_fields__}  # type: ignore[attr-defined]
