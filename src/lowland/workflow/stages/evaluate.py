"""Stage four: the suites judge the delivered networks. Only what is missing, or decided anew, is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

from torch import nn

from lowland.core.config import Config
from lowland.core.device import environment
from lowland.core.errors import BudgetError, ConfigError, DataError, GenotypeError, RunError
from lowland.core.genotype import Genotype
from lowland.delivery import network as delivery
from lowland.evaluation.dense.source import of_network
from lowland.evaluation.dense.suite import Place
from lowland.evaluation.pool import EvaluationPool
from lowland.evaluation.recorded import results_of
from lowland.evaluation.references import Trial
from lowland.evaluation.shift.suite import Corruptions
from lowland.evaluation.suite import (
    Batches,
    EvaluationContext,
    LossAt,
    Suite,
    published_root,
    suite,
    suites,
)
from lowland.evaluation.tasks import JudgingTask, Portable
from lowland.measures import calibrated_subnet
from lowland.search import Limits
from lowland.spaces.references import SpaceReference
from lowland.store import inside
from lowland.store.artifacts import (
    EVALUATION,
    SuiteRecord,
    evaluated,
    has_supernet,
    network_folder,
    supernet_digest,
)
from lowland.store.run import Run
from lowland.workflow.evaluation_tasks import evaluation_pool
from lowland.workflow.rungs import reference_threads
from lowland.workflow.session import Session
from lowland.workflow.trial import trial

REFERENCES = "references"
"""Folder of trained references in a run directory; it says itself what is finished (`evaluation.contest`)."""

AVAILABLE: dict[str, Callable[[Run], bool]] = {"supernet": has_supernet}
"""What a suite may require, and whether a run has it."""


def evaluate_networks(session: Session) -> None:
    """Run the suites asked for on the networks as loaded from disk; each is kept as soon as it is done."""
    run = session.run
    with evaluation_pool(session) as pool:
        judging = Judging(session, pool)
        asked: list[tuple[Suite[Any], str]] = []
        for each in suites(session.config):
            missing = [what for what in each.requires if what not in AVAILABLE or not AVAILABLE[what](run)]
            if missing:
                session.monitor.note(f"suite {each.name} is left out: it needs a {missing[0]}, and this run has none")
                continue
            digest = judging.decided_by(each)
            if not judging.knows(each, digest):
                asked.append((each, digest))
        if pool is not None:
            for each, digest in asked:
                judging.begin(each, digest)
        for each, digest in asked:
            judging.judge(each, digest)
    kept = [record.suite for record in evaluated(run) if judging.holds(record)]
    files = [SuiteRecord.file(name) for name in kept]
    lying = {file for file in run.manifest["files"] if file.startswith(f"{EVALUATION}/")}
    lying |= set(inside.files(run.path, EVALUATION))
    run.delete(sorted(lying - set(files)))
    inside.delete_empty_folders(run.path, EVALUATION)  # of parts, which are all gone
    _deliver_results(run, judging.ranks)
    run.finish_stage("evaluate", files, {"suites": kept})


def _deliver_results(run: Run, ranks: range) -> None:
    """Put the figures of all suites into the facts of the delivered networks, which may be copied from the run."""
    for rank in ranks:
        folder, found = network_folder(rank), results_of(run, rank)
        run.rewrite_text(f"{folder}/network.json", delivery.with_facts(run.path / folder, {"results": found}))


@dataclass
class Judging:
    """What the suites of one stage share: the networks, loaded when first needed, and what decides results.

    Attributes:
        session: The run.
        pool: Where trainings and judgements go on side by side; None: here, one after the other.
        to_come: The first network before it is trained, where suites only begin; None: all are trained.
    """

    session: Session
    pool: EvaluationPool | None = None
    to_come: delivery.Network | None = None

    @cached_property
    def ranks(self) -> range:
        """Ranks of the delivered networks."""
        delivered = self.session.ranking()[: self.session.config.retrain.top]
        return range(1, len(delivered) + 1)

    @cached_property
    def networks(self) -> dict[str, nn.Module]:
        """The delivered networks by rank, as a person runs them after `lowland.load`: in fp32, plain memory format."""
        compute = replace(self.session.compute, autocast_dtype=None, channels_last=False)
        folders = {str(rank): self.session.run.path / network_folder(rank) for rank in self.ranks}
        return {rank: compute.prepare(delivery.load(folder).body).eval() for rank, folder in folders.items()}

    @cached_property
    def portable(self) -> dict[str, Portable]:
        """The same as they travel to other processes."""
        if self.pool is None or self.to_come is not None:
            return {}
        found: dict[str, Portable] = {}
        for rank in self.ranks:
            network = delivery.load(self.session.run.path / network_folder(rank))
            reference = SpaceReference(str(rank), network.genotype, "found by the search")
            found[str(rank)] = Portable.of(network.body, reference, network.shape)
        return found

    def knows(self, of: Suite[Any], digest: str) -> bool:
        """Whether what a suite would find is there already."""
        known = SuiteRecord.read(self.session.run, of.name)
        return known is not None and known.decided_by == digest

    def begin(self, of: Suite[Any], digest: str = "") -> None:
        """Begin what a suite needs and can go on beside others; what cannot begin says so when it is its turn."""
        with suppress(BudgetError, ConfigError, DataError, GenotypeError, RunError):
            of.begin(self.context(of, digest))

    def judge(self, of: Suite[Any], digest: str) -> None:
        """Run a suite, and keep what it finds."""
        run = self.session.run
        results = of.run(self.networks, self.context(of, digest))
        figures = {rank: [asdict(figure) for figure in found] for rank, found in of.figures(results).items()}
        SuiteRecord(
            suite=of.name,
            results=results.to_json(),
            decided_by=digest,
            environment=environment(self.session.compute),
            figures=figures,
            section=of.section(results).to_json(),
        ).write(run)

    def holds(self, record: SuiteRecord) -> bool:
        """Whether a suite, asked for now or before, would find the same again."""
        try:
            # Files outside may be out of reach by now; they were looked at when the suite was asked for.
            known = (record.decided_by or "").partition(":")[0]
            return known == self.digest(suite(self.session.config, record.suite))
        except ConfigError:  # its plugin is not here, so nobody knows
            self.session.monitor.note(f"results of the suite {record.suite} are dropped: it is not known here")
            return False

    def context(self, of: Suite[Any], digest: str) -> EvaluationContext:
        """What a suite works with; its parts carry the digest of what decides them."""
        session = self.session
        return EvaluationContext(
            data=session.data,
            compute=session.compute,
            seed=session.config.seed,
            batch_size=session.config.evaluate.batch_size,
            monitor=session.monitor,
            part=partial(self.part, of.name, digest),
            searched=lambda indices: session.placed(session.data.search, indices, session.config.measure.batch_size),
            root=published_root(session.config),
            learned_search=session.config.retrain.include_search_split,
            supernet=InheritedPaths(session) if has_supernet(session.run) else None,
            portable=self.portable,
            threads=reference_threads(session.config, session.compute),
            ahead=None if self.pool is None else partial(self.ahead, of.name, digest, self.pool),
            trial=self.trial,
            place=self.place,
        )

    def trial(self, corruptions: bool) -> Trial:
        """The delivered network beside others, which are trained in a folder of the run."""
        run = self.session.run
        inside.require_no_links(run.path, REFERENCES)
        return trial(
            self.session,
            run.path / REFERENCES,
            corruptions=corruptions,
            pool=self.pool,
            to_come=self.to_come,
            judged=self._delivered() if self.to_come is None else None,
        )

    def _delivered(self) -> Callable[[str, int], str | None] | None:
        """What the suite `corruptions` finds of the first network in this stage; None where it is not asked for."""
        found = [each for each in suites(self.session.config) if each.name == Corruptions.name]
        if not found:
            return None
        digest = self.decided_by(found[0])

        def bits(name: str, severity: int) -> str | None:
            kept = self._kept(Corruptions.name, digest, f"{name}-{severity}")
            return None if kept is None else kept["value"]["hits"].get("1")

        return bits

    def place(self, of: str) -> Place:
        """The first network as a source of backbones; its trainings lie in a folder of the run called as the suite."""
        session, run = self.session, self.session.run
        inside.require_no_links(run.path, of)
        found = delivery.load(run.path / network_folder(1))
        return Place(
            source=of_network(found.body, found.genotype, found.shape, found.mean, found.std, run.path.name),
            root=run.path,
            folder=of,
            compute=session.compute,
            seed=session.config.seed,
            checkpoint_seconds=session.config.compute.checkpoint_seconds,
            monitor=session.monitor,
        )

    def part(self, of: str, digest: str, name: str, compute: Callable[[], Any]) -> Any:
        """A part of a suite's results, as it was before a stop or computed and made durable now."""
        kept = self._kept(of, digest, name)
        if kept is not None:
            return kept["value"]
        value = compute()
        self._keep(of, digest, name, value)
        if self.pool is not None:
            self.pool.attend()
        return value

    def ahead(self, of: str, digest: str, pool: EvaluationPool, tasks: Mapping[str, JudgingTask]) -> Iterator[int]:
        """How many parts there are, after each that was lacking, was computed in another process and is kept now."""
        lacking = {name: task for name, task in tasks.items() if self._kept(of, digest, name) is None}
        for done, (name, value) in enumerate(pool.judged(lacking), start=len(tasks) - len(lacking) + 1):
            self._keep(of, digest, name, value)
            yield done

    def _kept(self, of: str, digest: str, name: str) -> dict[str, Any] | None:
        run, file = self.session.run, _part(of, name)
        if file not in run.manifest["files"]:
            return None
        kept: dict[str, Any] = run.read_json(file)
        return kept if kept["decided_by"] == digest else None

    def _keep(self, of: str, digest: str, name: str, value: Any) -> None:
        self.session.run.write_json(_part(of, name), {"decided_by": digest, "value": value})

    def decided_by(self, of: Suite[Any]) -> str:
        """Digest of all that decides what a suite finds, files outside of the run included."""
        outside = of.outside(self.session.config, self.session.data)
        return f"{self.digest(of)}:{outside}" if outside else self.digest(of)

    def digest(self, of: Suite[Any]) -> str:
        """SHA-256 of all in the run that decides what a suite finds."""
        session = self.session
        run, config = session.run, session.config
        ranking = session.ranking()
        parts = {
            "suite": of.name,
            "settings": of.config.model_dump(mode="json"),
            "shared": {key: _setting(config, key) for key in of.shared},
            "seed": config.seed,
            "data": session.data.fingerprint,
            "networks": [
                [list(ranking[rank - 1].genes), run.manifest["files"][f"{network_folder(rank)}/network.safetensors"]]
                for rank in self.ranks
            ],
            "precision": config.compute.precision,
            "channels_last": config.compute.channels_last,
            "supernet": supernet_digest(run) if "supernet" in of.requires and has_supernet(run) else None,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _part(of: str, name: str) -> str:
    """The file of a part of a suite's results."""
    return f"{EVALUATION}/{of}/{name}.json"


def _setting(config: Config, key: str) -> Any:
    """A setting or section by its dotted key, as JSON-like values."""
    value: Any = config.model_dump(mode="json")
    for name in key.split("."):
        value = value[name]
    return value


@dataclass(frozen=True)
class InheritedPaths:
    """Paths of the run's supernet, as a suite asks for them."""

    session: Session

    @property
    def winner(self) -> Genotype:
        """The genotype of the first network."""
        return Genotype(self.session.config.space, self.session.ranking()[0].genes)

    def random(self, number: int) -> list[Genotype]:
        """Distinct uniform random genotypes within the limits; fewer where the limits leave fewer."""
        return random_genotypes(self.session, number)

    def text(self, genotype: Genotype) -> str:
        """A genotype as people write it."""
        return self.session.space.format(genotype)

    @contextmanager
    def subnet(self, genotype: Genotype, scored: Batches) -> Iterator[LossAt]:
        """Within the block: the loss on `scored` of this path of the supernet, calibrated as the search did."""
        session = self.session
        context = replace(session.context, scored=scored)
        with calibrated_subnet(session.supernet, genotype, context, session.config.measure) as path:
            yield lambda sigma, draw: path.loss_at(sigma, draw).loss


def random_genotypes(session: Session, number: int) -> list[Genotype]:
    """Distinct uniform random genotypes within the limits; fewer where the limits leave fewer."""
    limits = Limits(session.space, session.config.search, session.cost, session.config.seed)
    found: dict[str, Genotype] = {}

    def accept(genotype: Genotype) -> bool:
        return session.space.key(genotype) not in found and limits.allow(genotype)

    for index in range(number):
        genotype = limits.sample(accept, found.keys(), "loss curves", index)
        if genotype is None:
            break
        found[session.space.key(genotype)] = genotype
    return list(found.values())
