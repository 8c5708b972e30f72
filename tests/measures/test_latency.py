"""Latency: an ordering that must come out, and the promises of every measure that do not ask for repeatable values."""

from __future__ import annotations

import json
from itertools import count

import pytest
import torch
from torch import nn

from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.core.genotype import Genotype
from lowland.measures import Score
from lowland.measures.untrained import latency as module
from lowland.testing.tiny import TinyNetwork, case


@pytest.fixture(scope="module")
def shared():
    return case("tiny", torch.float32)


def score(shared, genotype=None) -> Score:
    measure = measures.get(MeasureConfig(name="latency"))
    return measure.score(shared.supernet, genotype or shared.genotypes[0], shared.context)


def test_is_minus_the_median_of_counted_runs_in_milliseconds(shared, monkeypatch):
    """Runs of 1, 2, 3, … ms by a clock of our own; the first are not counted."""
    durations = count(1)
    moments = iter(each for n in durations for each in (1000.0 * n, 1000.0 * n + 1e-3 * n))
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(moments))
    found = score(shared)
    counted = range(module.WARM_UP + 1, module.WARM_UP + module.RUNS + 1)
    assert found.value == pytest.approx(-(module.WARM_UP + (1 + module.RUNS) / 2))
    assert found.details["fastest"] == pytest.approx(counted[0])
    lower, upper = found.details["quartiles"]
    assert (upper - lower) == pytest.approx((module.RUNS - 1) / 2)
    assert found.standard_error == pytest.approx(1.2533 * (upper - lower) / 1.349 / module.RUNS**0.5)


def test_runs_one_image_of_the_supernet_s_size_in_evaluation_mode(shared, monkeypatch):
    seen = []

    def forward(self, x_NCHW):
        seen.append((tuple(x_NCHW.shape), self.training, torch.is_grad_enabled()))
        return x_NCHW

    monkeypatch.setattr(TinyNetwork, "forward", forward)
    score(shared)
    shape = shared.supernet.shape
    assert seen == [((1, shape.in_channels, shape.image_size, shape.image_size), False, False)] * (
        module.RUNS + module.WARM_UP
    )


def test_more_work_takes_longer(shared, monkeypatch):
    class Heavy(nn.Module):
        def __init__(self, repeats):
            super().__init__()
            self.repeats, self.weight = repeats, nn.Parameter(torch.ones(100, 100))

        def forward(self, x_NCHW):
            for _ in range(self.repeats):
                x_NCHW = self.weight @ self.weight
            return x_NCHW

    monkeypatch.setattr(type(shared.context.space), "network", lambda self, g, shape: Heavy(4 ** g.genes[0]))
    slow, fast = (score(shared, Genotype("tiny", (repeats, 0))).value for repeats in (3, 0))
    assert slow < 4 * fast < 0


def test_leaves_random_state_and_supernet_alone_and_notes_json(shared):
    before = {name: value.clone() for name, value in shared.supernet.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    found = score(shared)
    assert torch.equal(torch.rand(4), expected)
    assert all(torch.equal(value, before[name]) for name, value in shared.supernet.state_dict().items())
    assert json.loads(json.dumps(found.details)) == found.details
    assert found.value < 0 <= found.standard_error
    assert torch.is_grad_enabled()


def test_parts_of_a_sum_keep_it(shared):
    found = measures.get(MeasureConfig(name="accuracy+latency")).score(
        shared.supernet, shared.genotypes[0], shared.context
    )
    assert found.details["latency"]["value"] < 0
