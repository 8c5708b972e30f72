"""The angle against an explicitly concatenated architecture vector."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.core.errors import RunError
from lowland.core.genotype import Genotype
from lowland.measures import Score
from lowland.spaces import is_searched
from lowland.testing.tiny import Case, case, measure_config


@pytest.fixture(scope="module", params=["tiny", "nasbench201", "darts"])
def trained(request: pytest.FixtureRequest) -> Case:
    return case(request.param, torch.float32, steps=10)


def angle(case: Case, genotype: Genotype, **options: object) -> Score:
    return measures.get(measure_config("angle", **options)).score(case.supernet, genotype, case.context)


def concatenated(case: Case, genotype: Genotype, kind: str, bn_scale: str) -> float:
    """arccos of the cosine of the two vectors, written out entry by entry (√times scales a repeated part)."""
    before, after = [], []
    for term in case.space.angle_terms(case.supernet, genotype, bn_scale=bn_scale):
        if term.name is None:
            constant = [math.sqrt(term.square * term.times)]
            before.append(np.array(constant))
            after.append(np.array(constant))
        elif kind != "cells" or is_searched(term.name):
            scale = math.sqrt(term.times)
            before.append(scale * case.context.initial[term.name].double().numpy().ravel())
            after.append(scale * case.supernet.get_parameter(term.name).detach().double().numpy().ravel())
    v0, v1 = np.concatenate(before), np.concatenate(after)
    return math.acos(min(1.0, v0 @ v1 / np.linalg.norm(v0) / np.linalg.norm(v1)))


@pytest.mark.parametrize("kind", ["cells+fixed", "cells"])
@pytest.mark.parametrize("bn_scale", ["once", "twice"])
def test_equals_the_concatenated_vectors(trained: Case, kind: str, bn_scale: str):
    for genotype in trained.genotypes:
        found = angle(trained, genotype, vector=kind, bn_scale=bn_scale)
        assert found.value == pytest.approx(concatenated(trained, genotype, kind, bn_scale), abs=1e-7)
        assert 0 <= found.value < math.pi
        assert found.standard_error is None
        json.dumps(found.details, allow_nan=False)


def test_untrained_and_reversed_weights(trained: Case):
    genotype = trained.genotypes[0]
    untrained = copy.deepcopy(trained.supernet)
    untrained.load_state_dict(dict(trained.context.initial))
    measure = measures.get(MeasureConfig(name="angle"))
    assert measure.score(untrained, genotype, trained.context).value == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        for p in untrained.parameters():
            p.neg_()
    only_weights = all(term.name for term in trained.space.angle_terms(untrained, genotype))
    reversed_angle = measure.score(untrained, genotype, trained.context).value
    assert reversed_angle == pytest.approx(math.pi, abs=1e-6) if only_weights else reversed_angle > 1


def test_no_route_no_angle():
    trained = case(steps=2)
    assert angle(trained, Genotype("tiny", (0, 0))).value == 0.0


def test_no_live_route_of_nasbench201():
    trained = case("nasbench201", torch.float32, steps=2)
    assert angle(trained, Genotype("nasbench201", (0,) * 6)).value == 0.0


def test_table_follows_the_weights():
    """The products are tabulated; training on, or other initial weights, must not find the old ones."""
    trained = case(steps=5)
    genotype, measure = trained.genotypes[0], measures.get(MeasureConfig(name="angle"))
    first = measure.score(trained.supernet, genotype, trained.context).value
    assert measure.score(trained.supernet, genotype, trained.context).value == first
    with torch.no_grad():
        trained.supernet.head.weight.add_(1.0)
    second = measure.score(trained.supernet, genotype, trained.context).value
    assert second == pytest.approx(concatenated(trained, genotype, "cells+fixed", "once"))
    assert second != first
    with torch.no_grad():
        trained.supernet.head.weight.data = trained.supernet.head.weight.data - 1.0
    assert measure.score(trained.supernet, genotype, trained.context).value == pytest.approx(first)
    now = {name: value.clone() for name, value in trained.supernet.state_dict().items()}
    moved = measure.score(trained.supernet, genotype, replace(trained.context, initial=now))
    assert moved.value == pytest.approx(0.0, abs=1e-6)


def test_foreign_initial_weights_are_refused():
    trained = case(steps=2)
    measure = measures.get(MeasureConfig(name="angle"))
    partial = {name: value for name, value in trained.context.initial.items() if name != "head.weight"}
    with pytest.raises(RunError, match=r"initial weights do not fit the supernet: head\.weight"):
        measure.score(trained.supernet, trained.genotypes[0], replace(trained.context, initial=partial))
