"""Whole runs, end to end: what they leave behind, what comes back from disk, and how stages are done again."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lowland
from lowland import data, measures, spaces
from lowland.core.device import resolve
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.evaluation.classification import classification, predict
from lowland.report.gather import gather
from lowland.store.manifest import STAGES
from lowland.store.run import Run
from lowland.workflow import pipeline, reporting
from lowland.workflow.network_size import network_shape
from lowland.workflow.presets import assemble
from whole_runs import DARTS, TINY, content, copied, evolution, judged, lasting, made, results


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def held_out_images(run: Path) -> tuple[torch.Tensor, torch.Tensor]:
    with Run.open(run, read_only=True) as opened:
        split = data.load(opened.config.data, seed=opened.config.seed).test
    return split.images(torch.arange(len(split))), split.labels_N


@pytest.mark.parametrize("space", ["nasbench201", "darts"])
def test_a_run_delivers_table_report_and_network(space: str, request: pytest.FixtureRequest) -> None:
    run: Path = request.getfixturevalue("pristine" if space == "nasbench201" else "pristine_darts")
    with Run.open(run, read_only=True) as opened:
        assert opened.verify() == []
        outcome = pipeline.run_result(opened)
        config = opened.config
    assert outcome.stages == STAGES
    assert outcome.report is not None
    page = outcome.report.read_text()
    (row,) = outcome.networks
    found = judged(run)
    figures = {figure.label: figure for figure in row["figures"]}
    assert (figures["test top-1"].value, figures["corrupted"].value) == (found["test"]["top1"], found["shift"]["mean"])
    # Digits are easy: a network that learned anything is far above one in ten, so nothing is mixed up on the way.
    assert found["test"]["top1"] > 25
    assert f"{found['test']['top1']:.1f}" in page
    assert {curve["kind"] for curve in results(run, "landscape")["curves"]} == {"winner", "random", "retrained"}

    network = lowland.load(run)
    assert network.genotype == spaces.get(space).parse(row["genotype"])
    # The cost told is the weights delivered, batch-norm statistics apart.
    assert sum(p.numel() for p in network.parameters()) == row["parameters"]
    assert network.shape.channels == config.network.channels
    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize("space", ["nasbench201", "darts"])
def test_a_loaded_network_is_the_one_that_was_judged(space: str, request: pytest.FixtureRequest) -> None:
    run: Path = request.getfixturevalue("pristine" if space == "nasbench201" else "pristine_darts")
    network = lowland.load(run)
    x_NCHW, labels_N = held_out_images(run)
    with torch.inference_mode():
        logits_NK = network(x_NCHW)
    assert classification(logits_NK, labels_N) == judged(run)["test"]
    with Run.open(run, read_only=True) as opened:
        compute = resolve(opened.config.compute.model_copy(update={"precision": "fp32", "channels_last": False}))
        split = data.load(opened.config.data, seed=opened.config.seed)
    body = compute.prepare(lowland.load(run / "network").body)
    judged_NK, _ = predict(body, split.test, split.normalise, compute, 500)
    assert torch.equal(logits_NK, judged_NK)


def test_a_loaded_network_takes_pictures_of_any_size_and_mode(pristine: Path) -> None:
    network = lowland.load(pristine)
    noise = np.random.default_rng(0).integers(0, 256, (30, 21, 4), dtype=np.uint8)
    picture = Image.fromarray(noise, "RGBA")
    pictures = [picture.convert(mode) for mode in ("RGBA", "RGB", "L", "LA", "P", "CMYK", "1", "I;16")]
    x_NCHW = network.preprocess([*pictures, noise[:8, :8, :3], noise[..., 0]])
    assert x_NCHW.shape == (10, 1, 8, 8)
    assert x_NCHW.dtype == torch.float32
    found = network.predict(pictures)
    assert len(found) == len(pictures)
    probability_NK = network(network.preprocess(pictures)).softmax(1)
    for (name, probability), row in zip(found, probability_NK, strict=True):
        assert probability == pytest.approx(float(row.max()))
        assert name == network.classes[int(row.argmax())]
    assert network.predict(picture) == network.predict([picture])
    with pytest.raises(lowland.LowlandError, match="image 1 cannot be used"):
        network.predict([picture, picture.convert("F")])
    with pytest.raises(lowland.LowlandError, match="image 0 cannot be used: it holds 32-bit levels of unknown range"):
        network.predict(picture.convert("I"))
    # A grey picture of the right size passes through untouched.
    exact = Image.fromarray(noise[:8, :8, 0])
    raw = torch.from_numpy(noise[:8, :8, 0].copy())[None, None]
    assert torch.equal(network.preprocess(exact), network.normalise(raw))


def test_more_networks_are_trained_without_training_the_first_again(finished: Path) -> None:
    first = lasting(finished / "network")
    trained = (finished / "network" / "network.safetensors").stat().st_mtime_ns
    outcome = pipeline.resume(finished, last="train", changes=[{"retrain": {"top": 2}}])
    assert outcome.stages == STAGES  # it had been evaluated, so the new network is too
    assert lasting(finished / "network") == first
    assert (finished / "network" / "network.safetensors").stat().st_mtime_ns == trained
    assert [row["rank"] for row in outcome.networks] == [1, 2]
    assert all(row["figures"] for row in outcome.networks)
    second = lowland.load(finished / "networks" / "2")
    assert str(second.genotype) == str(Genotype("nasbench201", tuple(outcome.networks[1]["genes"])))
    with Run.open(finished, read_only=True) as opened:
        assert opened.verify() == []

    # One network again: the second is cleared away, the first stays.
    pipeline.resume(finished, changes=[{"retrain": {"top": 1}}])
    assert not (finished / "networks" / "2" / "network.json").exists()
    assert (finished / "network" / "network.safetensors").stat().st_mtime_ns == trained
    assert list(results(finished, "classification")["networks"]) == ["1"]


@pytest.mark.slow
def test_two_networks_at_once_are_those_of_one_after_the_other(finished: Path, pristine: Path, tmp_path: Path) -> None:
    both = made(tmp_path / "both", {"retrain": {"top": 2}})
    pipeline.resume(finished, changes=[{"retrain": {"top": 2}}])
    assert content(both / "evaluation") == content(finished / "evaluation")
    for file in ("network/network.safetensors", "networks/2/network.safetensors"):
        assert (both / file).read_bytes() == (finished / file).read_bytes(), file
    assert read(both / "search.json")["ranking"] == read(pristine / "search.json")["ranking"]


def test_another_recipe_trains_all_again(finished: Path) -> None:
    before = content(finished / "network")
    pipeline.resume(finished, last="train", changes=[{"retrain": {"recipe": "nasbench201", "epochs": 1, "cutout": 2}}])
    with Run.open(finished, read_only=True) as opened:
        # The recipe's own settings came along, except those named beside it.
        assert (opened.config.retrain.clip, opened.config.retrain.batch_size) == (0.0, 256)
        assert (opened.config.retrain.epochs, opened.config.retrain.cutout) == (1, 2)
    assert content(finished / "network") != before


def test_another_search_uses_the_scores_that_still_hold(finished: Path) -> None:
    def scored() -> int:
        with sqlite3.connect(finished / "archive.sqlite") as archive:
            (number,) = archive.execute("SELECT count(*) FROM candidates").fetchone()
        return int(number)

    before = scored()
    pipeline.resume(finished, last="search", changes=[{"search": evolution(mutation_probability=0.3) | {"workers": 1}}])
    proposed = read(finished / "search.json")["summary"]["proposed"]
    # The first generation is the same, so that its scores are found; the rest is new.
    assert before < scored() < before + proposed
    with Run.open(finished, read_only=True) as opened:
        shown = gather(opened).search
    assert shown is not None
    assert len(shown.candidates) == proposed  # and not what the archive holds besides
    more = scored()
    pipeline.resume(finished, last="search", changes=[{"measure": {"images": 30}}])
    assert scored() > more  # scores of other settings do not hold, and are not lost either
    with Run.open(finished, read_only=True) as opened:
        assert opened.verify() == []
    pipeline.resume(finished, last="search", restart="search")
    assert scored() < more  # done again when asked to


def test_a_refused_change_leaves_the_run_as_it_was(finished: Path) -> None:
    before = content(finished)
    for change, word in (
        ({"measure": {"name": "flatnes"}}, "flatnes"),
        ({"search": {"max_params": 10}}, "at most 10 parameters"),
        ({"retrain": {"recipe": "imagnet"}}, "imagnet"),
        ({"retrain": {"recipe": "cifar"}}, "auxiliary"),
        ({"seed": 4}, "another --out"),
        ({"supernet": {"epochs": 3}}, "another --out"),
        ({"evaluate": {"options": {"corruptions": {"names": ["fogg"]}}}}, "fogg"),
        ({"evaluate": {"suites": ["clasification"]}}, "did you mean classification"),
    ):
        with pytest.raises(lowland.LowlandError, match=word):
            pipeline.resume(finished, changes=[change])
        assert content(finished) == before, change
    with pytest.raises(ConfigError, match="supernet, search, train, evaluate, report"):
        pipeline.resume(finished, restart="serch")
    assert content(finished) == before


@pytest.mark.slow
@pytest.mark.parametrize("measure", [*measures.registered(), "accuracy+flatness", "loss+angle+flatness"])
def test_every_measure_and_sums_go_through_a_search(measure: str, supernet_only: Path, tmp_path: Path) -> None:
    run = copied(supernet_only, tmp_path / "run")
    few = {"options": {"training_speed": {"steps": 10}, "hessian_trace": {"draws": 2}}, "hessian_images": 20}
    one_generation = {"search": evolution(generations=1)}
    pipeline.resume(run, last="search", changes=[one_generation, {"measure": {"name": measure} | few}])
    found = read(run / "search.json")
    values = [entry["value"] for entry in found["ranking"]]
    assert len(values) >= 4
    assert values == sorted(values, reverse=True)
    assert found["summary"]["failed"] == 0


def test_random_search(supernet_only: Path, tmp_path: Path) -> None:
    run = copied(supernet_only, tmp_path / "run")
    few = {"strategy": "random", "options": {"random": {"candidates": 5}}}
    pipeline.resume(run, last="search", changes=[{"search": few}])
    found = read(run / "search.json")
    assert found["summary"]["proposed"] == len(found["ranking"]) == 5


def test_exhaustive_search_scores_all_within_the_limit(supernet_only: Path, tmp_path: Path) -> None:
    run = copied(supernet_only, tmp_path / "run")
    space = spaces.get("nasbench201")
    with Run.open(run, read_only=True) as opened:
        digits = data.load(opened.config.data, seed=3)
        shape = network_shape(opened.config, digits, space.sample(np.random.default_rng(0)))
    sizes = {genotype: space.cost(genotype, shape).macs for genotype in space.all()}
    limit = min(sizes.values())
    smallest = {space.key(genotype) for genotype, macs in sizes.items() if macs <= limit}
    pipeline.resume(
        run,
        last="search",
        changes=[{"search": {"strategy": "exhaustive", "max_macs": limit}, "measure": {"name": "parameters"}}],
    )
    found = read(run / "search.json")
    assert found["summary"]["proposed"] == len(smallest)
    assert all(entry["macs"] <= limit for entry in found["ranking"])


@pytest.mark.parametrize("layer", [{}, DARTS], ids=["nasbench201", "darts"])
def test_the_delivered_network_keeps_the_limit_and_fit_fills_it(layer: dict[str, Any], tmp_path: Path) -> None:
    limit = 24_000
    wide = {"network": {"channels": "fit"}, "search": {"max_params": limit} | evolution(generations=1)}
    run = made(tmp_path / "run", layer, wide, {"supernet": {"epochs": 1}, "retrain": {"epochs": 1}}, last="train")
    network = lowland.load(run)
    assert sum(p.numel() for p in network.parameters()) <= limit
    space = spaces.get(network.genotype.space)
    wider = replace(network.shape, channels=network.shape.channels + 2)
    assert space.cost(network.genotype, wider).parameters > limit
    for entry in read(run / "search.json")["ranking"]:
        assert entry["parameters"] <= limit


def test_a_run_goes_on_from_another_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.integers(0, 256, (60, 8, 8), dtype=np.uint8), "y_train": np.arange(60) % 3}
    np.savez(tmp_path / "own.npz", **arrays)
    monkeypatch.chdir(tmp_path)
    config = assemble(TINY, {"data": {"name": "own.npz", "limit": None}, "supernet": {"epochs": 1, "batch_size": 8}})
    pipeline.run(config, "run", last="supernet")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pipeline.resume("../run", last="search").stages == ("supernet", "search")


def test_a_changed_data_set_is_noticed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures, labels = rng.integers(0, 256, (60, 8, 8), dtype=np.uint8), np.arange(60) % 3
    np.savez(tmp_path / "own.npz", x_train=pictures, y_train=labels)
    layer = {"data": {"name": str(tmp_path / "own.npz"), "limit": None}, "supernet": {"epochs": 1, "batch_size": 8}}
    run = made(tmp_path / "run", layer, last="supernet")
    np.savez(tmp_path / "own.npz", x_train=pictures[::-1], y_train=labels)
    with pytest.raises(lowland.LowlandError, match=r"own.npz has changed since .*run was started"):
        pipeline.resume(run)
    np.savez(tmp_path / "own.npz", x_train=pictures, y_train=labels)
    pipeline.resume(run, last="search")


def test_a_report_of_half_a_run(tmp_path: Path, supernet_only: Path) -> None:
    run = copied(supernet_only, tmp_path / "run")
    page = reporting.report(run)
    assert "supernet" in page.read_text()
    with Run.open(run, read_only=True) as opened:
        assert not opened.stage_done("report")
    pipeline.resume(run, last="search")
    best = read(run / "search.json")["ranking"][0]["genotype"]
    text = reporting.report(run).read_text()
    assert best.replace("|", "") in text.replace("|", "").replace("&#124;", "")
    assert pipeline.resume(run).stages == STAGES
