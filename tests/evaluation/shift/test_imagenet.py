"""ImageNet-V2, -A, -R and -Sketch on tiny sets in the official layouts: labels, slicing, clean images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lowland.core.config import Config, EvaluateConfig
from lowland.core.errors import ConfigError, DataError
from lowland.data.shift import group, wnids
from lowland.evaluation.shift import judging
from lowland.evaluation.shift.results import ShiftedResults
from lowland.evaluation.suite import suite
from lowland.testing.evaluation import Parts
from published_sets import Reader, context_of, data_of, imagenet_data, normalised_as, pictures

A = sorted(group("a"))[:4]
NOT_A = [0, 1, 2, 3, 4]


def config(name: str, root: Path | None, **own: Any) -> Config:
    return Config(evaluate=EvaluateConfig(suites=(name,), root=root, options={name: own}))


def judged(
    name: str, root: Path, labels: Sequence[int], *, network: nn.Module | None = None, **own: Any
) -> ShiftedResults:
    """What the suite finds for a network that reads labels off pictures, of these classes in this order."""
    asked, data = config(name, root, **own), imagenet_data(labels)
    of = suite(asked, name)
    of.require(asked, data)
    found: ShiftedResults = of.run({"1": network or Reader(labels)}, context_of(data, root=root))
    return found


def v2(root: Path, labels: Sequence[int] = (0, 1, 2, 10, 17)) -> Path:
    return pictures(
        root / "imagenetv2-matched-frequency-format-val",
        {str(label): [label] * 3 for label in labels},
        names="{}a4f.jpeg",
    )


def test_v2_is_labelled_by_the_number_not_by_the_rank_of_the_folder(tmp_path: Path) -> None:
    v2(tmp_path)
    found = judged("imagenet-v2", tmp_path, [0, 1, 2, 10, 17])
    assert (found.networks["1"].top1.value, found.networks["1"].top1.n) == (100.0, 15)
    assert (found.classes, found.whole, found.shown, found.left_out) == (5, 1000, 5, 0)


def test_networks_in_another_order_or_of_fewer_classes_are_matched_by_name(tmp_path: Path) -> None:
    v2(tmp_path)
    found = judged("imagenet-v2", tmp_path, [17, 2, 1])
    assert (found.networks["1"].top1.value, found.networks["1"].top1.n) == (100.0, 9)
    assert (found.classes, found.shown, found.left_out) == (3, 3, 6)


def test_a_subset_of_folders_keeps_its_labels(tmp_path: Path) -> None:
    v2(tmp_path, (10, 17))
    found = judged("imagenet-v2", tmp_path, [0, 1, 2, 10, 17])
    assert (found.networks["1"].top1.value, found.networks["1"].top1.n) == (100.0, 6)
    assert (found.classes, found.shown) == (5, 2)


@pytest.mark.parametrize("within", ["sketch", "imagenet-sketch", "ImageNet-Sketch/sketch"])
def test_sketch_is_found_with_or_without_its_inner_folder(within: str, tmp_path: Path) -> None:
    pictures(tmp_path / within, {wnids()[label]: [label] for label in (3, 5)}, names="sketch_{}.JPEG")
    found = judged("imagenet-sketch", tmp_path, [5, 3, 8])
    assert (found.networks["1"].top1.value, found.networks["1"].top1.n) == (100.0, 2)


class Tempted(Reader):
    """Would rather say the classes at `favoured` than any other."""

    def __init__(self, labels: Sequence[int], favoured: Sequence[int]) -> None:
        super().__init__(labels)
        self.bonus = nn.Parameter(torch.tensor([1e4 if label in favoured else 0.0 for label in labels]))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return super().forward(x_NCHW) + self.bonus


@pytest.mark.parametrize("which", ["a", "r"])
def test_a_and_r_compare_the_logits_of_their_200_classes_alone(which: str, tmp_path: Path) -> None:
    own = sorted(group(which))[:4]  # type: ignore[arg-type]
    others = [label for label in range(1000) if label not in group(which)][:5]  # type: ignore[arg-type]
    pictures(tmp_path / f"imagenet-{which}", {wnids()[label]: [label] * 2 for label in own}, names="0.1_a {}.jpg")
    labels = [*others, *reversed(own)]
    found = judged(f"imagenet-{which}", tmp_path, labels, network=Tempted(labels, others))
    assert (found.networks["1"].top1.value, found.networks["1"].top1.n) == (100.0, 8)
    assert (found.classes, found.whole, found.shown) == (4, 200, 4)


def test_clean_accuracy_is_of_the_same_classes_and_logits(tmp_path: Path) -> None:
    labels = [*NOT_A, *A]
    pictures(tmp_path / "imagenet-a", {wnids()[label]: [label, A[0]] for label in A})
    pictures(
        tmp_path / "imagenet" / "val", {wnids()[label]: [label] * 3 for label in labels}, names="ILSVRC2012_val_{}.JPEG"
    )
    found = judged("imagenet-a", tmp_path, labels, network=Tempted(labels, NOT_A))
    one = found.networks["1"]
    assert one.clean is not None
    assert one.gap is not None
    assert (one.top1.value, one.top1.n) == (62.5, 8)
    assert (one.clean.value, one.clean.n) == (100.0, 12)
    assert one.gap.value == 37.5
    assert one.gap.standard_error == pytest.approx(100 * (0.625 * 0.375 / 8) ** 0.5)
    assert found.clean == "from ImageNet's validation images"


def test_without_validation_images_the_runs_own_test_images_are_clean_and_that_is_said(tmp_path: Path) -> None:
    pictures(tmp_path / "imagenet-a", {wnids()[label]: [label] for label in A})
    found = judged("imagenet-a", tmp_path, [*NOT_A, *A])
    assert found.networks["1"].clean is not None
    assert found.networks["1"].clean.n == 3 * len(A)
    assert "the run's own test images" in found.clean
    said = suite(config("imagenet-a", tmp_path), "imagenet-a").section(found)
    assert "the run's own test images" in said.tables[0].note
    assert [column for column in said.tables[0].columns if "Clean" in column]


def test_pictures_are_normalised_as_the_networks_were_trained(tmp_path: Path) -> None:
    """Published GeNAS weights want plain [0, 1]; others their own mean and deviation."""
    v2(tmp_path)
    labels = [0, 1, 2, 10, 17]
    seen: list[torch.Tensor] = []

    class Watching(Reader):
        def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
            seen.append(x_NCHW.clone())
            return super().forward(x_NCHW)

    for mean, std in ((0.0, 1.0), (0.25, 0.5)):
        seen.clear()
        data = normalised_as(imagenet_data(labels), mean, std)
        asked = config("imagenet-v2", tmp_path)
        suite(asked, "imagenet-v2").run({"1": Watching(labels)}, context_of(data, root=tmp_path))
        assert float(torch.cat(seen).amin()) == pytest.approx((6 / 255 - mean) / std, abs=1e-6)


def test_at_most_so_many_images_are_taken_from_all_classes_in_turn(tmp_path: Path) -> None:
    v2(tmp_path)
    found = judged("imagenet-v2", tmp_path, [0, 1, 2, 10, 17], images=5)
    assert (found.networks["1"].top1.value, found.networks["1"].top1.n, found.shown) == (100.0, 5, 5)


def test_a_stopped_suite_goes_on_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "PART", 4)
    v2(tmp_path)
    labels = [0, 1, 2, 10, 17]
    data, asked = imagenet_data(labels), config("imagenet-v2", tmp_path)
    parts = Parts()
    whole = suite(asked, "imagenet-v2").run({"1": Reader(labels)}, context_of(data, parts, tmp_path))
    assert parts.asked == [f"shifted-{place}" for place in range(4)]
    resumed = Parts(kept={name: parts.kept[name] for name in parts.asked[:2]})
    again = suite(asked, "imagenet-v2").run({"1": Reader(labels)}, context_of(data, resumed, tmp_path))
    assert resumed.computed == parts.asked[2:]
    assert again == whole


def test_other_pictures_have_another_digest(tmp_path: Path) -> None:
    v2(tmp_path)
    labels = [0, 1, 2, 10, 17]
    asked = config("imagenet-v2", tmp_path)
    of = suite(asked, "imagenet-v2")
    before = of.outside(asked, imagenet_data(labels))
    assert before == of.outside(asked, imagenet_data(labels))
    pictures(tmp_path / "imagenetv2-matched-frequency-format-val", {"3": [3]})
    assert of.outside(asked, imagenet_data(labels)) != before


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["cat", "T-shirt"], ["ImageNet-V2", "'cat' is not ImageNet's", "by wnid"]),
        ([wnids()[500], wnids()[501]], ["none of the pictures", "is of the networks' 2 classes"]),
        ([wnids()[0], "goldfish"], ["'goldfish' is not ImageNet's"]),
    ],
)
def test_networks_of_other_classes_are_refused_in_one_sentence(
    classes: list[str], words: list[str], tmp_path: Path
) -> None:
    v2(tmp_path)
    asked = config("imagenet-v2", tmp_path)
    with pytest.raises(DataError) as error:
        suite(asked, "imagenet-v2").require(asked, data_of(classes, [0, 1]))
    assert all(word in str(error.value) for word in words), error.value


def test_a_needs_two_of_its_classes(tmp_path: Path) -> None:
    pictures(tmp_path / "imagenet-a", {wnids()[label]: [label] for label in A})
    asked = config("imagenet-a", tmp_path)
    with pytest.raises(DataError, match="judged among its 200 classes, but the networks know only 1 of these"):
        suite(asked, "imagenet-a").require(asked, imagenet_data([*NOT_A, A[0]]))


def test_a_root_without_the_set_or_no_root_is_refused(tmp_path: Path) -> None:
    data = imagenet_data([0, 1])
    asked = config("imagenet-v2", None)
    with pytest.raises(ConfigError, match="give --data-root DIR, the folder that holds imagenetv2-matched-frequency"):
        suite(asked, "imagenet-v2").require(asked, data)
    asked = config("imagenet-v2", tmp_path)
    with pytest.raises(DataError, match="but there is nothing at all"):
        suite(asked, "imagenet-v2").require(asked, data)
