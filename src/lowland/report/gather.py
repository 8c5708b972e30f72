"""From a run directory to the facts of its report. Stages that were not run are left out."""

from __future__ import annotations

import platform
from typing import Any

from lowland import spaces
from lowland.config import dump
from lowland.genotype import Genotype
from lowland.report.facts import (
    Asked,
    Candidate,
    Classification,
    Commands,
    Curve,
    Data,
    Epoch,
    Estimate,
    Network,
    ReportFacts,
    Search,
    Shift,
    Stage,
    Training,
)
from lowland.run import ARCHIVE, STAGES, Run
from lowland.search import Archive

LABELS = {"winner": "found network", "random": "random genotype", "retrained": "found network, retrained"}
"""What the loss curves are called; genotypes are too long for a figure."""


def gather(run: Run) -> ReportFacts:
    """Everything the report of `run` shows, read from its directory."""
    config, manifest = run.config, run.manifest
    space = spaces.get(config.space)
    searched = run.read_json("search.json") if run.stage_done("search") else None
    judged = run.read_json("evaluation.json") if run.stage_done("evaluate") else {}
    best = Genotype(config.space, tuple(searched["ranking"][0]["genes"])) if searched is not None else None
    data = manifest.get("data", {})
    return ReportFacts(
        run=run.path.absolute().name,
        created=manifest["created"],
        version=manifest["lowland"],
        asked=Asked(
            data=Data(
                name=data.get("name", config.data.name),
                classes=tuple(data.get("classes", ())),
                image_size=data.get("image_size", 0),
                channels=data.get("in_channels", 0),
                train=data.get("train", 0),
                search=data.get("search", 0),
                test=data.get("test", 0),
            ),
            space=config.space,
            space_size=space.size,
            measure=config.measure.name,
            strategy=config.search.strategy,
            seed=config.seed,
            max_params=config.search.max_params,
            max_macs=config.search.max_macs,
            settings=_settings(run),
        ),
        commands=Commands(
            search=f"lowland search {run.path}",
            retrain=f"lowland train {run.path}",
            evaluate=f"lowland evaluate {run.path}",
        ),
        config_yaml=dump(config),
        environment=_environment(judged.get("environment", manifest.get("environment", {}))),
        stages=tuple(
            Stage(name=name, seconds=manifest["stages"][name]["seconds"], detail=_detail(run, name))
            for name in STAGES
            if run.stage_done(name)
        ),
        search=_search(run, searched) if searched is not None else None,
        cells=tuple(space.graphs(best)) if best is not None else (),
        networks=_networks(run, searched["ranking"], judged.get("networks", {})) if searched is not None else (),
        curves=tuple(
            Curve.of(curve, label=LABELS[curve["kind"]], kind=curve["kind"], images=curve["images"])
            for curve in judged.get("curves", ())
        ),
        training=_training(run),
        loading=_loading(run) if run.stage_done("train") else "",
    )


def _settings(run: Run) -> tuple[tuple[str, str], ...]:
    config = run.config
    return (
        ("preset", config.preset),
        (
            "supernet",
            f"{config.supernet.channels} channels, {config.supernet.cells} cells, {config.supernet.epochs} epochs",
        ),
        ("noise levels σ", ", ".join(f"{sigma:g}" for sigma in config.measure.sigmas)),
        ("delivered network", f"{config.network.channels} channels, {config.network.cells} cells"),
        ("retraining", f"{config.retrain.epochs} epochs, {config.retrain.optimizer}, recipe {config.retrain.recipe}"),
    )


def _environment(facts: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", " "), str(value)) for name, value in facts.items()) or (
        ("python", platform.python_version()),
    )


def _detail(run: Run, stage: str) -> str:
    facts = run.manifest["stages"][stage]["facts"]
    if stage == "supernet":
        return f"{facts['images_per_second']:,.0f} training images per second"
    if stage == "search":
        failed = f", {facts['failed']} failed" if facts["failed"] else ""
        return f"{facts['proposed']} candidates{failed}"
    if stage == "train":
        return f"{facts['networks']} network{'s' if facts['networks'] > 1 else ''} from scratch"
    return ""


def _search(run: Run, searched: dict[str, Any]) -> Search:
    run.require_intact(ARCHIVE)
    with Archive(run.path / ARCHIVE, read_only=True) as archive:
        found = archive.candidates(searched["measure"], order="created")
    scored = [(index, candidate) for index, candidate in enumerate(found) if candidate.status == "scored"]
    first = tuple(searched["ranking"][0]["genes"])
    return Search(
        candidates=tuple(
            Candidate(
                index=index,
                generation=candidate.generation,
                origin=candidate.origin,
                parameters=candidate.parameters,
                macs=candidate.macs,
                score=candidate.value,
            )
            for index, candidate in scored
            if candidate.value is not None
        ),
        winner=next(index for index, candidate in scored if candidate.genotype.genes == first),
        failed=len(found) - len(scored),
        images=searched["images"],
        score_error=searched["ranking"][0]["standard_error"],
    )


def _networks(run: Run, ranking: list[dict[str, Any]], judged: dict[str, Any]) -> tuple[Network, ...]:
    rows = []
    for rank, entry in enumerate(ranking[: max(5, run.config.retrain.top)], start=1):
        result = judged.get(str(rank), {})
        rows.append(
            Network(
                rank=rank,
                genotype=entry["genotype"],
                parameters=entry["parameters"],
                macs=entry["macs"],
                score=Estimate(value=entry["value"], standard_error=entry["standard_error"]),
                test=Classification(**result["test"]) if "test" in result else None,
                shift=Shift.of(result["shift"]) if "shift" in result else None,
            )
        )
    return tuple(rows)


def _training(run: Run) -> Training | None:
    if not run.stage_done("train"):
        return None
    losses = run.read_json("training.json")["1"]["loss"]
    epochs = tuple(Epoch(epoch=number, loss=loss) for number, loss in enumerate(losses, start=1))
    return Training(label="The found network", epochs=epochs)


def _loading(run: Run) -> str:
    return "\n".join(
        (
            "import lowland",
            "from PIL import Image",
            "",
            f"network = lowland.load({str(run.path.absolute() / 'network')!r})",
            'network.predict(Image.open("picture.png"))  # [(class, probability)]',
            "logits = network(network.preprocess([image, another]))  # (2, classes)",
        )
    )
