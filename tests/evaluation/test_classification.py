"""Classification figures against naive oracles."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lowland.core.device import Compute
from lowland.core.errors import DataError, LowlandError
from lowland.data import MemorySplit
from lowland.evaluation.classification import classification, predict

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
