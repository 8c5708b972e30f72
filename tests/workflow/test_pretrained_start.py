"""Runs that begin with learned weights: what is said, what is inherited, what is refused before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lowland.core.errors import InterruptedRun
from lowland.core.monitor import Monitor
from lowland.spaces.mobilenetv3.checkpoint import load_ofa
from lowland.store.artifacts import INITIAL, TRAINED
from lowland.store.run import Run
from lowland.training import supernet as supernet_training
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble
from published_weights import once_for_all
from whole_runs import TINY, Command

SHORT = {"epochs": 1, "min_steps": 0, "learning_rate": 1e-9, "final_learning_rate": 0.0}
"""A training that leaves weights as they are."""

ELASTIC: dict[str, Any] = TINY | {
    "space": "mobilenetv3",
    "data": {"name": "digits", "limit": 40},
    "supernet": {"channels": 16, "cells": 1, "batch_size": 8, "path": "shared"} | SHORT,
    "network": {},
    "retrain": SHORT,
    "evaluate": {"suites": ["classification"]},
    "measure": {"calibration_images": 16, "images": 8},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "ofa_mbv3"
    # Small weights, so that no loss of 28 random layers overflows.
    state = {name: value if "norm" in name or "bn" in name else value / 20 for name, value in once_for_all().items()}
    torch.save({"state_dict": state}, path)
    return path


def begun(weights: Path, **sections: Any) -> dict[str, Any]:
    found = {**ELASTIC, **sections}
    return found | {"supernet": found["supernet"] | {"pretrained": str(weights)}}


def test_the_opening_lines_say_what_is_used_and_what_is_new(weights: Path) -> None:
    (_, said, planned), _ = pipeline.preview(assemble(begun(weights)))
    assert said == (
        "begins with ofa_mbv3: 409 of 411 tensors used; the classifier is new, for 10 classes in place of 1,000; the "
        "first convolution is summed over colours, for grey images; images of 8 pixels keep their resolution in the "
        "first layer, which halved it when these weights were learned (supernet.stem); the delivered network begins "
        "with what the supernet makes of them"
    )
    assert planned.startswith("steps: ")
    (_, said, _), _ = pipeline.preview(assemble(begun(weights), {"retrain": {"inherit": False}}))
    assert said.endswith("the delivered network begins from scratch (retrain.inherit=false)")


def test_the_delivered_network_inherits_where_nothing_else_is_asked_for(weights: Path) -> None:
    config = assemble(begun(weights))
    assert config.retrain.inherit
    assert (config.network.channels, config.search.finalists) == (config.supernet.channels, 0)
    assert not assemble(begun(weights), {"retrain": {"inherit": False}}).retrain.inherit
    assert not assemble(ELASTIC).retrain.inherit


@pytest.mark.parametrize(
    ("extra", "match"),
    [
        (("--space", "nasbench201"), "only the space mobilenetv3"),
        (("--space", "mobilenetv3-small"), "only the space mobilenetv3"),
        (("--space", "mobilenetv3", "--searcher", "random-designs"), "searcher=random-designs trains none"),
        (("--space", "mobilenetv3", "--set", "supernet.channels=8"), "of width 1: set supernet.channels=16"),
        (("--space", "mobilenetv3", "--pretrained", "timm:mobilenetv3_large_100"), "timm has no weights of a supernet"),
        (("--space", "mobilenetv3", "--pretrained", "nowhere.pth"), "nowhere.pth, which does not exist"),
    ],
)
def test_what_is_refused(extra: tuple[str, ...], match: str, weights: Path, tmp_path: Path, lowland: Command) -> None:
    asked = () if "--pretrained" in extra else ("--pretrained", str(weights))
    fault = lowland("run", "--data", "digits", *asked, *extra, "--out", str(tmp_path / "run")).fault
    assert match in fault
    assert list(tmp_path.iterdir()) == []


class Stop(Monitor):
    """Asks for a stop at the first step of the supernet's training."""

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        self.stopping = True


@pytest.mark.slow
def test_a_run_goes_on_and_is_read_without_the_file(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "weights.pth"
    own.write_bytes(weights.read_bytes())
    config = assemble(begun(Path("weights.pth")))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InterruptedRun):
        pipeline.run(config, tmp_path / "run", monitor=Stop(), last="supernet")
    monkeypatch.chdir("/")
    with Run.open(tmp_path / "run", read_only=True) as run:
        assert run.config.supernet.pretrained == own  # absolute, so that any folder will do
        initial = run.load_tensors(INITIAL)[0]
        filled = supernet_training.initial(run.config, pipeline.check(run.config))
    own.unlink()
    assert all(torch.equal(initial[name], value) for name, value in filled.state_dict().items())
    pipeline.resume(tmp_path / "run", last="supernet")
    with Run.open(tmp_path / "run", read_only=True) as run:
        trained = run.load_tensors(TRAINED)[0]
    for name in ("stem.0.weight", "cells.3.edges.expand.0.weight", "head.4.weight"):
        torch.testing.assert_close(trained[name], initial[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_delivered_network_begins_with_the_weights_of_the_file(weights: Path, tmp_path: Path) -> None:
    result = pipeline.run(assemble(begun(weights)), tmp_path / "run", last="train")
    network = result.load().body
    supernet = supernet_training.built(assemble(ELASTIC), pipeline.check(assemble(ELASTIC)))
    load_ofa(supernet, weights)
    for name in ("stem.0.weight", "first.depthwise.0.weight", "head.0.weight", "head.4.weight"):
        torch.testing.assert_close(network.state_dict()[name], supernet.state_dict()[name], rtol=1e-3, atol=1e-5)
