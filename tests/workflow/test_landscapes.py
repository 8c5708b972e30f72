"""`lowland landscape`: curves and planes of several networks, what is kept, what is trained, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import lowland
from lowland.core.errors import ConfigError, DataError, InterruptedRun, RunError
from lowland.core.monitor import Monitor
from lowland.evaluation.landscapes import NetworkLandscape
from lowland.measures.landscape import Flatness
from lowland.report import landscape_page
from lowland.workflow.landscape import LandscapeRequest, landscape
from lowland.workflow.presets import assemble
from whole_runs import Command, content, copied

SMALL = LandscapeRequest(networks=(), images=40, sigmas=(0.01, 0.05), draws=2, points=3, plane_images=20)


def drawn(out: Path, *networks: object, request: LandscapeRequest = SMALL, monitor: Monitor | None = None) -> dict:  # type: ignore[type-arg]
    asked = replace(request, networks=tuple(map(str, networks)))
    return landscape(assemble(), out, asked, data_given=False, monitor=monitor)


@pytest.fixture(scope="module")
def two(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Landscapes of a run and of a network folder; never change it."""
    place = tmp_path_factory.mktemp("landscapes")
    copied(pristine / "network", place / "<b>network</b>")
    drawn(place / "out", pristine, place / "<b>network</b>")
    return place / "out"


def test_what_is_found_is_what_flatness_finds(two: Path, pristine: Path) -> None:
    document = json.loads((two / "landscape.json").read_text())
    first, second = map(NetworkLandscape.from_json, document["networks"])
    assert (first.losses, first.plane) == (second.losses, second.plane)  # the same network, from two places
    assert first.sigmas == (0.0, 0.01, 0.05)
    assert (first.images, first.draws, document["data"]["split"]) == (40, 2, "search")
    assert first.plane is not None
    assert (len(first.plane.losses), first.plane.images) == (3, 20)
    network = lowland.load(pristine)
    found = json.loads(json.dumps(first.to_json()))
    assert NetworkLandscape.from_json(found) == first
    assert first.parameters == sum(p.numel() for p in network.parameters())


def test_the_page_shows_the_document_and_nothing_else(two: Path) -> None:
    document = json.loads((two / "landscape.json").read_text())
    page = (two / "landscape.html").read_text()
    assert page == landscape_page.render(document)
    assert page.count("<svg") == 4  # the brand, the curves, two planes
    assert "<b>network" not in page
    assert "&lt;b&gt;network" in page
    assert "40 search images, 2 mirrored draws" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_further_network_measures_no_other_again(
    two: Path, pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copied(two, tmp_path / "out")
    network = copied(pristine / "network", tmp_path / "third")

    def never(*_: object, **__: object) -> Flatness:
        raise AssertionError("measured again")

    monkeypatch.setattr("lowland.workflow.landscape.flatness", never)
    document = drawn(out, network, pristine)
    assert [each["name"] for each in document["networks"]] == [str(network), str(pristine)]


def test_a_stop_keeps_what_was_measured(pristine: Path, pristine_darts: Path, tmp_path: Path) -> None:
    class Stops(Monitor):
        def check(self) -> None:
            raise InterruptedRun("stopped")

    with pytest.raises(InterruptedRun, match="run the same command again"):
        drawn(tmp_path / "out", pristine, pristine_darts, monitor=Stops())
    kept = list((tmp_path / "out" / "measured").iterdir())
    assert len(kept) == 1
    before = kept[0].read_bytes()
    document = drawn(tmp_path / "out", pristine, pristine_darts)
    assert len(document["networks"]) == 2
    assert kept[0].read_bytes() == before


def test_several_networks_in_the_terminal(
    lowland: Command, pristine: Path, pristine_darts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--images", 20, "--draws", 1, "--no-plane", "--sigmas", "0.01,0.02", "--out", out)
    said = lowland("landscape", pristine, pristine_darts, *map(str, options))
    assert said.code == 0, said.err
    assert "20 search images, 1 mirrored draw of absolute noise" in said.out
    assert f"page     {out / 'landscape.html'}" in said.out
    told = json.loads(lowland("landscape", pristine, pristine_darts, *map(str, options), "--json").out)
    assert told == json.loads((out / "landscape.json").read_text())
    assert [each["plane"] for each in told["networks"]] == [None, None]


def test_never_a_landscape_of_random_weights(lowland: Command, pristine: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fault = lowland("landscape", pristine, "published:genas-flatness-c100", "--out", out).fault
    assert "has no trained weights" in fault
    assert "--train" in fault
    assert "6 epochs" in fault
    assert "name a run beside it" in lowland("landscape", "resnet-cell", "--out", out).fault
    assert not out.exists()


@pytest.mark.slow
def test_references_are_trained_by_the_recipe_of_the_first_run(pristine: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    request = replace(SMALL, train=True)
    document = drawn(out, pristine, "resnet-cell", "published:genas-flatness-c100", request=request)
    run, cell, published = document["networks"]
    assert cell["parameters"] <= run["parameters"]
    assert published["origin"].startswith("trained by the recipe of")
    trained = json.loads((out / "networks" / "resnet-cell" / "seed-3" / "trained.json").read_text())
    assert len(trained["loss"]) == 6
    before = content(out)
    assert drawn(out, pristine, "resnet-cell", "published:genas-flatness-c100", request=request) == document
    assert content(out) == before


def test_bad_input(pristine: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="there is no folder nosuch"):
        drawn(out, "nosuch")
    with pytest.raises(ConfigError, match="named twice"):
        drawn(out, pristine, pristine)
    with pytest.raises(ConfigError, match="--sigmas must be at least two"):
        drawn(out, pristine, request=replace(SMALL, sigmas=(0.1, 0.1)))
    with pytest.raises(ConfigError, match="odd number of points"):
        drawn(out, pristine, request=replace(SMALL, points=4))
    with pytest.raises(ConfigError, match="--split 'best' is unknown"):
        drawn(out, pristine, request=replace(SMALL, split="best"))
    with pytest.raises(ConfigError, match="name them with --data"):
        drawn(out, pristine / "network")
    with pytest.raises(DataError, match="takes images of 1 channels and 8 pixels, and fashion-mnist-6k has 1 and 28"):
        landscape(
            assemble({"data": {"name": "fashion-mnist-6k"}}),
            out,
            replace(SMALL, networks=(str(pristine),)),
            data_given=True,
        )
    assert not out.exists()
    (out / "mine").mkdir(parents=True)
    with pytest.raises(RunError, match="not a folder of landscapes"):
        drawn(out, pristine)
    with pytest.raises(RunError, match="is a run directory"):
        drawn(pristine, pristine)


def test_a_network_of_its_own_classes_is_refused(pristine: Path, tmp_path: Path) -> None:
    folder = copied(pristine / "network", tmp_path / "other")
    from lowland.delivery.description import digest

    values = json.loads((folder / "network.json").read_text())
    values.pop("digest")
    values["classes"][0] = "naught"
    (folder / "network.json").write_text(json.dumps(values | {"digest": digest(values)}))
    with pytest.raises(DataError, match="names 10 classes \\(naught, "):
        drawn(tmp_path / "out", pristine, folder)


def test_the_sentence_tells_lowest_and_flattest() -> None:
    def network(name: str, losses: tuple[float, float], error: float) -> NetworkLandscape:
        return NetworkLandscape(
            name=name,
            origin="",
            genotype="",
            parameters=1,
            images=9,
            draws=2,
            sigmas=(0.0, 0.1),
            losses=losses,
            errors=(error, error),
            top1=50.0,
            top1_error=1.0,
            flatness=1.0,
            flatness_error=None,
            plane=None,
        )

    low, flat = network("low", (0.1, 0.5), 0.01), network("flat", (0.9, 1.0), 0.01)
    assert landscape_page.sentence([flat, low]) == (
        "At σ = 0.1 the loss is lowest around low, 0.500\xa0±\xa00.010 nats (next: flat, 1.000\xa0±\xa00.010), "
        "and rises least around flat, by 0.1."
    )
    assert "do not tell the two apart" in landscape_page.sentence([network("a", (0.1, 0.5), 0.4), flat])
    assert landscape_page.sentence([low]) == ""
