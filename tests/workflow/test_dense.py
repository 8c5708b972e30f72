"""Dense tasks from the command line: in a run, whose results and report they join, and in a folder of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lowland as package
from colour_run import colour_run
from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.monitor import Monitor
from lowland.evaluation.dense.results import DenseResults
from lowland.evaluation.detection.design import DESIGNS
from lowland.store.run import Run
from lowland.workflow.dense import study
from made_coco import annotated, coco
from whole_runs import Command, copied

pytest.importorskip("faster_coco_eval")
pytest.importorskip("timm")

TIMM = "timm:mobilenetv3_small_050"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    """The preset small, smaller still."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DESIGNS, "small", replace(DESIGNS["small"], width=16, groups=4, sides=(64,), longest=64))
        yield


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network sees colour pictures and has the stem of large ones."""
    return colour_run(tmp_path_factory.mktemp("colour") / "run")


class StopAt(Monitor):
    def __init__(self, stage: str, done: int) -> None:
        self.stage, self.at, self.now = stage, done, ""

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        self.now = stage

    def advance(self, done: int, **facts: Any) -> None:
        self.stopping = self.now.startswith(self.stage) and done >= self.at


def found(file: Path) -> dict[str, Any]:
    """What a study found, without times."""
    values: dict[str, Any] = json.loads(file.read_text())["results"]
    for outcome in values["outcomes"]:
        del outcome["seconds"]
    return values


@pytest.mark.slow
def test_a_run_keeps_what_was_detected_and_its_report_shows_it(
    tmp_path: Path, lowland: Command, colour: Path, data: Path
) -> None:
    run = copied(colour, tmp_path / "run")
    said = lowland("detect", run, "--coco", data, "--steps", "2", "--seeds", "2")
    assert said.code == 0, said.err
    assert "with its trained weights" in said.out
    assert "95 % interval" in said.out
    values = found(run / "evaluation" / "detection.json")
    assert len(values["outcomes"]) == 2
    with Run.open(run, read_only=True) as opened:
        assert not opened.verify()
        assert opened.config.evaluate.suites == ("classification", "detection")
    page = (run / "report.html").read_text()
    assert "Detection" in page
    assert "AP at IoU .5" in page
    network = json.loads((run / "network" / "network.json").read_text())
    assert network["facts"]["results"]["AP"]["n"] == 4
    again = lowland("detect", run, "--coco", data, "--steps", "2", "--seeds", "2", "--json")
    assert again.code == 0
    assert DenseResults.from_json(json.loads(again.out)).spread("AP").n == 2
    assert found(run / "evaluation" / "detection.json") == values

    stopped = copied(colour, tmp_path / "stopped")
    with pytest.raises(InterruptedRun, match="lowland resume"):
        study(
            str(stopped),
            "detection",
            {"coco": str(data), "steps": 2, "seeds": 2},
            monitor=StopAt("detection, seed", 1),
        )
    assert lowland("resume", stopped).code == 0
    assert found(stopped / "evaluation" / "detection.json") | {"network": ""} == values | {"network": ""}


def test_a_network_alone_has_a_folder_of_its_own(tmp_path: Path, lowland: Command, data: Path) -> None:
    out = tmp_path / "out"
    said = lowland("detect", TIMM, "--coco", data, "--steps", "1", "--out", out)
    assert said.code == 0, said.err
    assert "from scratch (it has no trained weights)" in said.out
    assert {path.name for path in out.iterdir()} >= {"detection.json", "seed-0", "settings.json"}
    first = found(out / "detection.json")
    more = package.detect(TIMM, data, steps=1, seeds=2, out=out, progress="none")
    assert more.to_json()["outcomes"][0]["sha256"] == first["outcomes"][0]["sha256"]
    assert (
        "holds a detection study with another settings"
        in lowland("detect", TIMM, "--coco", data, "--steps", "2", "--out", out).fault
    )
    assert (
        "holds a detection study with another network"
        in lowland("detect", "timm:mobilenetv3_small_075", "--coco", data, "--steps", "1", "--out", out).fault
    )


def test_what_is_refused_leaves_nothing_behind(tmp_path: Path, lowland: Command, data: Path, finished: Path) -> None:
    out = tmp_path / "out"
    for words, said in [
        ((TIMM, "--coco", data), "no run that could keep the results; name a folder for them with --out"),
        ((TIMM, "--coco", tmp_path / "nowhere", "--out", out), "is no folder; give the folder that holds COCO's"),
        ((TIMM, "--coco", data, "--preset", "large", "--out", out), "evaluate.options.detection.preset"),
        ((TIMM, "--coco", data, "--steps", "1", "--epochs", "2", "--out", out), "was given steps and epochs"),
        ((TIMM, "--coco", data, "--batch-size", "4", "--out", out), "needs at least 8 pictures a step"),
        (("timm:resnet81", "--coco", data, "--out", out), "timm has no model 'resnet81'"),
        ((finished, "--coco", data, "--out", out), "takes images of 1 channel"),
    ]:
        assert said in lowland("detect", *words).fault, words
    assert not out.exists()


def test_a_run_that_does_not_suit_stays_as_it_is(lowland: Command, data: Path, finished: Path, tmp_path: Path) -> None:
    before = (finished / "config.yaml").read_bytes()
    assert "takes images of 1 channel, but dense tasks show colour" in lowland("detect", finished, "--coco", data).fault
    assert "computes as its own settings say" in lowland("detect", finished, "--coco", data, "--device", "cpu").fault
    assert (finished / "config.yaml").read_bytes() == before


def test_a_stem_of_small_images_is_refused(tmp_path: Path, data: Path) -> None:
    """NAS-Bench-201 has strides 1, 2 and 4."""
    from lowland.evaluation.dense.source import of_genotype
    from lowland.evaluation.detection.suite import DetectionSuite
    from lowland.spaces import Shape, get

    space = get("nasbench201")
    genotype = space.parse(next(iter(space.references.values())))
    source = of_genotype(genotype, Shape(channels=4, cells=1), "small")
    suite = DetectionSuite(DetectionSuite.Config(coco=data))
    with pytest.raises(ConfigError, match="small has maps of strides 1, 2, 4, but maps of 8, 16, 32 are needed"):
        suite.model(suite.problem(), source, 0)


def test_validation_without_boxes_is_refused(tmp_path: Path, lowland: Command) -> None:
    root = coco(tmp_path / "coco", None, {**annotated(4, 100, 2), "annotations": []})
    said = lowland("detect", TIMM, "--coco", root, "--out", tmp_path / "out").fault
    assert "instances_val2017.json is empty: it has no annotations" in said
