"""`lowland evaluate RUN --corrupted DIR`: published corrupted images in a whole run, and refusals that lose nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lowland.core.config import DataConfig
from lowland.data import corrupt, load
from lowland.store.run import Run
from whole_runs import Command, content, results

NAMES = ("gaussian_noise", "contrast")


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """The finished run's own test images in the layout of CIFAR-10-C, corrupted as the run corrupts them."""
    config = Run.open(finished, read_only=True).config
    data = load(DataConfig(**config.data.model_dump()), seed=config.seed)
    n = len(data.test)
    clean = data.test.images(torch.arange(n))
    made = tmp_path / "digits-C"
    made.mkdir()
    for name in NAMES:
        images = [corrupt(clean, name, severity, seed=config.seed).numpy()[:, 0] for severity in range(1, 6)]
        np.save(made / f"{name}.npy", np.concatenate(images))
    np.save(made / "labels.npy", np.tile(data.test.labels_N.numpy(), 5))
    return made


def judged(run: Path) -> dict[str, object]:
    shift: dict[str, object] = results(run, "corruptions")["networks"]["1"]
    return shift


def test_a_folder_of_the_same_images_gives_the_same_result(
    finished: Path, folder: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = judged(finished)
    monkeypatch.chdir(folder.parent)
    assert lowland("evaluate", finished, "--corrupted", folder.name).code == 0
    assert judged(finished) == before
    config = Run.open(finished, read_only=True).config
    assert config.evaluate.options["corruptions"]["folder"] == str(folder.absolute())
    assert lowland("evaluate", finished, "--set", "evaluate.options.corruptions.names=[contrast]").code == 0
    after = judged(finished)
    assert list(after["by"]) == ["contrast"]  # type: ignore[call-overload]
    assert after["by"]["contrast"] == before["by"]["contrast"]  # type: ignore[index]
    assert after["severities"] == [1, 5]


def test_the_cache_gives_the_same_result_twice(
    finished: Path, tmp_path: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = judged(finished)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert lowland("evaluate", finished, "--set", "evaluate.options.corruptions.cache=true").code == 0
    kept = content(tmp_path / "cache")
    assert len(kept) == 4
    assert judged(finished) == before
    assert lowland("resume", finished, "--restart", "evaluate").code == 0
    assert judged(finished) == before
    assert content(tmp_path / "cache") == kept


@pytest.mark.parametrize(
    ("missing", "words"),
    [("contrast.npy", ["has no contrast.npy, only gaussian_noise, labels"]), ("labels.npy", ["has no labels.npy"])],
)
def test_an_unfit_folder_is_refused_before_anything_changes(
    missing: str, words: list[str], finished: Path, folder: Path, lowland: Command
) -> None:
    (folder / missing).unlink()
    before = content(finished)
    fault = lowland("evaluate", finished, "--corrupted", folder).fault
    assert all(word in fault for word in words), fault
    assert "is not a folder" in lowland("evaluate", finished, "--corrupted", folder / "nowhere").fault
    assert content(finished) == before
