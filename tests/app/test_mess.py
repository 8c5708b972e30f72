"""A folder as strangers keep them, with twelve kinds of mess in it, gives two clear lines and a network."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from whole_runs import Command, options

CLASSES = [str(number) for number in range(12)]  # kind 1: numbers that sort otherwise as text


def picture(path: Path, label: int, seed: int, mode: str = "RGB", size: tuple[int, int] = (9, 8)) -> None:
    """A picture whose brightness tells its class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 12, (*size, 3))
    pixels = np.clip(20 * label + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(
        path, format="JPEG" if path.suffix.lower() in (".jpg", ".jfif") else None
    )


@pytest.fixture(scope="module")
def mess(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder: 12 classes, 12 training and 4 test pictures each."""
    home = tmp_path_factory.mktemp("mess") / "my photos [2026]"  # kind 2: spaces and brackets in the name
    kinds = [(".png", "RGB"), (".PNG", "L"), (".jpg", "RGB"), (".jfif", "RGB"), (".png", "RGBA"), (".png", "P")]
    for label, name in enumerate(CLASSES):
        for number in range(12):
            suffix, mode = kinds[number % len(kinds)]  # kinds 3 to 6: endings, grey, transparent, palettes
            size = (9, 8) if number % 4 else (8, 11)  # kind 7: oblong pictures of several sizes
            picture(home / "Training" / name / f"p{number}{suffix}", label, 100 * label + number, mode, size)
        for number in range(4):
            picture(home / "Testing" / name / f"t{number}.png", label, 5000 + 100 * label + number)  # kind 8: names
    for junk in (".DS_Store", "Thumbs.db", "desktop.ini"):  # kind 9
        (home / "Training" / "3" / junk).write_bytes(b"junk")
    for folder in ("@eaDir", "lost+found", "__MACOSX", ".git"):  # kind 10
        (home / "Training" / folder).mkdir()
        (home / "Training" / folder / "x").write_bytes(b"junk")
    (home / "notes.txt").write_text("taken in May")  # kind 11
    (home / "Training" / "labels.csv").write_text("a,b")
    original = home / "Training" / "5" / "p0.png"
    (home / "Testing" / "5" / "copy.png").write_bytes(original.read_bytes())  # kind 12: a picture in both parts
    return home


def test_twelve_kinds_of_mess_give_two_clear_lines_and_a_network(mess: Path, tmp_path: Path, lowland: Command) -> None:
    run = tmp_path / "run"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is doubtful is said as warnings, too
        said = lowland("run", *options("--data", str(mess), "--out", str(run), "--image-size", "8", "--epochs", "2"))
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert any("12 classes" in line and "/ 49 train / search / test" in line for line in lines), lines[:3]
    assert any("steps: " in line for line in lines)
    assert json.loads((run / "network" / "network.json").read_text())["classes"] == CLASSES  # 2 before 10
    assert "Traceback" not in said.out + said.err
