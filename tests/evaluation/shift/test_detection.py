"""Telling other images from those of the test: figures against sklearn's, ImageNet-O's traps, and any folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torch import nn

from lowland.core.config import Config, EvaluateConfig
from lowland.core.errors import ConfigError, DataError
from lowland.data.shift import group, wnids
from lowland.evaluation.shift.detection import detection, strangeness
from lowland.evaluation.shift.results import OthersResults
from lowland.evaluation.suite import suite
from published_sets import Reader, context_of, imagenet_data, pictures

O = sorted(group("o"))[:4]  # noqa: E741 - the set is called so
NOT_O = [label for label in range(1000) if label not in group("o")][:3]

scores = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, 2.0]), min_size=2, max_size=30).map(np.array)


@given(scores, scores)
def test_figures_equal_sklearns_also_with_ties(known: np.ndarray, others: np.ndarray) -> None:
    found = detection(known, others, seed=0, key="test")
    y, s = np.r_[np.zeros(len(known)), np.ones(len(others))], np.r_[known, others]
    assert found.auroc.value == pytest.approx(100 * roc_auc_score(y, s))
    assert found.aupr.value == pytest.approx(100 * average_precision_score(y, s))
    for positive, scored, value in ((y, s, found.fpr95.value), (1 - y, -s, found.fpr95_in.value)):
        fpr, tpr, _ = roc_curve(positive, scored, drop_intermediate=False)
        assert value == pytest.approx(100 * fpr[tpr >= 0.95 - 1e-12].min())


def test_standard_errors_are_those_of_repeated_samples() -> None:
    rng = np.random.default_rng(0)
    drawn = [detection(rng.normal(size=200), 1 + rng.normal(size=100), seed=0, key="x") for _ in range(60)]
    for what in ("auroc", "aupr", "fpr95"):
        spread = np.std([getattr(each, what).value for each in drawn], ddof=1)
        told = np.mean([getattr(each, what).standard_error for each in drawn])
        assert 0.6 < told / spread < 1.6, (what, told, spread)


def test_scores_are_softmax_and_energy_of_the_chosen_logits() -> None:
    logits = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    found = strangeness([0, 2, 5])(logits, torch.zeros(5))
    chosen = logits[:, [0, 2, 5]].double()
    assert torch.allclose((-found[:, 0]).exp(), chosen.softmax(dim=1).amax(dim=1))
    assert torch.allclose(-found[:, 1], chosen.exp().sum(dim=1).log())


def config(name: str, root: Path | None = None, **own: Any) -> Config:
    return Config(evaluate=EvaluateConfig(suites=(name,), root=root, options={name: own}))


def published(root: Path) -> Path:
    """ImageNet-O with pictures of no class, and validation images of more classes than its."""
    pictures(root / "imagenet-o", {wnids()[label]: [35] * 2 for label in O}, names="n0_{}.JPEG")
    pictures(root / "imagenet" / "val", {wnids()[label]: [label] * 3 for label in (*NOT_O, *O)}, names="val_{}.JPEG")
    return root


class Surest(nn.Module):
    """Sure of bright pictures, at the first of the classes named, else undecided."""

    def __init__(self, labels: Sequence[int], at: Sequence[int]) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor([float(label in at[:1]) for label in labels]))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return 5 * x_NCHW.mean(dim=(1, 2, 3))[:, None] * self.at


def test_negatives_of_o_are_validation_images_of_the_same_classes(tmp_path: Path) -> None:
    labels = [*NOT_O, *O]
    data, asked = imagenet_data(labels), config("imagenet-o", published(tmp_path))
    of = suite(asked, "imagenet-o")
    of.require(asked, data)
    found: OthersResults = of.run({"1": Reader(labels)}, context_of(data, root=tmp_path))
    (told,) = found.sets
    assert (told.known, told.others) == (3 * len(O), 2 * len(O))
    assert "same 4 of its 200 classes" in found.known
    assert told.chance == pytest.approx(100 * 8 / 20)
    assert [figure.label for figure in of.figures(found)["1"]] == ["ImageNet-O AUPR"]
    assert "others positive" in of.section(found).tables[0].note


def test_o_scores_by_its_own_classes_only(tmp_path: Path) -> None:
    """A network that is sure of a class outside of the 200 is unsure of all of them: every score ties."""
    labels = [*NOT_O, *O]
    data, asked = imagenet_data(labels), config("imagenet-o", published(tmp_path))
    tied, told = (
        suite(asked, "imagenet-o").run({"1": Surest(labels, sure)}, context_of(data, root=tmp_path)).sets[0]
        for sure in (NOT_O, O)
    )
    assert tied.networks["1"]["softmax"].auroc.value == pytest.approx(50.0)
    assert told.networks["1"]["softmax"].auroc.value == pytest.approx(25.0)


def test_o_without_validation_images_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "imagenet-o", {wnids()[label]: [label] * 2 for label in O})
    asked = config("imagenet-o", tmp_path)
    with pytest.raises(DataError, match="ImageNet's validation images, imagenet/val/<wnid>/ was looked for in"):
        suite(asked, "imagenet-o").require(asked, imagenet_data([*NOT_O, *O]))


def test_any_folder_is_told_from_the_test_images(tmp_path: Path) -> None:
    labels = [1, 5, 9]
    pictures(tmp_path / "dtd", {"": [30], "deeper/still": [31, 32]})
    pictures(tmp_path / "more" / "dtd", {"x": [30, 31]})
    asked = config("ood", folders=[str(tmp_path / "dtd"), str(tmp_path / "more" / "dtd")])
    data, of = imagenet_data(labels), suite(asked, "ood")
    of.require(asked, data)
    found = of.run({"1": Reader(labels)}, context_of(data))
    assert [(each.title, each.others, each.known) for each in found.sets] == [
        (str(tmp_path / "dtd"), 3, 9),
        (str(tmp_path / "more" / "dtd"), 2, 9),
    ]
    assert found.sets[0].networks["1"]["energy"].auroc.value == 100.0


@pytest.mark.parametrize("fault", ["none", "missing", "empty"])
def test_unfit_folders_are_refused(fault: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    asked = config("ood", folders=[] if fault == "none" else [str(tmp_path / fault)])
    error, words = {
        "none": (ConfigError, "give --ood FOLDER"),
        "missing": (DataError, "is not a folder"),
        "empty": (DataError, "holds 0 pictures"),
    }[fault]
    with pytest.raises(error, match=words):
        suite(asked, "ood").require(asked, imagenet_data([1, 5]))
