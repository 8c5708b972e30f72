"""Which test images the networks of a contest name rightly, clean ones and corrupted ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lowland.core.errors import RunError
from lowland.core.files import json_text
from lowland.core.seeds import derive
from lowland.evaluation.classification import predict, ranks
from lowland.evaluation.comparison import Hits, packed, unpacked
from lowland.evaluation.shift.corruptions import hits_under, of_bits
from lowland.evaluation.tasks import JudgingTask, Portable
from lowland.evaluation.terms import ShiftedImages, Terms
from lowland.store import inside

if TYPE_CHECKING:
    from lowland.evaluation.contest import Training

Kind = tuple[str, str, int]
"""Which networks (`_Judgement.known`), corruption and severity."""

JUDGING = "judging"
"""Folder of the parts of a judgement that is not finished."""


def judged(trainings: Sequence[Training], terms: Terms, folder: Path) -> list[Hits]:
    """Which test images trained networks name rightly; corrupted ones are made once and shown to all of them.

    Clean images are judged in fp32 and in the plain memory format, as a person runs a network after `lowland.load`,
    corrupted ones in the run's precision and memory format, as the evaluation of a run judges them: so what that has
    found of the delivered network is taken.

    Returns:
        The hits of every network, in the order of `trainings`.
    """
    exact = replace(terms.compute, autocast_dtype=None, channels_last=False)
    own = {training.key: training.network() for training in trainings}
    clean = [
        ranks(*predict(exact.prepare(network), terms.data.test, terms.data.normalise, exact, terms.batch_size)) == 0
        for network in own.values()
    ]
    counts: dict[str, Tensor] = {}
    if terms.shifted is not None:
        for group in _groups(trainings, terms.shifted):
            counts |= _known(group, terms.shifted) or _Judgement(group, terms.shifted, terms, folder).counts(own)
    return [
        Hits(correct_N=correct_N, corrupted_M=counts.get(each.key), of=len(terms.shifted.kinds) if terms.shifted else 0)
        for correct_N, each in zip(clean, trainings, strict=True)
    ]


def begin_judging(trainings: Sequence[Training], terms: Terms, folder: Path) -> None:
    """Begin to judge trained networks under corruption where that can go on beside something else; see `judged`.

    What the run itself judges, the delivered network, is left to it.
    """
    if terms.pool is not None and terms.shifted is not None:
        for group in _groups(trainings, terms.shifted):
            if terms.shifted.delivered is None or group[0].delivered is None:
                judgement = _Judgement(group, terms.shifted, terms, folder)
                loaded = {training.key: training.network() for training in group}
                terms.pool.begin_judging(judgement.tasks(judgement.missing(), loaded), judgement.keep)


def _groups(trainings: Sequence[Training], shifted: ShiftedImages) -> list[list[Training]]:
    """Networks that are judged together; the delivered one by itself where the run may have judged it."""
    if shifted.delivered is None:
        return [list(trainings)] if trainings else []
    own = [[each] for each in trainings if each.delivered is not None]
    others = [each for each in trainings if each.delivered is None]
    return [*own, others] if others else own


def _known(group: Sequence[Training], shifted: ShiftedImages) -> dict[str, Tensor] | None:
    """Under how many kinds of corruption the delivered network names each image rightly, where the run knows."""
    if shifted.delivered is None or group[0].delivered is None:
        return None
    bits = [shifted.delivered(*kind) for kind in shifted.kinds]
    count_M = torch.zeros(shifted.count, dtype=torch.int64)
    for each in bits:
        if each is None or len(each) != shifted.count:
            return None
        count_M += of_bits(each)
    return {group[0].key: count_M}


class _Judgement:
    """Networks judged together under every corruption; what is found of each kind is kept in a file until all is."""

    def __init__(self, trainings: Sequence[Training], shifted: ShiftedImages, terms: Terms, folder: Path) -> None:
        self.trainings, self.shifted, self.terms, self.folder = trainings, shifted, terms, folder
        self.known = f"{derive(0, *(training.judging(terms) for training in trainings)):016x}"

    def counts(self, networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Under how many kinds of corruption each network names each image rightly; both by `Training.key`."""
        monitor, total, missing = self.terms.monitor, len(self.shifted.kinds), self.missing()
        done = total - len(missing)
        monitor.start("corruptions", total, "corruption", done)
        for kind, row in self._rows(missing, networks):
            self.keep(kind, row)
            done += 1
            monitor.advance(done)
            monitor.check()
        monitor.finish()
        counts = [torch.zeros(self.shifted.count, dtype=torch.int64) for _ in self.trainings]
        for kind in self._all():
            kept = kept_json(self.folder, self._part(kind))
            if kept is None:
                raise RunError(f"{self.folder / self._part(kind)} was deleted or damaged meanwhile; run it again")
            for count_M, bits in zip(counts, kept["hits"], strict=True):
                count_M += unpacked(bits)
        return {training.key: count_M for training, count_M in zip(self.trainings, counts, strict=True)}

    def tasks(self, kinds: Sequence[Kind], networks: Mapping[str, nn.Module]) -> dict[Kind, JudgingTask]:
        """These kinds for other processes."""
        travelling = {
            str(place): Portable.of(networks[training.key], training.reference, training.shape)
            for place, training in enumerate(self.trainings)
        }
        of = partial(JudgingTask, networks=travelling, suite=self.shifted.suite, count=self.shifted.count)
        return {kind: of(name=kind[1], severity=kind[2]) for kind in kinds}

    def keep(self, kind: Kind, row: dict[str, Any]) -> None:
        """Keep what was found of a kind."""
        found = {"hits": [packed(of_bits(row["hits"][str(place)])) for place in range(len(self.trainings))]}
        inside.write_text(self.folder, self._part(kind), json_text(found), durable=False)

    def _all(self) -> list[Kind]:
        return [(self.known, *kind) for kind in self.shifted.kinds]

    def missing(self) -> list[Kind]:
        """What is not known yet."""
        return [kind for kind in self._all() if kept_json(self.folder, self._part(kind)) is None]

    def _part(self, kind: Kind) -> str:
        known, name, severity = kind
        return f"{JUDGING}/{known}/{name}-{severity}.json"

    def _rows(self, kinds: Sequence[Kind], networks: Mapping[str, nn.Module]) -> Iterator[tuple[Kind, dict[str, Any]]]:
        """Each kind with what `hits_under` gives of the networks, which are named by their places."""
        terms, shifted = self.terms, self.shifted
        if terms.pool is not None:
            yield from terms.pool.judged(self.tasks(kinds, networks))
            return
        placed = {str(place): terms.compute.prepare(networks[each.key]) for place, each in enumerate(self.trainings)}
        for kind in kinds:
            _, name, severity = kind
            with terms.threaded:
                row = hits_under(
                    placed,
                    shifted.images,
                    name,
                    severity,
                    terms.data.normalise,
                    terms.compute,
                    count=shifted.count,
                    batch_size=terms.batch_size,
                )
            yield kind, row


def kept_json(root: Path, relative: str) -> dict[str, Any] | None:
    """A file's JSON object, or None where there is none, or only a part of one after a crash of the machine."""
    try:
        found = json.loads(inside.read(root, relative))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
