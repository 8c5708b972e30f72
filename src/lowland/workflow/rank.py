"""`lowland rank`: many measures on one supernet or several, and how well each orders genotypes as ground truth does.

The folder it writes holds `run/` (the supernet, a run directory as any other; not made where an existing run is
given), `archive.sqlite` (every score, durable), `rank.json` (settings, environment, statistics, scores) and
`rank.html`. The same command again goes on where it stopped, or only repeats the statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from lowland import measures as measuring
from lowland import spaces
from lowland._version import __version__
from lowland.core.config import Config, MeasureConfig, build
from lowland.core.device import environment
from lowland.core.errors import ConfigError, DataError, InterruptedRun, RunError
from lowland.core.files import explained, write_json
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.settings import merge
from lowland.core.torch_settings import settings_kept
from lowland.evaluation.ranking import statistics as ranking
from lowland.evaluation.ranking.statistics import Array, Bootstrap
from lowland.evaluation.ranking.truth import TRUTH_COLUMN, Truth, read_truth
from lowland.measures.aggregation import log_rank_sum, rank_sum
from lowland.measures.combined import combination
from lowland.measures.expression import terms
from lowland.report import ranking_page
from lowland.search import Archive, Candidate, Evaluator, Proposal, Scorer
from lowland.search.aggregation import aggregated
from lowland.store.lock import Lock
from lowland.store.manifest import LOCK, MANIFEST, now
from lowland.store.run import ARCHIVE, Run
from lowland.training.parallel import join
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble
from lowland.workflow.scoring import IMAGES, measure_identity, scorers
from lowland.workflow.session import Session

MEASURES = ("accuracy", "loss", "angle", "flatness", "angle+flatness")
LEAST = 10
"""Fewest genotypes worth a rank correlation."""

RUN, RESULT, PAGE = "run", "rank.json", "rank.html"
FORMAT = 2
"""Version of the layout of rank.json."""

FIXED = ("seed", "preset", "space", "data", "supernet")
"""Sections of the settings that decide the supernet; the others may differ from those it was trained with."""

SUMS = {"rank sum": rank_sum, "log-rank sum": log_rank_sum}
"""Kinds of rows that combine the ranks by several measures."""


@dataclass(frozen=True, kw_only=True)
class RankingRequest:
    """What is to be ranked, and against what.

    Attributes:
        truth: File of ground truth (`lowland.evaluation.ranking.truth`).
        measures: Measure expressions (`lowland.measures.expression`), such as `angle+flatness` or `flatness(alpha=0)`.
        rank_sums: Further rows, each the sum of the ranks that some measures give (no weights, no labels).
        log_rank_sums: Further rows, each the sum of the logarithms of such ranks.
        sample: Genotypes taken from the truth, one per isomorphism class; 0: all.
        sample_seed: Decides which. It is no part of the run's seed, so that supernets are compared on equal genotypes.
        truth_column: Column of accuracies in distribution.
        shift_column: Column of accuracies under shift; None: `corrupt_mean` where there is one.
        resamples: Bootstrap resamples behind each interval.
    """

    truth: Path
    measures: tuple[str, ...] = MEASURES
    rank_sums: tuple[tuple[str, ...], ...] = ()
    log_rank_sums: tuple[tuple[str, ...], ...] = ()
    sample: int = 1000
    sample_seed: int = 0
    truth_column: str = TRUTH_COLUMN
    shift_column: str | None = None
    resamples: int = 1000

    @property
    def scored(self) -> tuple[str, ...]:
        """Every measure that needs scores: those asked for, then parts of rank sums besides."""
        parts = [part for sums in self.sums.values() for parts in sums for part in parts]
        return tuple(dict.fromkeys([*self.measures, *parts]))

    @property
    def sums(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """The parts of every further row, by kind (a key of `SUMS`)."""
        return {"rank sum": self.rank_sums, "log-rank sum": self.log_rank_sums}


@settings_kept()
def rank(
    request: RankingRequest,
    out: Path,
    layers: Sequence[dict[str, Any]] = (),
    *,
    supernets: Sequence[Path] = (),
    monitor: Monitor | None = None,
) -> dict[str, Any]:
    """Score the sampled genotypes by every measure and compare with the truth.

    With several supernets a measure's value is the sum of the ranks that it gives on each of them: what a measure of
    trained weights says depends on the one training run, and much of that is averaged away.

    Args:
        request: What is to be ranked.
        out: Folder to make, or to go on with.
        layers: Settings, weakest first. Of an existing supernet those that decide it cannot be changed.
        supernets: Run directories whose trained supernets are used, read only; none: one is trained in `out`/run.
        monitor: Hears how it goes.

    Returns:
        What rank.json holds.

    Raises:
        LowlandError: a setting, the truth, the data or the machine does not allow it; nothing is then written.
        InterruptedRun: the monitor asked for a stop; the same command goes on.
    """
    monitor = monitor or Monitor()
    if join().size > 1:
        raise ConfigError("lowland rank runs in one process; train the supernet with torchrun, then give --supernet")
    home = supernets[0] if supernets else out / RUN
    begun = (home / MANIFEST).is_file()
    config = settings(home, layers, exact=not supernets) if begun or supernets else assemble(*layers)
    others = {path: settings(path, layers, exact=False) for path in supernets[1:]}
    require_alike(supernets, config, others)
    request = checked(request, config)
    require_free(out)
    truth = read_truth(
        request.truth,
        spaces.get(config.space),
        column=request.truth_column,
        shift_column=request.shift_column,
    )
    chosen = truth.sample(request.sample, request.sample_seed)
    if len(chosen) < LEAST:
        raise DataError(
            f"truth file {truth.path} holds {len(chosen)} different architectures, but a rank correlation needs at "
            f"least {LEAST}; add some rows"
        )
    # Before the data's path is made absolute, so that a fault is told in the person's own words.
    data = None if begun else pipeline.check(config)
    config = pipeline.with_absolute_paths(config)
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    lock = Lock(out / LOCK)
    try:
        for leftover in out.glob(".*.tmp"):  # of a stop within an atomic write
            leftover.unlink()
        if not supernets:
            if not begun:
                Run.create(home, config).close()
            pipeline.resume(home, monitor=monitor, last="supernet", data=data)
        with ExitStack() as stack:
            sessions = []
            for path, wanted in {home: config, **others}.items():
                opened = stack.enter_context(Run.open(path, read_only=True))
                opened.config = wanted  # read only: nothing of the run is changed
                sessions.append(Session(opened, monitor, given=data))
            document = judged(request, truth, chosen, sessions, out)
        write_json(out / RESULT, document)
        ranking_page.write(document, out / PAGE)
    except InterruptedRun as stop:
        raise InterruptedRun("stopped at a safe point; run the same command again to go on") from stop
    finally:
        lock.release()
    return document


def settings(home: Path, layers: Sequence[dict[str, Any]], *, exact: bool) -> Config:
    """The settings of the run at `home` under those of `layers`, or with `exact` the layers' and defaults alone.

    Raises:
        ConfigError: what decides the supernet would be another.
        RunError: there is no such run, or it is not one that can be used.
    """
    with Run.open(home, read_only=True) as opened:
        old = opened.config
        if not exact and not opened.stage_done("supernet"):
            raise RunError(f"run {home} has no trained supernet yet; make it with `lowland supernet {home}`")
    new = assemble(*layers) if exact else build(reduce(merge, layers, old.model_dump(mode="json")))
    new = pipeline.with_absolute_paths(new)
    for section in FIXED:
        if getattr(new, section) != getattr(old, section):
            remedy = "choose another --out" if exact else "leave that setting out, or train another supernet"
            raise ConfigError(f"{section} differs from what the supernet in {home} was trained with; {remedy}")
    return new


def require_alike(supernets: Sequence[Path], config: Config, others: Mapping[Path, Config]) -> None:
    """Raise ConfigError where supernets that are to judge together differ in more than their training and seed."""
    places = [path.resolve() for path in supernets]
    twice = next((path for path, place in zip(supernets, places, strict=True) if places.count(place) > 1), None)
    if twice is not None:
        raise ConfigError(f"--supernet {twice} is given twice; give each run once")
    for path, other in others.items():
        for section in ("space", "data", "measure"):
            if getattr(other, section) != getattr(config, section):
                raise ConfigError(
                    f"{section} of {path} differs from that of {supernets[0]}; supernets that judge together must "
                    "differ only in how they were trained and in their seed"
                )


def checked(request: RankingRequest, config: Config) -> RankingRequest:
    """The request with every measure spelled as its label says; ConfigError where it cannot be asked."""
    if not request.measures:
        raise ConfigError("--measures names no measure; `lowland measures` lists them")

    def spelled(option: str, names: tuple[str, ...], least: int = 1) -> tuple[str, ...]:
        found = []
        for name in names:
            own = config.measure.model_copy(update={"name": name})
            measuring.get(own)
            found.append("+".join(term.label for term in terms(own)))
        if len(set(found)) < len(found):
            raise ConfigError(f"{option} {','.join(names)} names a measure twice; name each once")
        if len(found) < least:
            raise ConfigError(f"{option} {','.join(names)} must name two measures or more, separated by commas")
        return tuple(found)

    if request.sample and request.sample < LEAST:
        raise ConfigError(f"--sample {request.sample} must be at least {LEAST} for a rank correlation, or 0 for all")
    if request.resamples < 1:
        raise ConfigError(f"--resamples {request.resamples} must be at least 1")
    return replace(
        request,
        measures=spelled("--measures", request.measures),
        rank_sums=tuple(spelled("--rank-sum", parts, 2) for parts in request.rank_sums),
        log_rank_sums=tuple(spelled("--log-rank-sum", parts, 2) for parts in request.log_rank_sums),
    )


def require_free(out: Path) -> None:
    """Raise RunError where `out` holds anything but an earlier ranking."""
    if (out / MANIFEST).exists():
        raise RunError(f"{out} is a run directory; to rank with its supernet give --supernet {out} and another --out")
    own = {RUN, RESULT, PAGE, LOCK, ARCHIVE, f"{ARCHIVE}-wal", f"{ARCHIVE}-shm"}
    others = sorted(p.name for p in out.iterdir() if p.name not in own and p.suffix != ".tmp") if out.is_dir() else []
    if others:
        raise RunError(f"{out} is not empty and not a ranking (it holds {others[0]!r}); choose another --out")


def judged(
    request: RankingRequest, truth: Truth, chosen: list[int], sessions: Sequence[Session], out: Path
) -> dict[str, Any]:
    """Score the chosen genotypes and put together what rank.json holds."""
    session = sessions[0]
    genotypes = [truth.genotypes[place] for place in chosen]
    columns = {name: values[chosen] for name, values in truth.columns.items()}
    scored: dict[str, list[list[Candidate]]] = {name: [] for name in request.scored}
    with Archive(out / ARCHIVE) as archive:
        for each in sessions:
            with scorers(each, count_images=True) as scorer:
                for name, found in scored.items():
                    found.append(scores(name, genotypes, next(iter(columns.values())), each, archive, scorer))
    apart = {
        name: [valued(found, session.config.measure.model_copy(update={"name": name})) for found in candidates]
        for name, candidates in scored.items()
    }
    values = {name: arrays[0] if len(arrays) == 1 else summed(arrays, rank_sum) for name, arrays in apart.items()}
    kinds = dict.fromkeys(values, "measure")
    for kind, sums in request.sums.items():
        for parts in sums:
            name = f"{kind} of {', '.join(parts)}"
            values[name] = summed([values[part] for part in parts], SUMS[kind])
            kinds[name] = kind
    session.monitor.start("statistics", len(values), "measure")
    statistics = Statistics(values, columns, request)
    rows = []
    for index, name in enumerate(values, start=1):
        facts = row(name, kinds[name], values[name], scored.get(name, []), statistics)
        if len(apart.get(name, [])) > 1:
            facts["alone"] = {
                column: [ranking.agreement(array, true_N) for array in apart[name]]
                for column, true_N in columns.items()
            }
        rows.append(facts)
        session.monitor.advance(index)
        session.monitor.check()
    session.monitor.finish()
    config, manifest = session.config, session.run.manifest
    return {
        "format": FORMAT,
        "created": now(),
        "truth": {
            "file": str(truth.path),
            "sha256": truth.digest,
            "columns": list(columns),
            "architectures": len(truth.genotypes),
            "classes": len(set(truth.classes)),
            "skipped": truth.skipped,
        },
        "settings": {
            "sample": len(genotypes),
            "sample_seed": request.sample_seed,
            "resamples": request.resamples,
            "confidence": ranking.CONFIDENCE,
            "top": ranking.TOP,
            "config": config.model_dump(mode="json"),
        },
        "data": manifest.get("data", {}),
        "supernets": [trained(each) for each in sessions],
        "environment": environment(session.compute) | {"scipy": scipy.__version__},
        "lowland": __version__,
        "measures": rows,
        "references": statistics.references(),
        "agreement": [[ranking.agreement(first, second) for second in values.values()] for first in values.values()],
        "differences": statistics.differences(),
        "genotypes": [
            {
                "genotype": session.space.format(genotype),
                "genes": list(genotype.genes),
                "truth": {name: float(column[index]) for name, column in columns.items()},
                "scores": {name: number(array[index]) for name, array in values.items()},
            }
            for index, genotype in enumerate(genotypes)
        ],
    }


def trained(session: Session) -> dict[str, Any]:
    """What rank.json says of a supernet."""
    manifest, config = session.run.manifest, session.config
    stage = manifest["stages"]["supernet"]
    return {
        "run": str(session.run.path),
        "sha256": session.supernet_digest,
        "seed": config.seed,
        "epochs": config.supernet.epochs,
        "seconds": stage["seconds"],
        "images_per_second": stage["facts"]["images_per_second"],
    }


def valued(candidates: Sequence[Candidate], measure: MeasureConfig) -> Array:
    """The values of candidates, NaN where one failed; of a sum combined by ranks, those among these candidates."""
    combine = combination(measure)
    if combine != "sum":
        ranked = aggregated([candidate for candidate in candidates if candidate.status == "scored"], combine)
        by_key = {candidate.key: candidate for candidate in ranked}
        candidates = [by_key.get(candidate.key, candidate) for candidate in candidates]
    return np.array([np.nan if candidate.value is None else candidate.value for candidate in candidates])


def scores(
    name: str,
    genotypes: Sequence[Genotype],
    truth_N: Array,
    session: Session,
    archive: Archive,
    scorer: Callable[[MeasureConfig], Scorer],
) -> list[Candidate]:
    """The candidate of every genotype under one measure, scored now or before; τ-b so far is told on the way."""
    monitor, config = session.monitor, session.config
    own = config.model_copy(update={"measure": config.measure.model_copy(update={"name": name})})
    identity = measure_identity(own, session.supernet_digest)
    keys = [session.space.key(genotype) for genotype in genotypes]
    known = {key for key in keys if archive.get(identity, key) is not None}
    monitor.start(name, len(set(keys)), "network", len(known))
    found: list[Candidate] = []
    values_N = np.full(len(genotypes), np.nan)
    evaluator = Evaluator(session.space, scorer(own.measure), archive, identity, session.cost)
    proposals = [Proposal(genotype, 0, "sample") for genotype in genotypes]
    for index, (candidate, key) in enumerate(zip(evaluator(proposals), keys, strict=True)):
        found.append(candidate)
        values_N[index] = np.nan if candidate.value is None else candidate.value
        if candidate.status == "failed":
            monitor.note(f"{name}: {session.space.format(candidate.genotype)} failed: {candidate.reason}")
        if key in known:
            continue
        known.add(key)
        tau = ranking.agreement(values_N, truth_N) if index + 1 >= LEAST else None
        monitor.advance(len(known), **({"tau": tau} if tau is not None else {}))
        monitor.check()
    evaluator.require_success()
    monitor.finish()
    return found


def summed(parts: Sequence[Array], combine: Callable[[Sequence[Array]], Array]) -> Array:
    """The parts combined, over the genotypes that all of them scored; NaN elsewhere."""
    there = ~np.isnan(parts).any(axis=0)
    total = np.full(len(parts[0]), np.nan)
    if there.any():
        total[there] = combine([part[there] for part in parts])
    return total


class Statistics:
    """Bootstraps of measures against truths, each computed once."""

    def __init__(self, values: Mapping[str, Array], columns: Mapping[str, Array], request: RankingRequest) -> None:
        self.values, self.columns, self.request = values, columns, request
        self._known: dict[tuple[str, str, bytes], Bootstrap | None] = {}

    def of(self, name: str, column: str, there_N: NDArray[np.bool_] | None = None) -> Bootstrap | None:
        """The bootstrap of one measure over the genotypes it scored (of `there_N`); None for fewer than two."""
        there_N = ~np.isnan(self.values[name]) if there_N is None else there_N
        key = name, column, there_N.tobytes()
        if key not in self._known:
            enough = there_N.sum() >= 2
            self._known[key] = self._bootstrap(self.values[name][there_N], column, there_N) if enough else None
        return self._known[key]

    def _bootstrap(self, values_N: Array, column: str, there_N: NDArray[np.bool_]) -> Bootstrap:
        asked = self.request
        return ranking.bootstrap(
            values_N, self.columns[column][there_N], resamples=asked.resamples, seed=asked.sample_seed
        )

    def references(self) -> list[dict[str, Any]]:
        """How the first truth column orders genotypes by each other one: what a perfect measure of it would reach."""
        first, *others = self.columns
        all_N = np.ones(len(self.columns[first]), dtype=np.bool_)
        return [
            {"name": first, "truth": {column: ranking.as_facts(self._bootstrap(self.columns[first], column, all_N))}}
            for column in others
        ]

    def differences(self) -> list[dict[str, Any]]:
        """Paired differences in τ-b (all genotypes) of any two measures, over the genotypes that both scored."""
        found = []
        for column in self.columns:
            for first, second in combinations(self.values, 2):
                there_N = ~(np.isnan(self.values[first]) | np.isnan(self.values[second]))
                one, other = self.of(first, column, there_N), self.of(second, column, there_N)
                if one is None or other is None:
                    continue
                interval = one.minus(other, "all", "tau")
                facts = {"value": interval.value, "low": interval.low, "high": interval.high}
                found.append({"first": first, "second": second, "truth": column, "n": int(there_N.sum()), **facts})
        return found


def row(
    name: str, kind: str, values_N: Array, candidates: Sequence[Sequence[Candidate]], statistics: Statistics
) -> dict[str, Any]:
    """What rank.json says of one measure; seconds and images are means per candidate, summed over supernets."""
    scored = [[c for c in found if c.status == "scored"] for found in candidates]
    return {
        "name": name,
        "kind": kind,
        "scored": int((~np.isnan(values_N)).sum()),
        "failed": int(np.isnan(values_N).sum()),
        "seconds": sum(float(np.mean([c.seconds for c in found])) for found in scored) if scored else None,
        "images": sum(float(np.mean([c.details[IMAGES] for c in found])) for found in scored) if scored else None,
        "truth": {
            column: ranking.as_facts(found)
            for column in statistics.columns
            if (found := statistics.of(name, column)) is not None
        },
    }


def number(value: float) -> float | None:
    """A score as JSON: None where there is none."""
    return None if np.isnan(value) else float(value)
