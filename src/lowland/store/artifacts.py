"""What the stages of a run leave, as typed records: where it lies, how it is written, and how every format is read.

Each JSON file has a `format` number. Format 1 had none, and one `evaluation.json` for what is now a file per suite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from lowland.core.errors import RunError
from lowland.store.manifest import NETWORK, NETWORKS
from lowland.store.run import Run

FORMAT = 2
"""Version of the JSON files below; those of format 1 are read too."""

INITIAL = "supernet/initial.safetensors"
TRAINED = "supernet/trained.safetensors"
HISTORY = "supernet/history.json"
SEARCH = "search.json"
TRAINING = "training.json"
EXPORTS = "exports.json"
EVALUATION = "evaluation"
"""Folder of the suites' results; `evaluation.json` in format 1."""

SUITES_1 = {"classification": "test", "corruptions": "shift"}
"""Suites whose results format 1 kept by network, and under which name."""


def network_folder(rank: int) -> str:
    """Where the network of a rank is delivered, relative to the run directory."""
    return NETWORK if rank == 1 else f"{NETWORKS}/{rank}"


def supernet_digest(run: Run) -> str:
    """SHA-256 of the trained supernet's file."""
    digest: str = run.manifest["files"][TRAINED]
    return digest


def has_supernet(run: Run) -> bool:
    """Whether there is a trained supernet."""
    return TRAINED in run.manifest["files"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranked:
    """One candidate of the final order.

    Attributes:
        genotype: As text.
        genes: As numbers.
        parameters: Of the delivered network.
        macs: Multiply-accumulates of the delivered network for one image.
        value: Score, greater is better; None where the order is all there is.
        standard_error: Of `value`; None where it has none.
        details: What the measure kept.
        place: In the order of the measure, from 1; None where it was not recorded.
        shortlist: Score by the shortlist's measure, where there was one.
        finalist: How its training began (`rungs`, `measure`, `name`), where it was begun in the search; before that
            existed, its accuracy after a short training.
        shape: Width, depth and growth, where they are this network's own.
    """

    genotype: str
    genes: tuple[int, ...]
    parameters: int
    macs: int
    value: float | None
    standard_error: float | None
    details: Mapping[str, Any] = field(default_factory=dict)
    place: int | None = None
    shortlist: Mapping[str, Any] | None = None
    finalist: Mapping[str, Any] | None = None
    shape: Mapping[str, Any] | None = None

    @property
    def begun(self) -> int | None:
        """Training steps that it took at the end of the search; None: its training was not begun."""
        rungs = (self.finalist or {}).get("rungs", ())
        return rungs[-1]["steps"] if rungs else None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From an entry of `search.json`."""
        return cls(**(dict(values) | {"genes": tuple(values["genes"])}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Searched:
    """What the search found.

    Attributes:
        ranking: The best candidates, best first.
        candidates: Every scored one in order of evaluation: genes, generation, origin, parameters, macs.
        summary: Counts: proposed, scored, failed, raced_out, …
        measure: Identity of the measure in the archive; None where a searcher keeps no archive.
        images: Search-split images that a candidate was scored on; None where there was no such.
        pareto: What a strategy of several objectives keeps; None for others.
        relaxed: What a gradient search keeps of its epochs: the genotype, its skips, the validation loss; None for
            others.
        combine: How the order came of the scores (`measure.combine`), `sum` where they have a unit; None: not recorded.
        space_size: Number of legal genotypes of the space; None: not recorded. This and what follows is kept so that
            a page needs neither the space nor the strategy, nor torch, which they import.
        cells: The cells of the first network, as fields of `spaces.values.CellGraph`; None: not recorded.
        objectives: What was traded off, as written; None: not recorded.
        scored_by: The measure that candidates were scored by, as it is written; None: not recorded.
    """

    ranking: tuple[Ranked, ...]
    candidates: tuple[Mapping[str, Any], ...]
    summary: Mapping[str, Any]
    measure: str | None
    images: int | None
    pareto: Mapping[str, Any] | None = None
    relaxed: Mapping[str, Any] | None = None
    combine: str | None = None
    space_size: int | None = None
    cells: tuple[Mapping[str, Any], ...] | None = None
    objectives: tuple[str, ...] | None = None
    scored_by: str | None = None

    def write(self, run: Run) -> None:
        """Keep it in the run directory."""
        run.write_json(SEARCH, {"format": FORMAT} | asdict(self))

    @classmethod
    def read(cls, run: Run) -> Self:
        """What the search of `run` found; RunError where it is missing, damaged or of a later format."""
        values = _read(run, SEARCH)
        return cls(
            ranking=tuple(map(Ranked.from_json, values["ranking"])),
            candidates=tuple(values["candidates"]),
            summary=values["summary"],
            measure=values["measure"],
            images=values["images"],
            pareto=values.get("pareto"),
            relaxed=values.get("relaxed"),
            combine=values.get("combine"),
            space_size=values.get("space_size"),
            cells=None if values.get("cells") is None else tuple(values["cells"]),
            objectives=None if values.get("objectives") is None else tuple(values["objectives"]),
            scored_by=values.get("scored_by"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """How the delivered networks were trained: facts of each, by rank."""

    networks: Mapping[str, Mapping[str, Any]]

    def write(self, run: Run) -> None:
        """Keep it in the run directory."""
        run.write_json(TRAINING, {"format": FORMAT, "networks": self.networks})

    @classmethod
    def read(cls, run: Run) -> Self:
        """How the networks of `run` were trained; RunError where it is missing, damaged or of a later format."""
        values = _read(run, TRAINING)
        return cls(networks=values["networks"] if "format" in values else values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Exports:
    """In which forms the first network has left the run, and how each was found to agree with it.

    It belongs to no stage: it holds for the network it names, whatever is done again.

    Attributes:
        network: SHA-256 of the network's weights.
        forms: By name of the form, an outcome as `delivery.agreement.Outcome` reads it, and what it was found on.
    """

    network: str
    forms: Mapping[str, Mapping[str, Any]]

    def write(self, run: Run) -> None:
        """Keep it in the run directory."""
        run.write_json(EXPORTS, {"format": FORMAT} | asdict(self))

    @classmethod
    def read(cls, run: Run) -> Self | None:
        """What is noted of the network that `run` has now; None where nothing is."""
        if EXPORTS not in run.manifest["files"]:
            return None
        values = _read(run, EXPORTS)
        current = run.manifest["files"].get(f"{network_folder(1)}/network.safetensors")
        return cls(network=values["network"], forms=values["forms"]) if values["network"] == current else None


@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteRecord:
    """What a suite found. It is read without the suite, which may belong to somebody's plugin.

    Attributes:
        suite: Its name.
        results: What it found, as its own `Results` reads it.
        decided_by: Digest of all that decides the results; None where it is not known (format 1).
        environment: Machine and versions.
        figures: By rank of the network, its few figures as fields of `evaluation.section.Figure`; None in format 1.
        section: Its report section, as `evaluation.section.SuiteSection` reads it; None in format 1.
    """

    suite: str
    results: Mapping[str, Any]
    decided_by: str | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] | None = None
    section: Mapping[str, Any] | None = None

    @staticmethod
    def file(suite: str) -> str:
        """Where the results of a suite lie, relative to the run directory."""
        return f"{EVALUATION}/{suite}.json"

    def write(self, run: Run) -> None:
        """Keep it in the run directory."""
        run.write_json(self.file(self.suite), {"format": FORMAT} | asdict(self))

    @classmethod
    def read(cls, run: Run, suite: str) -> Self | None:
        """What `suite` found, or None where it was not run; RunError where it is damaged or of a later format."""
        if cls.file(suite) not in run.manifest["files"]:
            return None
        values = _read(run, cls.file(suite))
        return cls(**{name: value for name, value in values.items() if name != "format"})


def evaluated(run: Run) -> list[SuiteRecord]:
    """What all suites found, in the order of `evaluate.suites`, then any others by name; none before evaluation."""
    if f"{EVALUATION}.json" in run.manifest["files"]:
        return _evaluated_1(run.read_json(f"{EVALUATION}.json"))
    files = [file.removeprefix(f"{EVALUATION}/") for file in run.manifest["files"] if file.startswith(f"{EVALUATION}/")]
    there = sorted(file.removesuffix(".json") for file in files if "/" not in file)
    asked = [name for name in dict.fromkeys(run.config.evaluate.suites) if name in there]
    found = (SuiteRecord.read(run, name) for name in dict.fromkeys([*asked, *there]))
    return [record for record in found if record is not None]


def _evaluated_1(values: Mapping[str, Any]) -> list[SuiteRecord]:
    """The one file of format 1 as a record of each suite."""
    networks, facts = values["networks"], values.get("environment", {})
    found = [
        SuiteRecord(
            suite=suite,
            results={"networks": {rank: judged[name] for rank, judged in networks.items() if name in judged}},
            environment=facts,
        )
        for suite, name in SUITES_1.items()
    ]
    return [*found, SuiteRecord(suite="landscape", results={"curves": values.get("curves", [])}, environment=facts)]


def _read(run: Run, file: str) -> dict[str, Any]:
    """A JSON file of a stage; RunError where it is missing, damaged or of a later format."""
    values: dict[str, Any] = run.read_json(file)
    written = values.get("format", 1)
    if written not in (1, FORMAT):
        raise RunError(
            f"{run.path / file} has format {written}, but this lowland reads formats 1 and {FORMAT}: use the version "
            "that wrote it"
        )
    return values
