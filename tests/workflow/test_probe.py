"""`lowland flatness` on delivered networks and on anybody's models."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

import lowland as package
from lowland import data
from lowland.store.run import Run
from whole_runs import Command


def test_flatness_of_a_run(pristine: Path, lowland: Command) -> None:
    said = lowland("flatness", pristine, "--split", "test", "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    with Run.open(pristine, read_only=True) as run:
        digits = data.load(run.config.data, seed=run.config.seed)
    network = package.load(pristine)
    images, labels = digits.test.images(torch.arange(len(digits.test))), digits.test.labels_N
    with torch.inference_mode():
        logits = network(images)
    assert found["images"] == len(labels)
    assert found["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-4)
    assert found["parameters"] == sum(p.numel() for p in network.parameters())
    # The same numbers from Python, as the documentation promises.
    own = package.flatness(
        network.body, [(network.normalise(images), labels)], sigmas=(2e-3, 1e-2, 2e-2), draws=3, seed=0
    )
    assert own.flatness == pytest.approx(found["flatness"], rel=1e-3)
    told = lowland("flatness", pristine, "--split", "test")
    assert "±" in told.out
    assert lowland("flatness", pristine / "network", "--data", "digits", "--images", "50", "--json").code == 0


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 random colour images of two classes."""
    path = tmp_path_factory.mktemp("colours") / "colours.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
    np.savez(path, x_train=pixels, y_train=np.arange(32) % 2)
    return path


@pytest.mark.filterwarnings("default:weights of")
def test_flatness_of_a_torchvision_model(colours: Path, tmp_path: Path, lowland: Command) -> None:
    torch.manual_seed(0)
    model = models.shufflenet_v2_x0_5(num_classes=2)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    torch.save({"state_dict": model.state_dict()}, tmp_path / "weights.pt")
    name = ("flatness", "torchvision:shufflenet_v2_x0_5", "--data", colours, "--images", "6", "--draws", "1", "--json")
    found = [
        json.loads(lowland(*name, "--weights", tmp_path / file).out) for file in ("weights.safetensors", "weights.pt")
    ]
    assert found[0] == found[1]
    assert found[0]["parameters"] == sum(p.numel() for p in model.parameters())
    assert "--weights" in lowland(*name).fault
    assert "does not exist" in lowland(*name, "--weights", tmp_path / "none.safetensors").fault
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    assert "broken.safetensors cannot be loaded" in lowland(*name, "--weights", tmp_path / "broken.safetensors").fault
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    assert "cannot be loaded into the model" in lowland(*name, "--weights", tmp_path / "other.safetensors").fault


OWN = """
import torch
def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
def number():
    return 3
def wrong():
    raise KeyError("nothing")
narrow = lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(63, 10))
"""


def test_flatness_of_a_function_of_ones_own(tmp_path: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "my_models", raising=False)  # another test may have had one of that name
    # The module lies in the current folder, which is not on the path of a console script.
    (tmp_path / "my_models.py").write_text(OWN)
    (tmp_path / "broken_models.py").write_text("def make(:\n")
    monkeypatch.chdir(tmp_path)
    said = lowland("flatness", "my_models:make", "--data", "digits", "--split", "test", "--images", "40", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["parameters"] == 650
    for model, word in (
        ("my_models:number", "gave a int"),
        ("my_models:absent", "absent"),
        ("my_models:wrong", "nothing"),
        ("my_models:narrow", "64"),
        ("broken_models:make", "broken_models"),
        ("no_such_module:make", "no_such_module"),
        ("my_models:make_nothing", "make_nothing"),
        ("nonsense", "is no folder"),
        (":", "cannot be made"),
        ("torchvision:resnet999", "resnet999"),
    ):
        assert word in lowland("flatness", model, "--data", "digits", "--images", "10").fault, model


def test_refusals(pristine: Path, colours: Path, lowland: Command) -> None:
    for arguments, word in (
        ((pristine, "--split", "validation"), "train, search or test"),
        ((pristine, "--sigmas", "a,b"), "separated by commas"),
        ((pristine, "--sigmas", "0.1,0.01"), "increasing"),
        ((pristine, "--draws", "0"), "draws"),
        ((pristine, "--images", "0"), "images"),
        ((pristine, "--images", "-3"), "images"),
        ((pristine, "--alpha", "-1"), "alpha"),
        ((pristine, "--data", colours), "channels"),
        ((pristine / "network",), "--data"),
        ((pristine / "supernet", "--data", "digits"), "no delivered network"),
    ):
        assert word in lowland("flatness", *arguments).fault, arguments


def test_curvature_sharpness_and_slices_with_a_page(
    tmp_path: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_models.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    asked = ("flatness", "my_models:make", "--data", "digits", "--images", "60", "--draws", "1", "--vectors", "2")
    more = ("--curvature", "--eigenvalues", "2", "--sharpness", "0.05", "--sharpness", "0.1", "--slice", "random")
    said = lowland(*asked, *more, "--slice", "hessian", "--slice-points", "3", "--json", "--out", "page.html")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert [each["rho"] for each in found["sharpness"]] == [0.05, 0.1]
    assert [each["plane"] for each in found["slices"]] == ["random", "hessian"]
    assert len(found["curvature"]["eigenvalues"]) == 2
    page = (tmp_path / "page.html").read_text()
    assert page.count('role="img"') == 4
    assert "Spectral density of the Hessian" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    told = lowland(*asked, "--curvature", "--adaptive", "--sharpness", "0.5", "--out", "again.html")
    for word in ("trace of the Hessian", "eigenvalue 3", "adaptive sharpness", "written  again.html"):
        assert word in told.out, word
    # What was measured is said before a page that cannot be written is refused.
    lost = lowland(*asked, "--out", "again.html/page.html")
    assert "flatness" in lost.out
    assert "file is in the way" in lost.fault
    for wrong, word in (
        (("--slice", "round"), "round"),
        (("--slice", "random", "--slice-points", "4"), "odd"),
        (("--sharpness", "-1"), "radius"),
        (("--eigenvalues", "0"), "eigenvalues"),
        (("--curvature-images", "0"), "curvature_images"),
    ):
        assert word in lowland(*asked, *wrong).fault, wrong
