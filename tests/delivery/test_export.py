"""Delivered networks in other forms compute the same, say what they are, and are noted in the run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import lowland as package
from lowland import spaces
from lowland.data import MemorySplit
from lowland.delivery.agreement import Outcome, judge
from lowland.delivery.forms.form import Request, metadata
from lowland.delivery.forms.table import FORMS
from lowland.delivery.network import Network
from lowland.spaces import Shape
from lowland.store.artifacts import Exports
from lowland.store.run import Run
from whole_runs import Command, content, copied

SIZES = {"nasbench201": (8, 1), "darts": (8, 2), "mobilenetv3-small": (16, 1), "mobilenetv3": (32, 1)}
"""Image size and cells of a small network in each space."""

QUICK = [("safetensors", space) for space in SIZES] + [
    ("pt2", "darts"),
    ("onnx", "darts"),
    ("onnx-int8", "nasbench201"),
]
"""The others are slow: exporters take seconds for a deep network."""


@pytest.fixture
def run(finished: Path) -> Path:
    """A finished run of this test's own."""
    return finished


def levels(count: int, channels: int = 1, size: int = 8) -> torch.Tensor:
    """Smooth pictures, which deep networks tell apart, unlike noise."""
    generator = torch.Generator().manual_seed(count)
    coarse = torch.rand(count, channels, 2, 2, generator=generator)
    return (255 * torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")).to(torch.uint8)


def made(space: str) -> Network:
    """An untrained network of a space, with batch norm that has seen images and logits of different sizes."""
    size, cells = SIZES[space]
    shape = Shape(image_size=size, num_classes=4, channels=8, cells=cells)
    genotype = spaces.get(space).sample(np.random.default_rng(1))
    torch.manual_seed(0)
    body = spaces.get(space).network(genotype, shape)
    network = Network(
        body,
        genotype=genotype,
        shape=shape,
        classes=("a", "ü", "c,", '"d"'),
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.3, 0.1),
        facts={},
    )
    for module in body.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
    with torch.no_grad():
        for number in range(4):
            body(network.normalise(levels(60 + number, 3, size)))
        network.eval()
        weight, bias = list(body.parameters())[-2:]
        logits_NK = network(levels(40, 3, size))
        weight.mul_(3 / (logits_NK - bias).std(dim=0).mean())
        bias.sub_(network(levels(40, 3, size)).mean(dim=0))  # so that every class is the likeliest of some image
    return network


@pytest.mark.parametrize(
    ("form", "space"),
    [
        pytest.param(form, space, marks=[] if (form, space) in QUICK else pytest.mark.slow)
        for form in FORMS
        for space in sorted(SIZES)
    ],
)
def test_every_form_of_every_space_agrees(form: str, space: str, tmp_path: Path) -> None:
    for needed in FORMS[form].packages:
        pytest.importorskip(needed)
    network = made(space)
    images_NCHW = levels(40, 3, network.shape.image_size)
    split = MemorySplit(images_NCHW, torch.arange(40) % 4)
    request = Request(calibration_NCHW=images_NCHW)
    path = tmp_path / f"file{FORMS[form].suffix}"
    FORMS[form].write(network, path, request)
    outcome = judge(FORMS[form], path, network, request, split, torch.arange(40))
    found = outcome.agreement
    assert found.images == 40
    assert found.largest_logit > 1
    # int8 serves trained networks, whose logits are surer: benchmarks/export_check.py holds it to half a point.
    limit = 0.7 if FORMS[form].calibrates else 1e-4
    assert found.largest_difference <= limit * found.largest_logit
    assert found.changed <= (16 if FORMS[form].calibrates else 0)
    assert [(each.batch, each.threads) for each in outcome.latency][:2] == [(1, 1), (16, 1)]
    assert all(0 < each.low <= each.milliseconds <= each.high for each in outcome.latency)
    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome
    classify = FORMS[form].open(path, 1)
    with torch.inference_mode():
        assert [tuple(classify(levels(n, 3, network.shape.image_size)).shape) for n in (1, 2, 5)] == [
            (1, 4),
            (2, 4),
            (5, 4),
        ]


def test_a_form_that_differs_is_found_out(tmp_path: Path) -> None:
    network, other = made("nasbench201"), made("nasbench201")
    with torch.no_grad():
        list(other.body.parameters())[-1].add_(torch.tensor([2.0, 0.0, 0.0, 0.0]))
    FORMS["pt2"].write(other, tmp_path / "file.pt2", Request())
    split = MemorySplit(levels(30, 3), torch.zeros(30, dtype=torch.int64))
    found = judge(FORMS["pt2"], tmp_path / "file.pt2", network, Request(), split, torch.arange(30)).agreement
    assert found.largest_difference == pytest.approx(2, abs=1e-4)
    with torch.inference_mode():
        images_NCHW = split.images(torch.arange(30))
        hits, own = (other(images_NCHW).argmax(1) == 0).double(), (network(images_NCHW).argmax(1) == 0).double()
    assert found.changed > 0
    assert found.top1_change == pytest.approx(100 * (hits - own).mean().item())
    assert found.top1_error == pytest.approx(100 * (hits - own).std(correction=0).item() / 30**0.5)


def test_the_command_writes_all_forms_with_their_outcome(run: Path, tmp_path: Path, lowland: Command) -> None:
    for needed in FORMS["onnx-int8"].packages:
        pytest.importorskip(needed)
    out = tmp_path / "out"
    said = lowland("export", run, "--format", "safetensors,pt2", "--format", "onnx, onnx-int8", "--out", out)
    assert (said.code, said.err) == (0, ""), said.err
    names = ["network.int8.onnx", "network.onnx", "network.pt2", "network.safetensors"]
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, *(f"{name}.json" for name in names)])
    assert all(f"written  {out / name}" in said.out for name in names)
    for name in names:
        told = json.loads((out / f"{name}.json").read_text())
        assert told["file"] == name
        assert (told["data"], told["split"]) == ("digits", "test")
        assert told["agreement"]["top1_network"] == pytest.approx(told["agreement"]["top1"], abs=10)
        assert told["environment"]["torch"] == torch.__version__
        assert ("calibration_images" in told) == ("int8" in name)
    with Run.open(run, read_only=True) as opened:
        noted = Exports.read(opened)
        assert opened.verify() == []
    assert noted is not None
    assert list(noted.forms) == ["safetensors", "pt2", "onnx", "onnx-int8"]
    assert "Exported forms" in (run / "report.html").read_text()


def test_what_is_noted_holds_for_the_network_it_was_found_on(run: Path, tmp_path: Path, lowland: Command) -> None:
    for form in ("safetensors", "pt2"):  # one after the other: both stay
        said = lowland("export", run / "network", "--format", form, "--out", tmp_path / form)
        assert said.code == 0, said.err
    with Run.open(run) as opened:
        noted = Exports.read(opened)
        assert noted is not None
        assert list(noted.forms) == ["safetensors", "pt2"]
        opened.manifest["files"]["network/network.safetensors"] = "another"
        assert Exports.read(opened) is None
        assert Exports(network="another", forms={}).write(opened) is None
        assert Exports.read(opened) == Exports(network="another", forms={})


def test_a_run_that_cannot_be_written_is_said_and_the_file_is_there(
    run: Path, tmp_path: Path, lowland: Command
) -> None:
    with Run.open(run):  # as a running search does
        said = lowland("export", run, "--format", "safetensors", "--out", tmp_path / "file")
    assert said.code == 0
    assert (tmp_path / "file").is_file()
    assert said.err.startswith("not noted in the run: ")


def test_files_say_what_they_are_and_nothing_of_the_machine(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    network = made("nasbench201")
    wanted = metadata(network, True)
    assert json.loads(wanted["classes"]) == list(network.classes)
    assert json.loads(wanted["mean"]) == list(network.mean)
    assert json.loads(wanted["std"]) == list(network.std)
    assert (wanted["image_size"], wanted["lowland"]) == ("8", package.__version__)
    assert spaces.get("nasbench201").parse(wanted["genotype"]) == network.genotype
    assert wanted["license"].startswith("not stated")
    for form in FORMS.values():
        path = tmp_path / form.name
        form.write(network, path, Request(calibration_NCHW=levels(20, 3)))
        assert b"site-packages" not in path.read_bytes(), form.name
        assert str(Path(package.__file__).parent).encode() not in path.read_bytes(), form.name
    for name in ("onnx", "onnx-int8"):
        model = onnx.load(tmp_path / name)
        assert {entry.key: entry.value for entry in model.metadata_props} == wanted
        assert [(each.domain, each.version) for each in model.opset_import if not each.domain] == [("", 20)]
        (images,) = model.graph.input
        assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
        assert images.type.tensor_type.shape.dim[0].dim_param
    quantised = onnx.load(tmp_path / "onnx-int8").graph
    assert max(len(name) for node in quantised.node for name in (*node.input, *node.output, node.name)) <= 6
    constants = [
        (each.data_type, tuple(each.dims), onnx.numpy_helper.to_array(each).tobytes()) for each in quantised.initializer
    ]
    assert len(set(constants)) == len(constants), "equal constants are written once"
    extra = {"lowland.json": ""}
    torch.export.load(tmp_path / "pt2", extra_files=extra)
    assert json.loads(extra["lowland.json"]) == wanted
    with safe_open(tmp_path / "safetensors", framework="pt") as file:
        assert file.metadata() == metadata(network, None)


@pytest.mark.parametrize("form", ["pt2", "onnx", "onnx-int8"])
def test_normalisation_is_in_the_program_or_left_to_the_caller_but_never_mistaken(form: str, tmp_path: Path) -> None:
    for needed in FORMS[form].packages:
        pytest.importorskip(needed)
    network, images_NCHW = made("nasbench201"), levels(6, 3)
    request = Request(normalise=False, calibration_NCHW=images_NCHW)
    FORMS[form].write(network, tmp_path / "plain", request)
    FORMS[form].write(network, tmp_path / "whole", Request(calibration_NCHW=images_NCHW))
    plain, whole = FORMS[form].open(tmp_path / "plain", 1), FORMS[form].open(tmp_path / "whole", 1)
    with torch.inference_mode():
        assert torch.allclose(plain(network.normalise(images_NCHW)), whole(images_NCHW), atol=0.5)
        for classify, wrong in ((plain, images_NCHW), (whole, images_NCHW / 255)):
            if form != "pt2":  # PyTorch converts what a program is given
                with pytest.raises(Exception, match="Unexpected input data type"):
                    classify(wrong)
    assert "normalised: (x / 255" in metadata(network, False)["input"]


def test_a_network_that_was_traced_predicts_as_before() -> None:
    """Constants made while torch traces a program must not be kept for later images."""
    network = made("nasbench201")
    network.mean = (0.11, 0.22, 0.33)  # which no other test has
    traced = torch.export.export(network, (levels(2, 3),))
    x_NCHW = levels(2, 3)
    with torch.inference_mode():
        mean, std = torch.tensor(network.mean)[:, None, None], torch.tensor(network.std)[:, None, None]
        expected = network.body((x_NCHW / 255 - mean) / std)
        torch.testing.assert_close(network(x_NCHW), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(traced.module()(x_NCHW), expected, rtol=1e-4, atol=1e-4)


def test_refusals(run: Path, tmp_path: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert "choose safetensors, pt2, onnx or onnx-int8" in lowland("export", run, "--format", "tflite").fault
    assert "did you mean onnx-int8?" in lowland("export", run, "--format", "onnx_int8").fault
    assert "no export format was named" in lowland("export", run, "--format", ",").fault
    assert "no delivered network" in lowland("export", tmp_path / "nothing", "--no-check").fault
    assert "--images 0 must be at least 1" in lowland("export", run, "--images", "0").fault
    assert "--calibration-images" in lowland("export", run, "--calibration-images", "0").fault
    (tmp_path / "taken").mkdir()
    assert "is a folder; name the file" in lowland("export", run, "--out", tmp_path / "taken").fault
    file = run / "config.yaml"
    (tmp_path / "afile").touch()
    assert "cannot be made" in lowland("export", run, "--no-check", "--out", tmp_path / "afile" / "x.pt2").fault
    (tmp_path / "afile").unlink()
    assert "for several formats name a folder" in lowland("export", run, "--format", "pt2,onnx", "--out", file).fault
    alone = copied(run / "network", tmp_path / "alone")
    assert "name them with --data, or leave the check out with --no-check" in lowland("export", alone).fault
    assert lowland("export", alone, "--format", "onnx-int8", "--no-check").fault.endswith("name them with --data")
    said = lowland("export", alone, "--data", "fashion-mnist-6k").fault
    assert "has 1 channels and 10 classes (T-shirt/top, " in said
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "pip install 'lowland[onnx]'" in lowland("export", run, "--format", "safetensors,onnx").fault
    (tmp_path / "taken").rmdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "alone"])


def test_without_a_check_no_images_are_needed(run: Path, tmp_path: Path, lowland: Command) -> None:
    alone = copied(run / "network", tmp_path / "alone")
    (tmp_path / "x.pt2.json").write_text("of an earlier file")
    said = lowland("export", alone, "--no-check", "--out", tmp_path / "x.pt2")
    assert (said.code, said.out) == (0, f"written  {tmp_path / 'x.pt2'}\n"), said.err
    assert not (tmp_path / "x.pt2.json").exists()
    network, program = package.load(alone), torch.export.load(tmp_path / "x.pt2").module()
    with torch.inference_mode():
        assert torch.equal(program(levels(5)), network(levels(5)))


def test_nothing_is_written_into_a_run(
    run: Path, lowland: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(run)
    (tmp_path / "link").symlink_to(run)
    for out in (
        run / "archive.sqlite",
        run / "new.pt2",
        run / "network" / "network.safetensors",
        tmp_path / "link" / "x",
    ):
        assert "would lie in the run" in lowland("export", run, "--no-check", "--out", out).fault
    monkeypatch.chdir(run)
    assert "name another place with --out" in lowland("export", run, "--no-check").fault
    assert content(run) == before
