"""Delivered networks in other forms compute the same."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import lowland as package
from whole_runs import Command

BATCHES = (1, 2, 5)


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(count))


@pytest.mark.slow
@pytest.mark.parametrize("space", ["nasbench201", "darts"])
def test_torch_export_program(
    space: str, request: pytest.FixtureRequest, tmp_path: Path, lowland: Command, recwarn: pytest.WarningsRecorder
) -> None:
    run: Path = request.getfixturevalue("pristine" if space == "nasbench201" else "pristine_darts")
    file = tmp_path / "new" / "network.pt2"
    said = lowland("export", run, "--out", file)
    assert said.code == 0, said.err
    assert (said.out, said.err) == (f"written  {file}\n", "")
    network, program = package.load(run), torch.export.load(file).module()
    for count in BATCHES:
        with torch.inference_mode():
            torch.testing.assert_close(program(images(count)), network(images(count)), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("space", ["nasbench201", "darts"])
def test_onnx(space: str, request: pytest.FixtureRequest, tmp_path: Path, lowland: Command) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    run: Path = request.getfixturevalue("pristine" if space == "nasbench201" else "pristine_darts")
    file = tmp_path / "network.onnx"
    said = lowland("export", run / "network", "--format", "onnx", "--out", file)
    assert said.code == 0, said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.onnx"]
    network, session = package.load(run), runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for count in BATCHES:
        (logits_NK,) = session.run(["logits"], {"images": images(count).numpy()})
        with torch.inference_mode():
            torch.testing.assert_close(torch.from_numpy(logits_NK), network(images(count)), rtol=0, atol=1e-4)


def test_refusals(pristine: Path, tmp_path: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "pt2 or onnx" in lowland("export", pristine, "--format", "tflite").fault
    assert "no delivered network" in lowland("export", tmp_path / "nothing").fault
    (tmp_path / "taken").mkdir()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.chdir(tmp_path)
    assert "pip install 'lowland[onnx]'" in lowland("export", pristine, "--format", "onnx").fault
    assert not (tmp_path / "network.onnx").exists()
    assert "cannot be made" in lowland("export", pristine, "--out", pristine / "config.yaml" / "x.pt2").fault
    assert lowland("export", pristine, "--out", tmp_path / "taken").fault
