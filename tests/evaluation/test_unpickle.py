"""Reading pickles of others: plain data come out, and nothing that a file asks for is ever executed."""

from __future__ import annotations

import bz2
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import releases
import torch

from lowland.core.errors import DataError, RunError
from lowland.core.weights import read_weights
from lowland.evaluation.ranking.unpickle import read_bz2, read_torch


class Malicious:
    """Asks for a file to be made when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


PLAIN = {
    "numbers": [1, -2.5, True, None, 10**30],
    "containers": ({1, 2}, frozenset({3}), OrderedDict(a=1), ("x", b"\x00\xff")),
    "scalars": [np.float64(1.5), np.float32(0.25), np.int64(-7), np.bool_(True)],
    "arrays": [np.arange(6, dtype=np.int16).reshape(2, 3), np.asfortranarray(np.eye(2)), np.array([1.5], ">f8")],
}
EXPECTED = PLAIN | {
    "scalars": [1.5, 0.25, -7, True],
    "arrays": [[[0, 1, 2], [3, 4, 5]], [[1.0, 0.0], [0.0, 1.0]], [1.5]],
}


def values(content: Any) -> Any:
    return content | {"arrays": [each.values for each in content["arrays"]]}


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_plain_data_come_back(protocol: int, tmp_path: Path) -> None:
    found = values(read_bz2(releases.write_bz2(tmp_path / "file.pbz2", PLAIN, protocol)))
    assert found == EXPECTED
    assert [type(each) for each in found["scalars"]] == [float, float, int, bool]


def test_numpy_as_named_before_version_2(tmp_path: Path) -> None:
    old = pickle.dumps([np.float64(1.5)], protocol=2).replace(b"numpy._core", b"numpy.core")
    assert b"numpy.core.multiarray" in old
    path = tmp_path / "file.pbz2"
    path.write_bytes(bz2.compress(old))
    assert read_bz2(path) == [1.5]


@pytest.mark.parametrize("old", [True, False])
def test_plain_data_come_back_from_torch(old: bool, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    content = PLAIN | {"containers": [{1, 2}, OrderedDict(a=1)]}
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    assert values(read_torch(path)) == EXPECTED | {"containers": content["containers"]}


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_a_malicious_pickle_is_refused_and_not_executed(protocol: int, tmp_path: Path) -> None:
    target = tmp_path / "made"
    path = releases.write_bz2(tmp_path / "file.pbz2", {"meta_archs": [Malicious(target)]}, protocol)
    with pytest.raises(DataError, match=r"'(posix|nt)\.mkdir'.*not plain data.*nothing in it was executed"):
        read_bz2(path)
    assert not target.exists()


@pytest.mark.parametrize("old", [True, False])
def test_a_malicious_torch_file_is_refused_and_not_executed(old: bool, tmp_path: Path) -> None:
    target, path = tmp_path / "made", tmp_path / "file.pth"
    torch.save({"meta_archs": [Malicious(target)]}, path, _use_new_zipfile_serialization=not old)
    with pytest.raises(DataError, match=r"'(posix|nt)\.mkdir'.*not plain data"):
        read_torch(path)
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (partial(print, 1), "functools.partial"),
        (getattr, "builtins.getattr"),
        (eval, "builtins.eval"),
        (np.random.default_rng(0), "numpy"),
        (slice(1), "builtins.slice"),
        (torch.zeros(2), "torch"),
    ],
)
def test_whatever_is_not_known_is_refused_by_name(content: Any, name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"'{name}"):
        read_bz2(releases.write_bz2(tmp_path / "file.pbz2", [content]))


def test_numpy_objects_and_other_encodings_are_refused(tmp_path: Path) -> None:
    # An array of objects holds a pickle of anything.
    for content in (np.array([{}], dtype=object), np.array(["text"]), np.zeros(1, dtype=[("a", "f8")])):
        with pytest.raises(DataError, match="the array type"):
            read_bz2(releases.write_bz2(tmp_path / "file.pbz2", content))
    coded = pickle.dumps(b"\xff", protocol=2).replace(b"latin1", b"rot_13")
    (tmp_path / "file.pbz2").write_bytes(bz2.compress(coded))
    with pytest.raises(DataError, match="rot_13"):
        read_bz2(tmp_path / "file.pbz2")


def test_stand_ins_cannot_be_changed_by_a_file(tmp_path: Path) -> None:
    # BUILD with a state of slots would set attributes of the global itself.
    for name in (b"numpy\ndtype", b"numpy.core.multiarray\nscalar", b"_codecs\nencode", b"builtins\nset"):
        stream = io.BytesIO()
        stream.write(b"\x80\x04c" + name + b"\nN}\x8c\x04evilK\x01s\x86b.")
        (tmp_path / "file.pbz2").write_bytes(bz2.compress(stream.getvalue()))
        with pytest.raises(DataError):
            read_bz2(tmp_path / "file.pbz2")


def test_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    whole = pickle.dumps(list(range(1000)))
    path = tmp_path / "file"
    for content in (b"BZh91AY", bz2.compress(whole)[:-9], bz2.compress(whole[:-50]), bz2.compress(b"\x80\x04."), b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read as plain data") as caught:
            read_bz2(path)
        assert "\n" not in str(caught.value)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    for content in (path.read_bytes(), b"PK\x03\x04", b"\x80\x02."):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read as plain data") as caught:
            read_torch(path)
        assert "\n" not in str(caught.value)


def doubled(depth: int, using: bytes) -> bytes:
    """A pickle whose key would take 2^depth steps to hash, stored by one instruction or another."""
    key = b")" + b"2\x86" * depth
    begins = {b"s": b"}", b"u": b"}(", b"d": b"(", b"\x90": b"\x8f(", b"\x91": b"("}
    ends = {b"s": b"Ns", b"u": b"Nu", b"d": b"Nd", b"\x90": b"\x90", b"\x91": b"\x91"}
    named = b"\x8c\x08builtins\x8c\x03set\x93]"
    return b"\x80\x04" + (named + key + b"a\x85R" if using == b"R" else begins[using] + key + ends[using]) + b"."


@pytest.mark.parametrize("using", [b"s", b"u", b"d", b"\x90", b"\x91", b"R"])
def test_keys_that_would_take_for_ever_are_refused_at_once(using: bytes, tmp_path: Path) -> None:
    small = bz2.compress(doubled(3, using))
    (tmp_path / "small.pbz2").write_bytes(small)
    assert len(read_bz2(tmp_path / "small.pbz2")) == 1
    (tmp_path / "file.pbz2").write_bytes(bz2.compress(doubled(60, using)))
    with pytest.raises(DataError, match="a key of more than 100 parts"):
        read_bz2(tmp_path / "file.pbz2")


@pytest.mark.parametrize("reader", [read_torch, partial(read_weights, expected=())])
@pytest.mark.parametrize("old", [True, False])
def test_keys_in_files_of_torch_are_bounded_too(reader: Any, old: bool, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    torch.save({"a": torch.ones(1)}, path, _use_new_zipfile_serialization=not old)
    evil = doubled(60, b"s")
    if old:
        stream = io.BytesIO(path.read_bytes())
        for _ in range(3):
            pickle.load(stream)  # magic number, version and system
        path.write_bytes(path.read_bytes()[: stream.tell()] + evil)
    else:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, evil if name.endswith("data.pkl") else content)
    with pytest.raises((DataError, RunError)):
        reader(path)
