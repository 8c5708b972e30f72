"""Every file of a data set is hashed once, and again when it changed."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from PIL import Image

from lowland.core.config import DataConfig
from lowland.core.errors import DataError
from lowland.data import file_hashes, load, pictures
from lowland.data.file_hashes import cache_folder, hashes


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(file_hashes, "_SETTLED_NS", -(10**12))  # the files of a test were made a moment ago
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read."""
    names: list[str] = []
    real = file_hashes._hashed

    def noting(path: Path) -> object:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(file_hashes, "_hashed", noting)
    return names


def folder(root: Path, count: int = 5) -> list[Path]:
    (root / "a").mkdir(parents=True)
    paths = [root / "a" / f"{index}" for index in range(count)]
    for path in paths:
        path.write_text(f"content {path.name}")
    return paths


def truth(paths: list[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def test_only_new_and_changed_files_are_read(tmp_path: Path, read: list[str]) -> None:
    paths = folder(tmp_path / "data")
    assert hashes(paths, tmp_path / "data") == truth(paths)
    assert sorted(read) == ["0", "1", "2", "3", "4"]
    read.clear()
    assert hashes(paths[::-1], tmp_path / "data") == truth(paths)[::-1]
    assert read == []
    paths[2].write_text("CONTENT 2")  # as long as before
    extra = tmp_path / "data" / "more"
    extra.write_text("")
    assert hashes([*paths, extra], tmp_path / "data") == truth([*paths, extra])
    assert sorted(read) == ["2", "more"]


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    paths = folder(tmp_path / "data")
    hashes(paths, tmp_path / "data")
    facts = paths[1].stat()
    time.sleep(0.02)
    paths[1].write_text("CONTENT 1")
    os.utime(paths[1], ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert hashes(paths, tmp_path / "data") == truth(paths)


def test_a_file_changed_a_moment_ago_is_not_kept(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hashes, "_SETTLED_NS", 10**12)
    paths = folder(tmp_path / "data")
    hashes(paths, tmp_path / "data")
    read.clear()
    hashes(paths, tmp_path / "data")
    assert len(read) == len(paths)


@pytest.mark.parametrize("content", [b"", b"{}", b"0" * 64 + b'\n{"folder": 3}'])
def test_a_damaged_cache_is_made_anew(content: bytes, tmp_path: Path, read: list[str]) -> None:
    paths = folder(tmp_path / "data")
    hashes(paths, tmp_path / "data")
    (kept,) = cache_folder().iterdir()
    kept.write_bytes(content)
    read.clear()
    assert hashes(paths, tmp_path / "data") == truth(paths)
    assert len(read) == len(paths)


def test_without_a_cache_folder_all_are_read(tmp_path: Path, cache: Path, read: list[str]) -> None:
    cache.write_text("a file is in the way")
    paths = folder(tmp_path / "data")
    for _ in range(2):
        assert hashes(paths, tmp_path / "data") == truth(paths)
    assert len(read) == 2 * len(paths)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    paths = folder(tmp_path / "data")
    paths[3].unlink()
    with pytest.raises(DataError, match=r"a/3 cannot be read \(No such file"):
        hashes(paths, tmp_path / "data")


@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")  # many are alike
def test_every_changed_picture_changes_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More pictures than the fingerprint reads: only the content sees all."""
    monkeypatch.setattr(pictures, "SIGNED_FILES", 4)
    root = tmp_path / "data"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for index in range(30):
            Image.new("L", (6, 6), index % 256).save(root / name / f"{index:03}.bmp")

    def opened() -> tuple[str, str]:
        data = load(DataConfig(name=str(root), crop_padding=0, flip=False), seed=0)
        return data.fingerprint, data.content

    first = opened()
    assert opened() == first
    unseen = 0
    for index in range(1, 30, 5):
        path = root / "cat" / f"{index:03}.bmp"
        before = path.read_bytes()
        Image.new("L", (6, 6), 255 - index % 256).save(path)
        found = opened()
        assert found[1] != first[1]
        unseen += found[0] == first[0]
        path.write_bytes(before)
        assert opened() == first
    assert unseen, "the fingerprint alone sees them all, so that this test shows nothing"
    root.rename(tmp_path / "moved")
    assert load(DataConfig(name=str(tmp_path / "moved")), seed=0).content == first[1]
