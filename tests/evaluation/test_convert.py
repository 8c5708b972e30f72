"""Converting official releases: every layout gives the same CSV, which `lowland rank` reads; bad files are refused."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import releases
import torch

from lowland import spaces
from lowland.core.errors import ConfigError, DataError
from lowland.evaluation.ranking.convert import Converted, convert
from lowland.evaluation.ranking.truth import read_truth
from whole_runs import Command

MAKERS: dict[str, Callable[[Path], Path]] = {
    "torch, old form": lambda folder: releases.nas_bench_201(folder, old=True),
    "torch, new form": lambda folder: releases.nas_bench_201(folder, old=False),
    "bzip2": releases.nats_bench,
    "folder": releases.nats_bench_simple,
}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_every_layout_gives_what_was_put_in(maker: Callable[[Path], Path], tmp_path: Path) -> None:
    out = tmp_path / "truth.csv"
    found = convert(maker(tmp_path), out)
    assert found == Converted(architectures=4, classes=3, most_seeds=3, left_out=1)
    table = rows(out)
    assert [row["arch"] for row in table] == releases.ARCHS[:4]
    assert [row["isomorph"] for row in table] == ["0", "1", "1", "3"]
    for index, row in enumerate(table):
        seeds = sorted(releases.SEEDS[index])
        tested = [releases.accuracy(index, "cifar10", seed, "ori-test", 200) for seed in seeds]
        assert float(row["test_acc"]) == pytest.approx(np.mean(tested), abs=1e-5)
        each = [row[f"test_acc_seed{number}"] for number in range(3)]
        assert [float(text) for text in each if text] == pytest.approx(tested, abs=1e-5)
        assert each[len(seeds) :] == [""] * (3 - len(seeds))
        valid = [releases.accuracy(index, "cifar10-valid", seed, "x-valid", 200) for seed in seeds]
        assert float(row["valid_acc"]) == pytest.approx(np.mean(valid), abs=1e-5)
        short = releases.accuracy(index, "cifar10-valid", releases.SEEDS[index][0], "x-valid", 12)
        assert float(row["valid_acc_12epochs"]) == pytest.approx(short, abs=1e-5)
        assert row["params"] == str(100_000 + index)
        assert float(row["mmacs"]) == (15.5 if index == 0 else 20.25 + index)


def test_other_data_sets_use_their_own_test_images(tmp_path: Path) -> None:
    source, out = releases.nats_bench(tmp_path), tmp_path / "truth.csv.gz"
    convert(source, out, "cifar100")
    first = out.read_bytes()
    row = next(csv.DictReader(gzip.decompress(first).decode().splitlines()))
    assert float(row["test_acc"]) == pytest.approx(releases.accuracy(0, "cifar100", 888, "x-test", 200), abs=1e-5)
    assert float(row["valid_acc"]) == pytest.approx(releases.accuracy(0, "cifar100", 888, "x-valid", 200), abs=1e-5)
    convert(source, out, "cifar100")
    assert out.read_bytes() == first
    with pytest.raises(DataError, match="no test accuracy on ImageNet16-120"):
        convert(source, tmp_path / "other.csv", "ImageNet16-120")
    assert not (tmp_path / "other.csv").exists()


def test_rank_reads_the_outcome_and_sends_a_release_to_be_converted(tmp_path: Path, lowland: Command) -> None:
    source, out = releases.nats_bench_simple(tmp_path), tmp_path / "truth.csv"
    said = lowland("truth", source, "--out", out)
    assert said.code == 0, said.err
    assert "4 architectures, 3 distinct, up to 3 seeds; 1 without a test accuracy left out" in said.out
    truth = read_truth(out, spaces.get("nasbench201"))
    assert len(truth.genotypes) == 4
    assert len(truth.sample(0, 0)) == 3
    for path in (source, releases.nats_bench(tmp_path), releases.nas_bench_201(tmp_path, old=True)):
        fault = lowland("rank", "--truth", path, "--data", "digits", "--out", tmp_path / "rank").fault
        assert f"`lowland truth {path} --out truth.csv`" in fault
    assert not (tmp_path / "rank").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.pop("meta_archs"), ["meta_archs"]),
        (lambda content: content.pop("arch2infos"), ["arch2infos"]),
        (lambda content: content["arch2infos"][1]["200"].pop("dataset_seed"), ["architecture 1", "dataset_seed"]),
        (lambda content: content["arch2infos"].update({1: [1]}), ["architecture 1", "not laid out"]),
        (
            lambda content: content["arch2infos"][0]["200"]["all_results"]["cifar10", 777].update(flop="much"),
            ["architecture 0", "'much'"],
        ),
        (lambda content: content["meta_archs"].__setitem__(0, "8:8:8:8:8"), ["architecture 0", "not of space"]),
    ],
)
def test_another_layout_is_refused_and_named(change: Callable[[Any], Any], words: list[str], tmp_path: Path) -> None:
    content = releases.release()
    change(content)
    source = releases.write_bz2(tmp_path / "file.pickle.pbz2", content)
    with pytest.raises(DataError) as caught:
        convert(source, tmp_path / "truth.csv")
    assert all(word in str(caught.value) for word in [*words, str(source)]), caught.value
    assert not (tmp_path / "truth.csv").exists()


def test_bad_arguments_are_one_sentence(tmp_path: Path) -> None:
    source = releases.nats_bench(tmp_path)
    with pytest.raises(ConfigError, match=r"'mnist' must be one of cifar10, cifar100, ImageNet16-120"):
        convert(source, tmp_path / "truth.csv", "mnist")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"must end in \.csv or \.csv\.gz"):
        convert(source, tmp_path / "truth.txt")
    with pytest.raises(DataError, match="does not exist"):
        convert(tmp_path / "none.pth", tmp_path / "truth.csv")
    text = tmp_path / "text.csv"
    text.write_text("arch,test_acc\n")
    for path in (tmp_path, text):
        with pytest.raises(DataError, match="is no release"):
            convert(path, tmp_path / "truth.csv")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(DataError, match="meta_archs"):
        convert(tmp_path / "list.pth", tmp_path / "truth.csv")
