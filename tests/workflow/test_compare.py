"""`lowland compare`, end to end: rows and files, stops and resumption, the same recipe, and what is refused."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import lowland
from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.monitor import Monitor
from lowland.core.registry import EXECUTORS
from lowland.evaluation.comparison import ComparisonResults
from lowland.execution.local import Workers
from lowland.execution.sequential import Sequential
from lowland.report import comparison_page
from lowland.store.run import Run
from lowland.workflow.compare import ComparisonRequest, compare, reference_names
from whole_runs import Command, content, copied, made

needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra timm")
pytestmark = pytest.mark.slow

SMALL = ComparisonRequest(
    references=("resnet-cell", "mobilenetv3-small:k3e3|k3e3|k3e3@56/56"), seeds=2, max_params=16_000, max_macs=400_000
)
ONE = ComparisonRequest(references=("resnet-cell",), seeds=1)


@pytest.fixture(scope="module")
def judged(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison; never change it."""
    out = tmp_path_factory.mktemp("compared") / "out"
    compare(pristine, out, SMALL)
    return out


@pytest.fixture(scope="module")
def judged_once(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison with one reference and one seed; never change it."""
    out = tmp_path_factory.mktemp("compared") / "out"
    compare(pristine, out, ONE)
    return out


def results(out: Path) -> ComparisonResults:
    return ComparisonResults.from_json(json.loads((out / "compare.json").read_text()))


def timeless(folder: Path) -> dict[str, Any]:
    """The content of a comparison without how long anything took, and without the page, which shows that."""
    found: dict[str, Any] = {}
    for name, value in content(folder).items():
        if name.endswith(".json"):
            found[name] = without_seconds(json.loads(value))
        elif not name.endswith(".html"):
            found[name] = value
    return found


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_seconds(each) for key, each in value.items() if key != "seconds"}
    return [without_seconds(each) for each in value] if isinstance(value, list) else value


def test_every_network_is_trained_for_every_seed_within_the_budget(judged: Path, pristine: Path) -> None:
    found = results(judged)
    delivered, cell, mobile = found.networks
    assert [row.name for row in found.networks][:2] == ["delivered", "resnet-cell"]
    assert (mobile.family, mobile.text) == ("mobilenetv3-small", "k3e3|k3e3|k3e3@56/56")
    for row in (cell, mobile):
        assert row.parameters <= 16_000
        assert row.macs <= 400_000
        assert row.difference is not None
        assert row.corrupted_difference is not None
        assert (row.difference.over, row.difference.n) == ("seeds", 2)
        assert row.difference.value == pytest.approx(delivered.top1 - row.top1)
        assert row.corrupted_difference.value == pytest.approx(delivered.corrupted - row.corrupted)
        assert row.difference.low <= row.difference.value <= row.difference.high
    for row in found.networks:
        assert [each.seed for each in row.seeds] == [3, 4]
        assert [each.delivered for each in row.seeds] == [row is delivered, False]
        assert row.seeds[0].top1 != row.seeds[1].top1
        assert all(each.seconds is not None for each in row.seeds)
    assert (found.images, found.corrupted_images) == (359, 60)

    # The delivered network is judged as the run's own evaluation judged it, on the same images, to the last hit.
    clean, shifted = (
        json.loads((pristine / "evaluation" / f"{suite}.json").read_text())["results"]["networks"]["1"]
        for suite in ("classification", "corruptions")
    )
    assert delivered.seeds[0].top1 == pytest.approx(clean["top1"], abs=1e-12)
    assert delivered.seeds[0].corrupted == pytest.approx(shifted["mean"], abs=1e-9)
    network = lowland.load(judged / "networks" / "resnet-cell" / "seed-4")
    assert sum(p.numel() for p in network.parameters()) == cell.parameters


def test_the_page_and_the_figures_name_no_place_of_this_machine(judged: Path, pristine: Path) -> None:
    document = json.loads((judged / "compare.json").read_text())
    page = (judged / "compare.html").read_text()
    assert page == comparison_page.render(document)
    for text in (page, json.dumps(document)):
        assert str(judged) not in text
        assert str(pristine) not in text
    assert "Was the search worth it?" in page
    assert document["sentences"][0] in page
    assert page.count("<svg") == 2
    assert "359" in page
    assert document["environment"]["torch"] == torch.__version__
    document["networks"][1]["name"] = "<script>alert(1)</script>"
    assert "<script>" not in comparison_page.render(document)


def test_the_same_recipe_gives_a_run_and_a_comparison_the_same_network(pristine: Path, tmp_path: Path) -> None:
    """The delivered genotype as a reference, with the run's seed and norm, is the delivered network."""
    delivered = lowland.load(pristine)
    genes = ",".join(map(str, delivered.genotype.genes)) + f"@{delivered.shape.norm}"
    out = tmp_path / "out"
    compare(pristine, out, ComparisonRequest(references=(genes,), seeds=1, suites=("classification",)))
    ours = load_file(next((out / "networks").glob("nasbench201-*")) / "seed-3" / "network.safetensors")
    theirs = load_file(pristine / "network" / "network.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    found = results(out)
    (row,) = found.references
    assert row.difference is not None
    assert (row.difference.value, row.difference.over, row.difference.n) == (0.0, "images", 359)
    assert row.difference.low < 0 < row.difference.high
    assert (row.corrupted, found.corrupted_images) == (None, 0)
    assert "cannot be told" in found.sentences[0]


def test_a_run_of_a_cluster_is_compared_on_this_machine(
    pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(Sequential):
        """A cluster that is not to be had here."""

        name, everywhere = "away", True

        def __init__(self, *_: Any, **__: Any) -> None:
            raise ConfigError("nobody answers")

    run = copied(pristine, tmp_path / "run")
    with Run.open(run) as opened:
        compute = opened.config.compute.model_copy(update={"executor": "away"})
        opened.reconfigure(opened.config.model_copy(update={"compute": compute}), None)
    monkeypatch.setattr(EXECUTORS, "load", {"away": Away, "local": Workers}.__getitem__)
    noted: list[str] = []
    monitor = Monitor()
    monkeypatch.setattr(monitor, "note", noted.append)
    request = ComparisonRequest(references=("resnet-cell",), seeds=1, suites=("classification",))
    compare(run, tmp_path / "out", request, monitor=monitor)
    assert "the run was made on a cluster; this comparison trains and judges on this machine" in noted


class StopAt(Monitor):
    """Asks for a stop after so many advances of stages whose name matches."""

    def __init__(self, stage: str, after: int) -> None:
        self.wanted, self.left, self.now = stage, after, ""

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        self.now = stage

    def advance(self, done: int, **facts: Any) -> None:
        if self.now == self.wanted:
            self.left -= 1
            self.stopping = self.left <= 0


@pytest.mark.parametrize(
    ("stage", "after"), [("resnet-cell", 1), ("resnet-cell", 40), ("resnet-cell", 72), ("corruptions", 2)]
)
def test_a_stopped_comparison_ends_in_the_same_bytes(
    stage: str, after: int, judged_once: Path, pristine: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(InterruptedRun, match="run the same command again"):
        compare(pristine, out, ONE, monitor=StopAt(stage, after))
    assert not (out / "compare.json").exists()
    kept = content(out)
    if after == 40:
        assert "networks/resnet-cell/seed-3/checkpoint.safetensors" in kept
    seen: list[tuple[str, int]] = []

    class Heard(Monitor):
        def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
            seen.append((stage, done))

    compare(pristine, out, ONE, monitor=Heard())
    assert timeless(out) == timeless(judged_once)
    if after == 40:
        assert seen[0] == ("resnet-cell", 40)
    if after in (72, 2):  # training was done, also where the stop came with its last step
        assert [name for name, _ in seen] == ["corruptions"]


def test_what_is_done_is_not_done_again(judged: Path, pristine: Path, tmp_path: Path) -> None:
    out = copied(judged, tmp_path / "out")
    before = content(out)
    seen: list[str] = []

    class Heard(Monitor):
        def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
            seen.append(stage)

    compare(pristine, out, SMALL, monitor=Heard())
    assert seen == []
    assert content(out) == before

    # A further reference, and fewer seeds.
    more = ComparisonRequest(references=("all-conv3x3",), seeds=1, max_params=16_000, max_macs=400_000)
    document = compare(pristine, out, more, monitor=Heard())
    assert seen == ["all-conv3x3", "corruptions"]
    assert [row["name"] for row in document["networks"]] == ["delivered", "all-conv3x3"]

    # A damaged network is trained again, and judged no other than before.
    weights = out / "networks" / "resnet-cell" / "seed-3" / "network.safetensors"
    weights.write_bytes(b"broken")
    seen.clear()
    compare(pristine, out, SMALL, monitor=Heard())
    assert seen == ["resnet-cell"]
    assert timeless(out)["compare.json"] == timeless(judged)["compare.json"]


@needs_timm
def test_a_timm_network_begins_with_the_weights_of_a_file(tmp_path: Path, lowland: Command) -> None:
    import timm

    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "own.safetensors")
    run = made(
        tmp_path / "run",
        {
            "data": {"image_size": 32, "limit": 200},
            "retrain": {"learning_rate": 1e-9, "weight_decay": 0.0, "epochs": 1},
        },
        last="train",
    )
    out = tmp_path / "out"
    asked = ("compare", run, "--with", f"timm:test_resnet@{tmp_path / 'own.safetensors'}", "--seeds", 1, "--no-fit")
    said = lowland(*asked, "--suites", "classification", "--out", out)
    assert said.code == 0, said.err
    (found,) = results(out).references
    assert (found.name, found.learned) == ("timm:test_resnet@own.safetensors", "own.safetensors")
    assert str(tmp_path) not in (out / "compare.json").read_text()
    assert "weights learned elsewhere (own.safetensors)" in " ".join(said.out.split())
    place = out / "networks" / "timm-test_resnet-own.safetensors" / "seed-3" / "network.safetensors"
    trained, begun = load_file(place), load_file(tmp_path / "own.safetensors")
    torch.testing.assert_close(trained["layer2.0.conv1.weight"], begun["layer2.0.conv1.weight"])
    before = place.stat().st_mtime_ns
    assert lowland(*asked, "--suites", "classification", "--out", out).code == 0
    assert place.stat().st_mtime_ns == before
    assert "above the budget" in lowland(*asked[:-1], "--out", tmp_path / "other").fault
    assert not (tmp_path / "other").exists()


@needs_timm
def test_a_timm_network_is_a_reference(tmp_path: Path) -> None:
    larger = {"data": {"name": "digits", "limit": 200, "image_size": 32}, "supernet": {"epochs": 1}}
    run = made(tmp_path / "run", larger, {"retrain": {"epochs": 1}}, last="train")
    request = ComparisonRequest(references=("timm:resnet10t",), seeds=1, max_params=20_000)
    document = compare(run, tmp_path / "out", request)
    row = document["networks"][1]
    assert (row["name"], row["family"]) == ("timm:resnet10t", "timm")
    assert row["parameters"] <= 20_000
    assert compare(run, tmp_path / "out", request) == document


def test_the_command_prints_a_table_and_the_answer(pristine: Path, tmp_path: Path, lowland: Command) -> None:
    out = tmp_path / "out"
    said = lowland("compare", pristine, "--seeds", 1, "--suites", "classification", "--out", out)
    assert said.code == 0, said.err
    # The usual references: one of the space, and one of another family, of which none is so small.
    assert "no comparison with mobilenetv3: reference mobilenetv3: a mobilenetv3-small network" in said.out
    assert "the best reference, resnet-cell" in said.out
    assert str(out / "compare.html") in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--with", "resnet-cel"], ["unknown reference 'resnet-cel'", "did you mean resnet-cell"]),
        (["--with", "published:rlnas"], ["unknown published network 'rlnas'"]),
        pytest.param(["--with", "timm:resnet10"], ["timm has no model 'resnet10'", "timm:resnet"], marks=needs_timm),
        (["--with", "resnet-cell,resnet-cell"], ["named twice"]),
        (["--with", "3,3,9"], ["reference '3,3,9' is no genotype of nasbench201"]),
        (["--with", "mobilenetv3"], ["reference mobilenetv3", "allow at least 18,570 parameters"]),
        pytest.param(["--with", "timm:vit_tiny_patch16_224"], ["cannot take images of 8 pixels"], marks=needs_timm),
        pytest.param(
            ["--with", "timm:resnet10t"],
            ["images of 8 pixels", "halves a map of one pixel", "data.image_size"],
            marks=needs_timm,
        ),
        (["--with", "resnet-cell", "--max-params", "100"], ["above the budget of 100 parameters", "allow at least"]),
        (["--max-params", "900"], ["none of the usual references", "--with"]),
        (["--with", "resnet-cell", "--max-macs", "many"], ["--max-macs", "many"]),
        (["--no-fit", "--max-params", "1M"], ["--no-fit"]),
        (["--seeds", "0"], ["--seeds 0 must be at least 1"]),
        (["--suites", "corruption"], ["'corruption'", "did you mean corruptions"]),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    arguments: list[str], words: list[str], pristine: Path, tmp_path: Path, lowland: Command
) -> None:
    said = lowland("compare", pristine, *arguments, "--out", tmp_path / "out")
    # Notes about usual references that do not fit go to the screen.
    fault = said.fault
    assert all(word in fault for word in words), fault
    assert list(tmp_path.iterdir()) == []


def test_runs_and_folders_that_cannot_be_compared(
    pristine: Path, judged: Path, tmp_path: Path, lowland: Command, finished: Path
) -> None:
    def fault(*arguments: object) -> str:
        return lowland("compare", *arguments).fault

    assert "is not a run directory" in fault(tmp_path / "nowhere", "--out", tmp_path / "out")
    untrained = made(tmp_path / "searched", last="search")
    assert "has no trained network to compare yet" in fault(untrained, "--out", tmp_path / "out")
    weights = finished / "network" / "network.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "is damaged" in fault(finished, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()

    assert "is a run directory; choose another --out" in fault(pristine, "--with", "resnet-cell", "--out", untrained)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").touch()
    assert "holds 'letter.txt'" in fault(pristine, "--with", "resnet-cell", "--out", tmp_path / "mine")
    other = fault(pristine, "--with", "resnet-cell", "--out", copied(judged, tmp_path / "judged"))
    assert "holds a comparison with another budget" in other


def test_inherited_weights_are_no_common_recipe(tmp_path: Path, lowland: Command) -> None:
    run = made(
        tmp_path / "run", {"network": {"norm": "batch"}, "retrain": {"inherit": True, "epochs": 1}}, last="train"
    )
    fault = lowland("compare", run, "--out", tmp_path / "out").fault
    assert "retrain.inherit=false" in fault


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["resnet-cell,all-conv3x3"], ("resnet-cell", "all-conv3x3")),
        (
            ["resnet-cell, timm:resnet10t", "published:rlnas-cifar10"],
            ("resnet-cell", "timm:resnet10t", "published:rlnas-cifar10"),
        ),
        (
            ["resnet-cell,resnet-cell@ibn,timm:resnet10t@pretrained", "timm:resnet10t@my weights/a.pth"],
            ("resnet-cell", "resnet-cell@ibn", "timm:resnet10t@pretrained", "timm:resnet10t@my weights/a.pth"),
        ),
        (["3,3,1,0,2,4"], ("3,3,1,0,2,4",)),
        (["k3e4,k3e3|k5e3|k5e6@56/56", "darts-v2"], ("k3e4,k3e3|k5e3|k5e6@56/56", "darts-v2")),
        (["mobilenetv3-small:1,1,0"], ("mobilenetv3-small:1,1,0",)),
        ([], ()),
    ],
)
def test_names_are_separated_by_commas_and_genotypes_are_whole(values: list[str], names: tuple[str, ...]) -> None:
    assert reference_names(values) == names
