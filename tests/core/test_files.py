from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from lowland.core import files
from lowland.core.errors import RunError
from lowland.core.files import checked_json, explained, replacing, sha256, write_bytes, write_json, write_text


@pytest.mark.parametrize("durable", [True, False])
def test_content_is_replaced_and_nothing_else_is_left(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_bytes(path, b"old", durable=durable)
    write_text(path, "naïve", durable=durable)
    assert path.read_bytes() == "naïve".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o644


def test_a_failure_while_writing_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def stopped_halfway() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            assert temporary.parent == tmp_path
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_halfway()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_content_reaches_the_disk_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(files, "sync_file", lambda path: seen.append(f"file, renamed {(tmp_path / 'f').exists()}"))
    monkeypatch.setattr(files, "sync_folder", lambda path: seen.append(f"folder, renamed {(tmp_path / 'f').exists()}"))
    write_bytes(tmp_path / "f", b"x")
    assert seen == ["file, renamed False", "folder, renamed True"]
    seen.clear()
    write_bytes(tmp_path / "f", b"x", durable=False)
    assert seen == []


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "is full; everything written before is intact: free some space and resume"),
        (errno.EDQUOT, "is full"),
        (errno.EACCES, "no permission to write"),
        (errno.EPERM, "no permission to write"),
        (errno.EROFS, "no permission to write"),
        (errno.ENOTDIR, "a file is in the way"),
        (errno.EEXIST, "a file is in the way"),
    ],
)
def test_refusals_are_one_sentence_that_names_the_path(tmp_path: Path, code: int, sentence: str) -> None:
    with pytest.raises(RunError) as raised, explained(tmp_path / "file"):
        raise OSError(code, os.strerror(code))
    assert sentence in str(raised.value)
    assert str(tmp_path / "file") in str(raised.value)


def test_other_faults_are_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output") as raised, explained(tmp_path):
        raise OSError(errno.EIO, "Input/output error")
    assert not isinstance(raised.value, RunError)


def test_a_file_in_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="a file is in the way"):
        write_bytes(tmp_path / "file" / "below", b"")


def test_json_has_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": [1, 0.1, "ü", None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"x": [1, 0.1, "ü", None]}
    for value in (float("nan"), float("inf"), {1, 2}, b"x"):
        with pytest.raises((ValueError, TypeError)):
            write_json(tmp_path / "a.json", value)
        with pytest.raises(RunError, match="the facts cannot be written as JSON"):
            checked_json([value], "the facts")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["x"][0] == 1


def test_checksums_are_sha_256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc" * 100000)
    assert sha256(tmp_path / "f") == hashlib.sha256(b"abc" * 100000).hexdigest()
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
