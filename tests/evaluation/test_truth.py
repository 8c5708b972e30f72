"""Truth files: what is read from them, how samples are drawn, and what is said of a bad line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from lowland import spaces
from lowland.core.errors import DataError
from lowland.evaluation.ranking.truth import read_truth

SPACE = spaces.get("nasbench201")
GOOD = "2,2,2,2,2,2"
HEADER = "arch,test_acc"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_plain_and_gzipped_files_say_the_same(tmp_path: Path) -> None:
    text = f'index,arch,isomorph,test_acc,note\n0,"{GOOD}",a,90.5,x\n\n1,"3,3,3,3,3,3",b,91.25,y\n'
    (tmp_path / "t.csv").write_text("\ufeff" + text, encoding="utf-8")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
    found = [read_truth(tmp_path / name, SPACE) for name in ("t.csv", "t.csv.gz")]
    for truth in found:
        assert truth.genotypes == (SPACE.parse(GOOD), SPACE.parse("3,3,3,3,3,3"))
        assert truth.classes == ("a", "b")
        assert truth.columns["test_acc"].tolist() == [90.5, 91.25]
        assert list(truth.columns) == ["test_acc"]
        assert truth.skipped == 0
    assert found[0].digest != found[1].digest


def test_the_published_form_and_the_space_s_own_classes(tmp_path: Path) -> None:
    # A skip before a convolution computes the same as a skip after it.
    same = ["0,0,0,1,0,0", "1,0,0,0,1,0"]
    forms = [SPACE.format(SPACE.parse(text)) for text in (*same, GOOD)]
    truth = read_truth(write(tmp_path / "t.csv", HEADER, *(f"{form},1" for form in forms)), SPACE)
    assert truth.classes[0] == truth.classes[1] != truth.classes[2]
    assert sorted(truth.sample(0, 0)) == [0, 2]


def test_columns_by_name_and_rows_without_a_value(tmp_path: Path) -> None:
    file = write(
        tmp_path / "t.csv", "arch,acc,corrupt_mean", f'"{GOOD}",1,2', '"0,0,0,0,0,0",,3', '"1,1,1,1,1,1",4,nan'
    )
    truth = read_truth(file, SPACE, column="acc")
    assert {name: values.tolist() for name, values in truth.columns.items()} == {"acc": [1.0], "corrupt_mean": [2.0]}
    assert truth.skipped == 2
    assert list(read_truth(file, SPACE, column="corrupt_mean").columns) == ["corrupt_mean"]
    assert read_truth(file, SPACE, column="corrupt_mean", shift_column="acc").skipped == 2


def test_a_sample_holds_a_class_once_and_begins_a_larger_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    genotypes = {SPACE.sample(rng) for _ in range(300)}
    lines = [f"{SPACE.format(genotype)},{rng.random()}" for genotype in genotypes]
    truth = read_truth(write(tmp_path / "t.csv", HEADER, *lines), SPACE)
    classes = len(set(truth.classes))
    assert classes < 300
    everything = truth.sample(0, 1)
    assert len({truth.classes[place] for place in everything}) == len(everything) == classes
    assert truth.sample(10_000, 1) == everything
    assert truth.sample(20, 1) == everything[:20]
    assert truth.sample(20, 2) != everything[:20]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], ["is empty"]),
        (["genotype,test_acc", f'"{GOOD}",1'], ["no column 'arch'", "genotype, test_acc"]),
        (["arch,accuracy", f'"{GOOD}",1'], ["no column 'test_acc'", "arch, accuracy"]),
        (["arch,test_acc,test_acc", f'"{GOOD}",1,1'], ["'test_acc' more than once"]),
        ([HEADER, f'"{GOOD}",1', '"0,0,0,0,0,0",9o'], ["line 3", "'9o'", "test_acc"]),
        ([HEADER, f'"{GOOD}",inf'], ["line 2", "finite"]),
        ([HEADER, "conv,1"], ["line 2", "no architecture of space nasbench201"]),
        ([HEADER, f'"{GOOD}",1', f'"{GOOD}",2'], ["line 3", "repeats", "line 2"]),
        ([HEADER, f'"{GOOD}",1,2'], ["line 2", "3 fields", "names 2"]),
        ([HEADER, f'"{GOOD}"x,1'], ["line 2", "not CSV"]),
        ([HEADER, f'"{GOOD}",'], ["no architecture with a value in test_acc"]),
    ],
)
def test_a_bad_file_is_one_sentence_with_the_line(lines: list[str], words: list[str], tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(DataError) as caught:
        read_truth(file, SPACE)
    assert all(word in str(caught.value) for word in [*words, str(file)]), caught.value
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_truth(tmp_path / "none.csv", SPACE)
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(b"arch,test_acc\n" * 50)[:-9])
    latin = tmp_path / "latin.csv"
    latin.write_bytes("é".encode("latin-1"))
    for path in (tmp_path, cut, latin):
        with pytest.raises(DataError, match="cannot be read"):
            read_truth(path, SPACE)
    with pytest.raises(DataError, match="no column 'shift'"):
        read_truth(write(tmp_path / "t.csv", HEADER, f'"{GOOD}",1'), SPACE, shift_column="shift")
