"""A contest: networks trained by one recipe for several seeds, and judged on the same test images.

Every training lives in a folder of its own: its checkpoint while it goes on, then the weights and `trained.json`, then
`judged.json`; each is written last when all before it is there. A stop loses what came after the last checkpoint, and
a contest that goes on ends in the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lowland.core.errors import RunError
from lowland.core.files import json_text
from lowland.core.memory import memory_short
from lowland.core.seeds import derive
from lowland.delivery import network as delivery
from lowland.evaluation.comparison import Hits, packed, unpacked
from lowland.evaluation.contest_judging import JUDGING, begin_judging, judged, kept_json
from lowland.evaluation.tasks import ReferenceTraining
from lowland.evaluation.terms import Terms
from lowland.spaces import Shape
from lowland.spaces.reference import Reference
from lowland.store import inside
from lowland.store.checkpoint_file import CheckpointFile
from lowland.store.tensors import from_safetensors, to_safetensors
from lowland.training.legs import Trained
from lowland.training.loop import fit

TRAINED, JUDGED, CHECKPOINT, WEIGHTS = "trained.json", "judged.json", "checkpoint.safetensors", "network.safetensors"


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
        found = kept_json(self.root, self.file(TRAINED))
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
        of, checkpoints = self.described(terms), self.checkpoints(terms)
        with terms.threaded:
            network = terms.compute.prepare(of.network())
            history = fit(
                of.job(network, terms.data, terms.compute),
                checkpoints=checkpoints,
                checkpoint_seconds=terms.checkpoint_seconds,
                monitor=terms.monitor,
            )
        return self._finish(network, history.loss, history.seconds, terms)

    def described(self, terms: Terms) -> ReferenceTraining:
        """What decides the weights, beside the data."""
        recipe = terms.followed_by(self.reference)
        return ReferenceTraining(reference=self.reference, shape=self.shape, recipe=recipe, seed=self.seed)

    def checkpoints(self, terms: Terms) -> CheckpointFile:
        """Where the state of the training is kept until it is finished; one of another recipe is not gone on with."""
        return CheckpointFile(self.root, self.file(CHECKPOINT), self.task(terms))

    def finish(self, found: Trained, terms: Terms) -> dict[str, Any]:
        """Keep what the last leg of the training gave.

        Returns:
            What `trained.json` holds.
        """
        assert found.weights is not None
        network = self.described(terms).network()
        network.load_state_dict(from_safetensors(found.weights)[0])
        return self._finish(network, list(found.loss), found.seconds, terms)

    def _finish(self, network: nn.Module, loss: list[float], seconds: float, terms: Terms) -> dict[str, Any]:
        self._save(network, terms)
        cost = self.reference.cost(self.shape)
        facts = {
            "task": self.task(terms),
            "seed": self.seed,
            "parameters": cost.parameters,
            "macs": cost.macs,
            "loss": loss,
            "seconds": round(seconds, 1),
            "sha256": inside.sha256(self.root, self.file(WEIGHTS)),
        }
        inside.write_text(self.root, self.file(TRAINED), json_text(facts))
        self.checkpoints(terms).drop()
        return facts

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
        found = kept_json(self.root, self.file(JUDGED))
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
    begun = begin(trainings, terms, folder)
    if terms.pool is not None:
        terms.pool.trained([training.key for training in begun])
    else:
        for training in begun:
            training.train(terms)
            terms.monitor.check()
    pending = _pending(trainings, terms)
    for training, hits in zip(pending, judged(pending, terms, folder), strict=True):
        training.keep(hits, terms)
    for part in inside.files(folder, JUDGING):
        inside.delete(folder, part)
    inside.delete_empty_folders(folder, JUDGING)
    found = {training.key: training.hits(terms) for training in trainings}
    return {key: hits for key, hits in found.items() if hits is not None}


def begin(trainings: Sequence[Training], terms: Terms, folder: Path) -> list[Training]:
    """Begin what is not trained yet, where it can go on beside something else; and after that the judging of all.

    Returns:
        What is not trained yet.
    """
    inside.make_root(folder)
    lacking = [training for training in trainings if training.delivered is None and training.facts(terms) is None]
    if terms.pool is not None:
        for training in lacking:
            finish = partial(_finish, training, terms)
            terms.pool.begin(training.key, training.described(terms), training.checkpoints(terms), finish)
        keys = [training.key for training in lacking]
        terms.pool.after(keys, lambda: begin_judging(_pending(trainings, terms), terms, folder))
    return lacking


def _pending(trainings: Sequence[Training], terms: Terms) -> list[Training]:
    """What is not judged like this yet."""
    return [training for training in trainings if training.hits(terms) is None]


def _finish(training: Training, terms: Terms, found: Trained) -> None:
    training.finish(found, terms)
