"""Genotypes given in place of a search: of the literature, hand-written, as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lowland.core.errors import ConfigError, GenotypeError
from lowland.spaces import get, published
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble
from whole_runs import TINY, Command

SMALL = ("--set", "network.channels=4", "--set", "network.cells=3", "--retrain-epochs", "1", "--recipe", "quick")
SMALL_DATA = ("--data", "digits", "--set", "data.limit=400", "--set", "retrain.batch_size=32")


@pytest.mark.slow
def test_a_published_genotype_is_trained_on_any_data(tmp_path: Path, lowland: Command) -> None:
    run = tmp_path / "run"
    said = lowland("train", "--genotype", "published:genas-flatness-c100", *SMALL_DATA, *SMALL, "--out", run)
    assert said.code == 0, said.err
    made = json.loads((run / "network" / "network.json").read_text())
    assert tuple(made["genes"]) == published.get("genas-flatness-cifar100").genotype.genes
    assert (made["shape"]["channels"], made["shape"]["cells"]) == (4, 3)
    again = lowland("train", run, "--retrain-epochs", "2")
    assert again.code == 0, again.err


def test_a_genotype_brings_its_space(lowland: Command) -> None:
    said = lowland("train", "--genotype", "published:pc-darts-cifar10", "--data", "digits", "--dry-run")
    assert said.code == 2, "train has no dry run"
    said = lowland("run", "--genotype", "published:pc-darts-cifar10", "--data", "digits", "--dry-run")
    assert said.code == 0, said.err
    assert "space: darts" in said.out
    assert "searcher: given" in said.out
    assert "retraining" in said.out.splitlines()[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--genotype", "published:pc-darts-cifar10", "--space", "nasbench201"),
            "is of space darts, but this",
        ),
        (
            ("--genotype", "published:pc-dart-cifar10"),
            "'pc-dart-cifar10' (did you mean pc-darts",
        ),
        (("--genotype", "timm:resnet10t"), "is no genotype of a search space"),
        (("--genotype", "resnet-cel"), "unknown reference 'resnet-cel' (did you mean resnet-cell?)"),
        (("--genotype", "1,2,3"), "no genotype of nasbench201"),
        (("--genotype", "resnet-cell", "--searcher", "darts"), "--genotype belongs to --searcher given"),
        (("--searcher", "given"), "searcher given needs genotypes: add --genotype published:NAME"),
        (("--genotype", "resnet-cell", "--strategy", "random"), "search.strategy=random proposes candidates"),
        (("--genotype", "resnet-cell", "--set", "search.lag=3"), "search.lag=3 says which scores a proposal may see"),
        (("--strategy", "random", "--set", "search.lag=3"), "search.strategy=random looks at none, or cannot go"),
    ],
)
def test_what_is_no_genotype_of_the_run_is_refused(words: tuple[str, ...], sentence: str, lowland: Command) -> None:
    said = lowland("run", *words, "--data", "digits", "--dry-run")
    assert said.code == 2
    assert sentence in " ".join(said.err.split())


def test_train_wants_a_run_or_a_genotype(tmp_path: Path, lowland: Command) -> None:
    assert "train needs a run directory, or --genotype published:NAME" in lowland("train").err
    said = lowland("train", tmp_path, "--data", "digits")
    assert said.code == 2
    assert "--data is of new runs" in said.err


def test_the_listing_of_the_literature(lowland: Command) -> None:
    said = lowland("published")
    assert said.code == 0, said.err
    assert all(network.name in said.out for network in published.networks())
    found = json.loads(lowland("published", "--json").out)
    for row in found:
        network = published.get(row["name"])
        assert get(row["space"]).parse(row["genotype"]) == network.genotype
        assert row["macs_by_profiler"] / 1e6 == pytest.approx(network.mmacs, abs=0.0051)
        assert row["source"]


@pytest.mark.parametrize(
    ("own", "error", "words"),
    [
        ({"genotypes": ["9,9,9,9,9,9"]}, GenotypeError, "no genotype of nasbench201"),
        ({"genotypes": []}, ConfigError, "needs genotypes"),
    ],
)
def test_settings_of_given_genotypes(own: dict[str, Any], error: type[Exception], words: str) -> None:
    settings = {"search": {"searcher": "given", "options": {"given": own}}}
    with pytest.raises(error, match=words):
        pipeline.check(assemble({key: value for key, value in TINY.items() if key != "search"}, settings))
