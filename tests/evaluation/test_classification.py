"""Classification figures against naive oracles."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lowland.core.device import Compute
from lowland.core.errors import DataError, LowlandError
from lowland.data import MemorySplit
from lowland.evaluation.classification import ClassificationSuite, classification, predict
from lowland.evaluation.recall import recall_tables
from lowland.evaluation.results import Classification, ClassificationResults

CPU = Compute(device=torch.device("cpu"), channels_last=False)


def naive(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The same figures, image by image, in plain Python."""
    first = five = nll = 0.0
    bins: list[list[tuple[float, float]]] = [[] for _ in range(15)]
    for row, label in zip(logits.astype(float), labels, strict=True):
        order = sorted(range(len(row)), key=lambda k: (-row[k], k))
        first += order[0] == label
        five += label in order[:5]
        exps = [math.exp(value - max(row)) for value in row]
        nll -= math.log(exps[label] / sum(exps))
        confidence = max(exps) / sum(exps)
        place = next(b for b in range(15) if b / 15 < confidence <= (b + 1) / 15 + 1e-12)
        bins[place].append((confidence, float(order[0] == label)))
    n = len(labels)
    ece = sum(
        len(held) / n * abs(sum(hit for _, hit in held) / len(held) - sum(sure for sure, _ in held) / len(held))
        for held in bins
        if held
    )
    return {"top1": 100 * first / n, "top5": 100 * five / n, "nll": nll / n, "ece": 100 * ece}


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(6, 12), st.floats(0.1, 8), st.integers(0, 2**31))
def test_figures_equal_a_naive_count(n: int, classes: int, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = (scale * rng.normal(size=(n, classes))).astype(np.float32)
    labels = rng.integers(classes, size=n)
    found = classification(torch.from_numpy(logits), torch.from_numpy(labels))
    expected = naive(logits, labels)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name
    p = expected["top1"] / 100
    assert found["top1_standard_error"] == pytest.approx(100 * math.sqrt(p * (1 - p) / n))
    assert found["n"] == n


def test_standard_errors_match_repeated_draws() -> None:
    """Over many test sets of 400 images the spread of each figure is what its standard error claims."""
    rng = np.random.default_rng(0)
    results = []
    for _ in range(300):
        labels = rng.integers(10, size=400)
        logits = rng.normal(size=(400, 10)) + 2.0 * np.eye(10)[labels]
        logits *= 12.0  # far more confident than right, so that no bin is near its ideal
        results.append(classification(torch.tensor(logits, dtype=torch.float32), torch.from_numpy(labels)))
    for name in ("top1", "top5", "nll", "ece"):
        spread = np.std([result[name] for result in results], ddof=1)
        claimed = np.mean([result[f"{name}_standard_error"] for result in results])
        assert claimed == pytest.approx(spread, rel=0.2), name


def test_ties_go_to_the_lower_class() -> None:
    result = classification(torch.zeros(10, 10), torch.arange(10))
    assert (result["top1"], result["top5"]) == (10.0, 50.0)
    assert result["nll"] == pytest.approx(math.log(10))


def test_top5_is_not_defined_for_few_classes_nor_errors_for_one_image() -> None:
    result = classification(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([0]))
    assert result["top5"] is None
    assert result["top5_standard_error"] is None
    assert result["top1_standard_error"] is None
    assert result["nll_standard_error"] is None


def test_calibration_of_extremes() -> None:
    sure = torch.eye(7)[torch.arange(7)] * 1000
    assert classification(sure, torch.arange(7))["ece"] == pytest.approx(0.0, abs=1e-9)
    assert classification(sure, (torch.arange(7) + 1) % 7)["ece"] == pytest.approx(100.0)


class Net(nn.Module):
    """Linear on pixels, with a dropout that must be off and a batch norm that must not learn."""

    def __init__(self, classes: int = 7) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(64, classes)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.drop(self.norm(x_NCHW)).flatten(1))
        return logits


@pytest.fixture
def split() -> MemorySplit:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (23, 1, 8, 8), dtype=torch.uint8, generator=generator)
    return MemorySplit(images, torch.randint(0, 7, (23,), generator=generator))


def scaled(x: torch.Tensor) -> torch.Tensor:
    return x.float() / 255 - 0.5


@pytest.mark.parametrize("batch_size", [1, 5, 23, 100])
def test_predict_is_the_plain_forward_pass_whatever_the_batch(split: MemorySplit, batch_size: int) -> None:
    torch.manual_seed(0)
    model = Net().train()
    model.drop.eval()  # a mode of its own, to be kept
    before = {name: value.clone() for name, value in model.state_dict().items()}
    logits, labels = predict(model, split, scaled, CPU, batch_size)
    assert model.training
    assert model.norm.training
    assert not model.drop.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with torch.no_grad():
        expected = model.eval()(scaled(split.images(torch.arange(23))))
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(labels, split.labels_N)
    assert logits.dtype == torch.float32


def test_reduced_precision_is_delivered_as_float32(split: MemorySplit) -> None:
    compute = Compute(device=torch.device("cpu"), autocast_dtype=torch.bfloat16)
    logits, _ = predict(Net(), split, scaled, compute, 10)
    assert logits.dtype == torch.float32


def test_outputs_that_are_not_numbers_are_an_error_and_modes_come_back(split: MemorySplit) -> None:
    model = Net().train()
    nn.init.constant_(model.head.bias, float("nan"))
    with pytest.raises(LowlandError, match=r"NaN or infinite for 10 of 10 images.*retrain\.learning_rate"):
        predict(model, split, scaled, CPU, 10)
    assert model.training


def test_an_empty_split_is_an_error() -> None:
    empty = MemorySplit(torch.zeros(0, 1, 8, 8, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(DataError, match="no test images"):
        predict(Net(), empty, scaled, CPU, 10)
    with pytest.raises(DataError, match="at least one image"):
        classification(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))


def test_recall_and_balanced_accuracy_by_hand() -> None:
    """Class 0 right three times of four, class 1 once of one, class 2 has no image."""
    labels = torch.tensor([0, 0, 0, 0, 1])
    named = torch.tensor([0, 0, 0, 1, 1])
    found = classification(nn.functional.one_hot(named, 3).float(), labels)
    assert [each["value"] for each in found["recall"]] == [75.0, 100.0, None]
    assert [each["n"] for each in found["recall"]] == [4, 1, 0]
    assert found["recall"][0]["standard_error"] == pytest.approx(100 * math.sqrt(0.75 * 0.25 / 4))
    assert (found["balanced"], found["balanced_standard_error"]) == (87.5, None)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 200), st.integers(2, 8), st.integers(0, 2**31))
def test_balanced_accuracy_is_that_of_scikit_learn(n: int, classes: int, seed: int) -> None:
    from sklearn.metrics import balanced_accuracy_score

    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(n, classes)).astype(np.float32), rng.integers(classes, size=n) ** 2 % classes
    found = classification(torch.from_numpy(logits), torch.from_numpy(labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are named but not there
        expected = balanced_accuracy_score(labels, logits.argmax(1))
    assert found["balanced"] == pytest.approx(100 * expected)


def test_the_standard_error_of_balanced_accuracy_is_its_spread() -> None:
    rng = np.random.default_rng(0)
    recall, sizes = np.array([0.9, 0.5, 0.2]), np.array([300, 60, 20])
    labels = torch.from_numpy(np.repeat(np.arange(3), sizes))
    found = []
    for _ in range(400):
        right = rng.random(len(labels)) < recall[labels]
        named = torch.from_numpy(np.where(right, labels, (labels + 1) % 3))
        found.append(classification(nn.functional.one_hot(named, 3).float(), labels))
    spread = np.std([each["balanced"] for each in found])
    assert np.mean([each["balanced_standard_error"] for each in found]) == pytest.approx(spread, rel=0.15)


def results_of(*sizes: int) -> ClassificationResults:
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    found = Classification.from_json(classification(nn.functional.one_hot(labels, len(sizes)).float(), labels))
    return ClassificationResults({"1": found}, classes=tuple(f"class {place}" for place in range(len(sizes))))


def test_unequal_classes_are_told_of_and_equal_ones_not() -> None:
    suite = ClassificationSuite(ClassificationSuite.Config())
    equal, unequal = results_of(10, 10, 12), results_of(10, 40, 12)
    assert [figure.label for figure in suite.figures(equal)["1"]] == ["test top-1"]
    assert len(suite.section(equal).tables) == 1
    assert [figure.label for figure in suite.figures(unequal)["1"]] == ["test top-1", "balanced"]
    recall = suite.section(unequal).tables[1]
    assert [name for name, _ in recall.rows] == ["balanced accuracy", "class 0", "class 1", "class 2"]
    assert [cells[0] for _, cells in recall.rows] == [None, "10", "40", "12"]
    assert ClassificationResults.from_json(unequal.to_json()) == unequal


def test_results_that_were_kept_before_recall_are_read() -> None:
    values = results_of(10, 40).to_json()
    del values["classes"]
    for name in ("balanced", "balanced_standard_error", "recall"):
        del values["networks"]["1"][name]
    found = ClassificationResults.from_json(values)
    assert (found.networks["1"].recall, found.networks["1"].unequal) == ((), False)


def test_of_many_classes_the_worst_are_shown() -> None:
    sizes = [10 + place % 37 for place in range(100)]
    (table,) = recall_tables(results_of(*sizes))
    assert len(table.rows) == 41
    assert "The 40 classes of the lowest recall, of 100." in table.note
