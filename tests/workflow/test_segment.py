"""`lowland segment`: what is refused, in one sentence, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from made_scenes import camvid
from whole_runs import Command

pytest.importorskip("timm")

TIMM = "timm:mobilenetv3_small_050"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return camvid(tmp_path_factory.mktemp("camvid"))


@pytest.mark.parametrize(
    ("network", "dataset", "more", "said"),
    [
        (TIMM, "kitti", (), "dataset='kitti': input should be 'cityscapes', 'camvid' or 'voc'"),
        (TIMM, "voc", (), "is not laid out as VOC 2012: looked for VOCdevkit/VOC2012/JPEGImages/, found train,"),
        (TIMM, "camvid", ("--output-stride", "12"), "output_stride=12: input should be 8, 16 or 32"),
        (TIMM, "camvid", ("--preset", "big"), "preset='big': input should be 'small' or 'paper'"),
        (TIMM, "camvid", ("--epochs", "1", "--steps", "2"), "segmentation was given steps and epochs"),
        (TIMM, "camvid", ("--batch-size", "1"), "needs at least 2 pictures a step, and has 1"),
        ("timm:vgg11", "camvid", (), "timm:vgg11 gives no feature maps of output stride 16 (AssertionError)"),
        ("published:nope", "camvid", (), "unknown published network 'nope'"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, lowland: Command, data: Path, network: str, dataset: str, more: tuple[str, ...], said: str
) -> None:
    out = tmp_path / "out"
    found = lowland("segment", network, "--dataset", dataset, "--data-root", data, "--out", out, *more)
    assert (found.code, out.exists()) == (2, False)
    assert found.err.startswith("error: ")
    assert said in found.err
    assert found.err.count("\n") == 1


def test_a_network_without_a_run_needs_a_folder(lowland: Command, data: Path) -> None:
    found = lowland("segment", TIMM, "--dataset", "camvid", "--data-root", data)
    assert found.code == 2
    assert "name a folder for them with --out" in found.err


def test_json_holds_every_class(tmp_path: Path, lowland: Command, data: Path) -> None:
    """The whole way, one step: the answer is the figures alone."""
    import json

    arguments = ("--steps", "1", "--batch-size", "2", "--output-stride", "32", "--out", tmp_path / "out", "--json")
    found = lowland("segment", TIMM, "--dataset", "camvid", "--data-root", data, *arguments)
    assert found.code == 0, found.err
    (outcome,) = json.loads(found.out)["outcomes"]
    assert {"mIoU", "accuracy", "mAcc", "IoU road"} <= set(outcome["metrics"])
    kept = json.loads((tmp_path / "out" / "segmentation.json").read_text())
    assert kept["results"]["outcomes"][0]["sha256"] == outcome["sha256"]
    assert kept["results"]["settings"]["atrous_rates"] == [3, 6, 9]


def test_test_pictures_stand_beside_those_of_validation() -> None:
    """What a person sees: both means, each under its name, and how many pictures of which."""
    from lowland.app.verbs.dense import dense_lines
    from lowland.evaluation.dense.results import DenseResults, Outcome

    metrics = {"mIoU": 40.0, "accuracy": 80.0, "mAcc": 50.0, "IoU road": 85.0}
    outcome = Outcome(
        seed=0,
        metrics=metrics,
        losses={},
        interval=1,
        steps=1,
        parameters=1,
        seconds=1.0,
        sha256="",
        test={"mIoU": 30.0, "accuracy": 70.0, "mAcc": 45.0, "IoU sky": 90.0},
    )
    results = DenseResults(
        task="segmentation",
        network="n",
        weights="from scratch",
        data="",
        pictures=101,
        settings={},
        outcomes=(outcome,),
        test_pictures=233,
    )
    told = "\n".join(str(line) for line in dense_lines(results, 120))
    assert "validation, mean" in told
    assert "test, mean" in told
    assert "101 validation and 233 test pictures" in told
    road, sky = (next(line.split() for line in told.splitlines() if name in line) for name in ("road", "sky"))
    assert (road[2:], sky[2:]) == (["85.00", "–", "–", "–"], ["–", "–", "90.00", "–"])
