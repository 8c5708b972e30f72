"""A contest: networks trained by one recipe for several seeds, and judged on the same test images.

Every training lives in a folder of its own: its checkpoint while it goes on, then the weights and `trained.json`, then
`judged.json`; each is written last when all before it is there. A stop loses what came after the last checkpoint, and
a contest that goes on ends in the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lowland.core.config import RetrainConfig
from lowland.core.device import Compute
from lowland.core.errors import RunError
from lowland.core.files import json_text
from lowland.core.genotype import Genotype
from lowland.core.memory import memory_short
from lowland.core.monitor import Monitor
from lowland.core.seeds import derive
from lowland.data import CorruptedImages, DataSet, MemorySplit
from lowland.delivery import network as delivery
from lowland.evaluation.classification import predict, ranks
from lowland.evaluation.comparison import Hits, packed, unpacked
from lowland.spaces import Shape
from lowland.spaces.reference import Reference
from lowland.store import inside
from lowland.store.checkpoint_file import CheckpointFile
from lowland.store.tensors import from_safetensors, to_safetensors
from lowland.training import network as network_training
from lowland.training.loop import fit

TRAINED, JUDGED, CHECKPOINT, WEIGHTS = "trained.json", "judged.json", "checkpoint.safetensors", "network.safetensors"
JUDGING = "judging"


@dataclass(frozen=True, kw_only=True)
class ShiftedImages:
    """Corrupted test images to judge on.

    Attributes:
        images: The images.
        names: Corruptions.
        severities: Levels of each.
        limit: Only the first so many images; None: all.
        source: Where they come from, so that others are not taken for them; it is not kept in plain text.
    """

    images: CorruptedImages
    names: tuple[str, ...]
    severities: tuple[int, ...]
    limit: int | None = None
    source: str = ""

    @property
    def count(self) -> int:
        """Images judged, M."""
        return min(len(self.images), self.limit or len(self.images))


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is the same for all networks of a contest.

    Attributes:
        recipe: How each is trained.
        data: On what, and the test images.
        compute: Where.
        seed: Of the first training of each network; the others have the next ones.
        batch_size: Images per forward pass when judging.
        shifted: Corrupted test images; None: judged on clean ones only.
        checkpoint_seconds: Time between two checkpoints.
        monitor: Hears how it goes, and asks for a stop.
    """

    recipe: RetrainConfig
    data: DataSet
    compute: Compute
    seed: int
    batch_size: int
    shifted: ShiftedImages | None
    checkpoint_seconds: float
    monitor: Monitor

    def followed_by(self, reference: Reference) -> RetrainConfig:
        """The recipe without what this network lacks."""
        return self.recipe.model_copy(update=dict.fromkeys(self.lacking(reference), 0.0))

    def lacking(self, reference: Reference) -> tuple[str, ...]:
        """Settings that the recipe has and this network cannot follow."""
        return tuple(name for name in reference.lacks if getattr(self.recipe, name))


@dataclass(frozen=True, kw_only=True)
class Training:
    """One network, one seed, one folder.

    Attributes:
        reference: The network.
        shape: Its size.
        seed: Of the training.
        root: Folder of the contest, which nothing of it leaves (`store.inside`).
        folder: Where in it this training is kept.
        delivered: The trained network, where it needs no training; then `digest` says which it is.
        digest: SHA-256 of the delivered network's weights.
    """

    reference: Reference
    shape: Shape
    seed: int
    root: Path
    folder: Path
    delivered: nn.Module | None = None
    digest: str = ""

    @property
    def key(self) -> str:
        """Differs from all others of a contest."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    def file(self, name: str) -> str:
        """A file of this training, relative to `root`."""
        return inside.named(self.root, self.folder / name)

    def task(self, terms: Terms) -> str:
        """A digest of everything that decides the weights."""
        recipe = terms.followed_by(self.reference).compared()
        data, compute = terms.data, terms.compute
        parts = (recipe, self.shape, self.reference.text, data.fingerprint, str(compute.autocast_dtype), self.digest)
        return f"{derive(self.seed, 'contest', *parts):016x}"

    def facts(self, terms: Terms) -> dict[str, Any] | None:
        """What `trained.json` holds, or None where the training is not finished, or was another one."""
        found = _json(self.root, self.file(TRAINED))
        if found is None or found.get("task") != self.task(terms):
            return None
        try:
            return found if inside.sha256(self.root, self.file(WEIGHTS)) == found.get("sha256") else None
        except OSError:
            return None

    def train(self, terms: Terms) -> dict[str, Any]:
        """Train from scratch, or from the checkpoint.

        Returns:
            What `trained.json` holds.

        Raises:
            InterruptedRun: the monitor asked for a stop; the checkpoint is kept.
            DivergedError: the loss is no longer finite.
        """
        recipe = terms.followed_by(self.reference)
        network = terms.compute.prepare(self._built(recipe))
        genotype = self.reference.genotype or Genotype(self.reference.family, ())
        job = network_training.job(genotype, network, recipe, terms.data, terms.compute, self.seed)
        job = replace(job, title=self.reference.name)
        if self.reference.genotype is None:
            job = replace(job, name=f"train-{self.reference.name}")
        checkpoint = CheckpointFile(self.root, self.file(CHECKPOINT))
        history = fit(job, checkpoints=checkpoint, checkpoint_seconds=terms.checkpoint_seconds, monitor=terms.monitor)
        self._save(network, terms)
        cost = self.reference.cost(self.shape)
        facts = {
            "task": self.task(terms),
            "seed": self.seed,
            "parameters": cost.parameters,
            "macs": cost.macs,
            "loss": history.loss,
            "seconds": round(history.seconds, 1),
            "sha256": inside.sha256(self.root, self.file(WEIGHTS)),
        }
        inside.write_text(self.root, self.file(TRAINED), json_text(facts))
        checkpoint.drop()
        return facts

    def _built(self, recipe: RetrainConfig) -> nn.Module:
        if self.reference.genotype is not None:
            return network_training.build(self.reference.genotype, self.shape, recipe, self.seed)
        torch.manual_seed(derive(self.seed, "network", "initial weights", self.reference.name))
        return self.reference.network(self.shape)

    def _save(self, network: nn.Module, terms: Terms) -> None:
        """The weights; of a genotype with what `lowland.load` needs."""
        if self.reference.genotype is not None:
            facts = {"reference": self.reference.name, "seed": self.seed}
            inside.require(self.root, [self.file(WEIGHTS)])
            delivery.save(self.folder, network, self.reference.genotype, self.shape, terms.data, facts)
        else:
            inside.write_bytes(self.root, self.file(WEIGHTS), to_safetensors(network.state_dict(), {}))

    def network(self) -> nn.Module:
        """The trained network on the CPU, in evaluation mode."""
        if self.delivered is not None:
            return deepcopy(self.delivered).eval()
        network = self.reference.network(self.shape)
        try:
            network.load_state_dict(from_safetensors(inside.read(self.root, self.file(WEIGHTS)))[0])
        except RunError:
            raise
        except Exception as error:  # safetensors raises its own kinds for a file that is none
            if memory_short(error):
                raise
            raise RunError(f"{self.folder / WEIGHTS} is damaged; delete {self.folder} to train it again") from error
        return network.eval()

    def hits(self, terms: Terms) -> Hits | None:
        """What `judged.json` holds, or None where it was not judged like this yet."""
        found = _json(self.root, self.file(JUDGED))
        if found is None or found.get("judging") != self.judging(terms):
            return None
        corrupted = found["corrupted"]
        corrupted_M = None if corrupted is None else torch.tensor([int(count) for count in corrupted.split()])
        return Hits(correct_N=unpacked(found["correct"]), corrupted_M=corrupted_M, of=found["of"])

    def keep(self, hits: Hits, terms: Terms) -> None:
        """Write `judged.json`."""
        corrupted = None if hits.corrupted_M is None else " ".join(map(str, hits.corrupted_M.tolist()))
        facts = {
            "judging": self.judging(terms),
            "top1": hits.top1,
            "corrupted_mean": hits.corrupted,
            "correct": packed(hits.correct_N),
            "corrupted": corrupted,
            "of": hits.of,
        }
        inside.write_text(self.root, self.file(JUDGED), json_text(facts))

    def judging(self, terms: Terms) -> str:
        """A digest of everything that decides which images it names rightly."""
        shifted = terms.shifted
        parts: tuple[object, ...] = ()
        if shifted is not None:
            parts = (shifted.names, shifted.severities, shifted.count, shifted.source)
        return f"{derive(self.seed, 'judging', self.task(terms), *parts):016x}"


def contest(trainings: Sequence[Training], terms: Terms, folder: Path) -> dict[str, Hits]:
    """Train what is not trained yet, and judge what is not judged yet.

    Args:
        trainings: All networks and seeds.
        terms: What is the same for all.
        folder: The contest's; parts of the judging are kept in it until all of it is done.

    Returns:
        By `Training.key`, which test images each network names rightly.

    Raises:
        InterruptedRun: the monitor asked for a stop; what is done is kept.
        LowlandError: a training diverged, or a file is damaged.
    """
    inside.make_root(folder)
    for training in trainings:
        if training.delivered is None and training.facts(terms) is None:
            training.train(terms)
            terms.monitor.check()
    pending = [training for training in trainings if training.hits(terms) is None]
    for training, hits in zip(pending, judged(pending, terms, folder), strict=True):
        training.keep(hits, terms)
    for part in inside.files(folder, JUDGING):
        inside.delete(folder, part)
    inside.delete_empty_folders(folder, JUDGING)
    found = {training.key: training.hits(terms) for training in trainings}
    return {key: hits for key, hits in found.items() if hits is not None}


def judged(trainings: Sequence[Training], terms: Terms, folder: Path) -> list[Hits]:
    """Which test images trained networks name rightly; corrupted ones are made once and shown to all of them.

    Clean images are judged in fp32 and in the plain memory format, as a person runs a network after `lowland.load`,
    corrupted ones in fp32 and the run's memory format: as the evaluation of a run judges them.

    Returns:
        The hits of every network, in the order of `trainings`.
    """
    if not trainings:
        return []
    exact = replace(terms.compute, autocast_dtype=None, channels_last=False)
    fast = replace(terms.compute, autocast_dtype=None)
    networks = [training.network() for training in trainings]
    clean = [
        ranks(*predict(exact.prepare(network), terms.data.test, terms.data.normalise, exact, terms.batch_size)) == 0
        for network in networks
    ]
    shifted = terms.shifted
    if shifted is None:
        return [Hits(correct_N=correct_N, corrupted_M=None, of=0) for correct_N in clean]
    placed = [fast.prepare(network) for network in networks]
    known = f"{derive(0, *(training.judging(terms) for training in trainings)):016x}"
    kinds = [(name, severity) for name in shifted.names for severity in shifted.severities]
    counts = [torch.zeros(shifted.count, dtype=torch.int64) for _ in networks]
    terms.monitor.start("corruptions", len(kinds), "corruption")
    for done, (name, severity) in enumerate(kinds, start=1):
        part = f"{JUDGING}/{known}/{name}-{severity}.json"
        rows = _json(folder, part)
        if rows is None:
            rows = {"hits": [packed(hit_M) for hit_M in _under(name, severity, placed, shifted, terms, fast)]}
            inside.write_text(folder, part, json_text(rows), durable=False)
        for count_M, row in zip(counts, rows["hits"], strict=True):
            count_M += unpacked(row)
        terms.monitor.advance(done)
        terms.monitor.check()
    terms.monitor.finish()
    return [
        Hits(correct_N=correct_N, corrupted_M=count_M, of=len(kinds))
        for correct_N, count_M in zip(clean, counts, strict=True)
    ]


def _under(
    name: str, severity: int, networks: Sequence[nn.Module], shifted: ShiftedImages, terms: Terms, compute: Compute
) -> list[Tensor]:
    """Which images under one corruption and severity each network names rightly, bool (M,)."""
    found: list[list[Tensor]] = [[] for _ in networks]
    for start in range(0, shifted.count, terms.batch_size):
        stop = min(start + terms.batch_size, shifted.count)
        images_BCHW = shifted.images.images(name, severity, start, stop)
        labels_B = shifted.images.labels_N[start:stop].to(images_BCHW.device)
        batch = MemorySplit(images_BCHW, labels_B)
        for hits, network in zip(found, networks, strict=True):
            logits_BK, labels_B = predict(network, batch, terms.data.normalise, compute, terms.batch_size)
            hits.append(ranks(logits_BK, labels_B) == 0)
    return [torch.cat(hits) for hits in found]


def _json(root: Path, relative: str) -> dict[str, Any] | None:
    """A file's JSON object, or None where there is none, or only a part of one after a crash of the machine."""
    try:
        found = json.loads(inside.read(root, relative))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
