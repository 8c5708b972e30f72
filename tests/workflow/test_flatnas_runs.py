"""FlatNAS as whole runs: an elastic space, fine-tuned candidates, a Pareto front, and nothing chosen on test images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lowland
from lowland.core.errors import BudgetError, ConfigError
from lowland.store.run import Run
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble
from whole_runs import evolution, judged

SMALL: dict[str, Any] = {
    "seed": 1,
    "preset": "flatnas",
    "measure": {"images": 40, "calibration_images": 32, "options": {"robustness": {"draws": 2}}},
    "finetune": {"batch_size": 32},
    "search": {
        "options": {
            "pareto": {
                "initial": 6,
                "iterations": 1,
                "proposals": 2,
                "inner_population": 8,
                "inner_generations": 2,
            }
        },
        "workers": 1,
    },
    "retrain": {"epochs": 1},
    "evaluate": {
        "options": {
            "corruptions": {"names": ["contrast"], "severities": [1, 5], "images": 40},
            "landscape": {"random_genotypes": 1, "sigmas": [0.0, 0.01], "draws": 1, "images": 40},
        },
    },
    "compute": {"threads": 1},
}
CELLS: dict[str, Any] = {
    "space": "nasbench201",
    "supernet": {"channels": 4, "cells": 1, "epochs": 1},
    "network": {"channels": 4, "cells": 1},
}
ELASTIC: dict[str, Any] = {"supernet": {"channels": 8, "epochs": 1}, "network": {"channels": 8}}


def images(path: Path, test_seed: int, size: int = 8) -> Path:
    """160 training and 40 test images of two classes that differ in brightness; the test images depend on the seed.

    A fifth of the labels are wrong, so that no candidate is without error, of which F_α cannot be made.
    """
    arrays: dict[str, np.ndarray] = {}
    for split, count, seed in (("train", 160, 0), ("test", 40, test_seed)):
        rng = np.random.default_rng(seed)
        labels = rng.integers(2, size=count)
        noise = rng.integers(100, size=(count, size, size, 3))
        bright = np.where(rng.random(count) < 0.2, 1 - labels, labels)
        arrays |= {f"x_{split}": (noise + 100 * bright[:, None, None, None]).astype(np.uint8), f"y_{split}": labels}
    np.savez(path, **arrays)
    return path


def run(out: Path, data: Path, *layers: dict[str, Any], last: str = "report") -> Run:
    pipeline.run(assemble(SMALL, {"data": {"name": str(data)}}, *layers), out, last=last)
    return Run.open(out, read_only=True)


def test_the_preset_delivers_the_knee_of_a_front_within_the_limit(tmp_path: Path) -> None:
    data = images(tmp_path / "data.npz", 1, size=16)
    with run(tmp_path / "run", data, ELASTIC, {"search": {"max_params": 80_000}}) as opened:
        assert opened.config.space == "mobilenetv3-small"
        found = opened.read_json("search.json")
        evaluation = judged(opened.path)
    pareto = found["pareto"]
    knee = pareto["candidates"][pareto["pick"]]
    assert found["ranking"][0]["genes"] == knee["genes"]
    assert pareto["pick"] in pareto["front"]
    assert all(row["feasible"] and row["objectives"][1] <= 80_000 for row in pareto["candidates"])
    for row in found["ranking"]:
        parts = row["details"]
        error, r = 100 * (1 - parts["accuracy"]["value"]), -parts["robustness"]["value"]
        scored = next(each for each in pareto["candidates"] if each["genes"] == row["genes"])
        assert scored["objectives"][0] == pytest.approx(0.5 * error + pareto["k"] * 0.5 * r)
    assert evaluation["shift"]["mean_corruption_error"] >= 0
    network = lowland.load(tmp_path / "run")
    assert sum(p.numel() for p in network.body.parameters()) == found["ranking"][0]["parameters"]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Hypervolume" in page or "hypervolume" in page


def test_fault_2_test_images_decide_nothing(tmp_path: Path) -> None:
    found, weights = [], []
    for seed in (1, 2):
        data = images(tmp_path / f"data-{seed}.npz", seed)
        with run(tmp_path / f"run-{seed}", data, CELLS, last="train") as opened:
            found.append(opened.read_json("search.json"))
            weights.append(opened.load_tensors("network/network.safetensors")[0])
    assert found[0]["ranking"] == found[1]["ranking"]
    assert found[0]["pareto"] == found[1]["pareto"]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_robustness_is_a_measure_of_evolution_and_fine_tuning_goes_with_every_strategy(tmp_path: Path) -> None:
    data = images(tmp_path / "data.npz", 1)
    few = evolution(population=3, generations=2, parents=2, mutations=1, crossovers=1)
    layers = ({"search": {"strategy": "evolution"} | few, "measure": {"name": "flatnas(k=3)+flatness"}}, CELLS)
    with run(tmp_path / "run", data, *layers, last="search") as opened:
        ranking = opened.read_json("search.json")["ranking"]
    assert [row["value"] for row in ranking] == sorted((row["value"] for row in ranking), reverse=True)
    assert all(row["details"]["flatnas(k=3)"]["k"] == 3 for row in ranking)


def objectives(*labels: str) -> dict[str, Any]:
    """A section `search` that trades them off."""
    return {"options": {"pareto": {"objectives": list(labels)}}}


@pytest.mark.parametrize(
    ("layer", "error", "said"),
    [
        ({"search": {"max_params": 10}}, BudgetError, "no network of mobilenetv3-small has at most 10 parameters"),
        ({"search": objectives("flatnas(alpha=1.5)", "params")}, ConfigError, "less than or equal to 1"),
        ({"search": objectives("error")}, ConfigError, "two"),
        ({"search": {"strategy": "evolution"}, "measure": {"name": "angle"}}, ConfigError, "fine-tuned"),
        ({"network": {"channels": 12}}, ConfigError, "inherit"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    tmp_path: Path, layer: dict[str, Any], error: type[Exception], said: str
) -> None:
    data = images(tmp_path / "data.npz", 1, size=16)
    with pytest.raises(error, match=said) as caught:
        run(tmp_path / "run", data, ELASTIC, layer)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
