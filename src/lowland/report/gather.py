"""From a run directory to the facts of its report. Stages that were not run are left out."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import numpy as np

from lowland.core.settings import dump
from lowland.evaluation.section import Estimate, Figure, SuiteSection
from lowland.report import named
from lowland.report.facts import (
    Asked,
    Commands,
    Data,
    Epoch,
    Finalist,
    Judged,
    Network,
    ReportFacts,
    Stage,
    Standing,
    Training,
)
from lowland.report.halving_facts import halving
from lowland.report.search_facts import MOST_CANDIDATES, Pareto, Relaxed, ScoredCandidate, Search, sample
from lowland.report.sections import exports, generic, of_suite
from lowland.search import Archive, order
from lowland.search.aggregation import parts
from lowland.search.places import Place
from lowland.search.scored import order_of, scored
from lowland.store.artifacts import Exports, Searched, SuiteRecord, Trained, evaluated
from lowland.store.run import ARCHIVE, STAGES, Run


def gather(run: Run) -> ReportFacts:
    """Everything the report of `run` shows, read from its directory."""
    config, manifest = run.config, run.manifest
    searched = Searched.read(run) if run.stage_done("search") else None
    records = evaluated(run) if run.stage_done("evaluate") else []
    # A searcher that keeps no archive has a ranking only.
    search = None
    if searched is not None and searched.measure is not None:
        search = _search(run, searched)
    pareto = None
    if search is not None and searched is not None and searched.pareto is not None:
        pareto = Pareto.of(searched.pareto, search.candidates)
    data = manifest.get("data", {})
    facts = ReportFacts(
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
            space_size=named.space_size(config, searched),
            measure=named.measure(config, searched),
            strategy=searched.summary["strategy"] if searched is not None else config.search.strategy,
            seed=config.seed,
            objectives=named.objectives(config, searched),
            finetuned=config.finetune.epochs,
            shortlist=(config.search.shortlist, config.search.shortlist_measure) if config.search.shortlist else None,
            finalists=config.search.finalists,
            inherit=config.retrain.inherit,
            trained_on_search=config.retrain.include_search_split,
            max_params=config.search.max_params,
            max_macs=config.search.max_macs,
            settings=_settings(run),
        ),
        commands=Commands(
            search=f"lowland search {run.path}",
            retrain=f"lowland train {run.path}",
            evaluate=f"lowland evaluate {run.path}",
            details=f"lowland resume {run.path} --restart evaluate",
        ),
        config_yaml=dump(config),
        environment=_environment(records[0].environment if records else manifest.get("environment", {})),
        stages=tuple(
            Stage(
                name=name,
                seconds=manifest["stages"][name]["seconds"],
                detail=_detail(run, name),
                planned=_planned(manifest, name),
            )
            for name in STAGES
            if run.stage_done(name)
        ),
        search=search,
        pareto=pareto,
        halving=halving(searched, run.config) if searched is not None and config.search.finalists else None,
        relaxed=Relaxed.of(searched.relaxed) if searched is not None and searched.relaxed is not None else None,
        cells=named.cells(config, searched) if searched is not None else (),
        networks=_networks(run, searched, pareto) if searched is not None else (),
        training=_training(run),
        loading=_loading(run) if run.stage_done("train") else "",
    )
    for record in records:
        facts = of_suite(record.suite).fill(facts, _judged(record))
    exported = Exports.read(run)
    return facts if exported is None else generic.fill(facts, exports.judged(exported.forms))


def _judged(record: SuiteRecord) -> Judged:
    """What a suite left, as the report's sections read it."""
    figures = {rank: tuple(Figure(**each) for each in found) for rank, found in (record.figures or {}).items()}
    section = SuiteSection.from_json(record.section) if record.section is not None else None
    return Judged(suite=record.suite, results=record.results, figures=figures, section=section)


def _settings(run: Run) -> tuple[tuple[str, str], ...]:
    config = run.config
    sigmas = config.measure.options.get("flatness", {}).get("sigmas", ())
    return (
        ("preset", config.preset),
        (
            "supernet",
            f"{config.supernet.channels} channels, {config.supernet.cells} cells, {config.supernet.epochs} epochs",
        ),
        *((("noise levels σ", ", ".join(f"{sigma:g}" for sigma in sigmas)),) if sigmas else ()),
        (
            "under noise",
            f"{config.measure.draws} draw{'s' if config.measure.draws > 1 else ''}, "
            + (f"at most {config.measure.noise_images} images" if config.measure.noise_images else "all scored images"),
        ),
        *((("generations", _without_generations(config.search.lag)),) if config.search.lag is not None else ()),
        ("delivered network", f"{config.network.channels} channels, {config.network.cells} cells"),
        ("retraining", f"{config.retrain.epochs} epochs, {config.retrain.optimizer}, recipe {config.retrain.recipe}"),
    )


def _without_generations(lag: int) -> str:
    return f"none: each candidate was chosen by the scores of all before it{f' but the latest {lag}' if lag else ''}"


def _environment(facts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", " "), str(value)) for name, value in facts.items()) or (
        ("python", platform.python_version()),
    )


def _detail(run: Run, stage: str) -> str:
    facts = run.manifest["stages"][stage]["facts"]
    if "skipped" in facts:
        return f"left out: {facts['skipped']}"
    if stage == "supernet":
        return f"{facts['images_per_second']:,.0f} training images per second"
    if stage == "search":
        failed = f", {facts['failed']} failed" if facts["failed"] else ""
        if run.config.search.searcher != "one-shot":
            return f"{facts['proposed']} genotypes by {run.config.search.searcher}"
        raced = f", {facts['raced_out']} left out after few images" if facts.get("raced_out") else ""
        return f"{facts['proposed']} candidates{raced}{failed}"
    if stage == "train":
        start = "from inherited weights" if run.config.retrain.inherit else "from scratch"
        return f"{facts['networks']} network{'s' if facts['networks'] > 1 else ''} {start}"
    return ""


def _search(run: Run, searched: Searched) -> Search:
    run.require_intact(ARCHIVE)
    ordered = order.combined(run.config, searched) != "sum"
    with Archive(run.path / ARCHIVE, read_only=True) as archive:
        found = scored(run.config, searched, archive)
        places_N = order_of(found) if ordered else None
        # A front needs every candidate.
        most = len(found.values_N) if searched.pareto is not None else MOST_CANDIDATES
        heights_N = found.values_N if places_N is None else -places_N.astype(np.float64)
        chosen = sample(heights_N, found.winner, most)
        candidates = tuple(
            _candidate(position, place, int(places_N[position]) if places_N is not None else None)
            for position, place in zip(chosen, found.at(chosen), strict=True)
        )
    best = searched.ranking[0]
    judged = _robustness(best.details)
    return Search(
        candidates=candidates,
        winner=found.winner,
        failed=searched.summary["failed"],
        images=searched.images,
        score_error=best.standard_error,
        noise=(judged["sigma"], judged["draws"]) if judged is not None else None,
        scored=len(found.values_N),
        ordered=ordered,
        delivered=best.finalist is None or best.finalist.get("name") is None,
    )


def _candidate(index: int, place: Place, by_measure: int | None) -> ScoredCandidate:
    """A scored candidate of the archive as the report shows it; ValueError where it is none."""
    archived = place.candidate
    if archived.value is None:
        raise ValueError(f"{archived.genotype} has no score")
    judged = _robustness(archived.details)
    error = robustness = None
    if judged is not None:
        error = Estimate(value=judged["error_percent"], standard_error=judged["error_percent_standard_error"])
        robustness = Estimate(value=judged["robustness"], standard_error=judged["robustness_standard_error"])
    return ScoredCandidate(
        index=index,
        generation=archived.generation,
        origin=archived.origin,
        parameters=archived.parameters,
        macs=archived.macs,
        score=archived.value,
        place=by_measure,
        genotype=place.genotype,
        error=error,
        robustness=robustness,
    )


def _robustness(details: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a measure with R keeps, alone or as the first such part of a sum; None where there is none."""
    parts = [details, *(part for part in details.values() if isinstance(part, dict))]
    return next((part for part in parts if "robustness" in part and "error_percent" in part), None)


def _networks(run: Run, searched: Searched, pareto: Pareto | None) -> tuple[Network, ...]:
    points = {}
    if pareto is not None and searched.pareto is not None:
        genes = (tuple(row["genes"]) for row in searched.pareto["candidates"])
        points = dict(zip(genes, pareto.points, strict=True))
    standings = order.standings(run.config, searched)
    listed = order.shortlist_standings(run.config, searched)
    rows = []
    for rank, entry in enumerate(searched.ranking[: max(5, run.config.retrain.top)], start=1):
        final, second = entry.finalist, entry.shortlist
        place = standings[rank - 1] if standings is not None else None
        shortlist: Estimate | Standing | None = None
        if second is not None:
            shortlist = Estimate(value=second["value"], standard_error=second["standard_error"])
        if listed is not None:
            found = listed[rank - 1]
            shortlist = Standing(*found) if found is not None else None
        rows.append(
            Network(
                rank=rank,
                genotype=entry.genotype,
                parameters=entry.parameters,
                macs=entry.macs,
                score=Estimate(value=entry.value, standard_error=entry.standard_error)
                if entry.value is not None and standings is None
                else None,
                place=Standing(place, searched.summary["scored"]) if place is not None else None,
                objectives=points[entry.genes].objectives if points else (),
                shortlist=shortlist,
                finalist=None if final is None else _finalist(final),
            )
        )
    return tuple(rows)


def _planned(manifest: Mapping[str, Any], stage: str) -> float | None:
    """Seconds that a stage was expected to take; a manifest may be anybody's."""
    plan = manifest.get("plan")
    value = plan.get(stage) if isinstance(plan, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def _finalist(facts: Mapping[str, Any]) -> Finalist:
    """How far a design came; of runs that knew no rungs, after its only short training."""
    if "rungs" not in facts:
        percent, error = 100 * facts["accuracy"], 100 * facts["standard_error"]
        value = Estimate(value=percent, standard_error=error, n=facts["images"])
        return Finalist(value=value, rungs=1, measure="accuracy", unit="top-1, %")
    rungs = [row for row in facts["rungs"] if "value" in row]
    # Of a sum, which is only an order, the rung is all that is told.
    unit = bool(rungs) and not parts(rungs[-1].get("details", {}))
    last = Estimate(value=rungs[-1]["value"], standard_error=rungs[-1]["standard_error"]) if unit else None
    return Finalist(value=last, rungs=len(facts["rungs"]), measure=facts["measure"], name=facts["name"])


def _training(run: Run) -> Training | None:
    if not run.stage_done("train"):
        return None
    losses = Trained.read(run).networks["1"]["loss"]
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
