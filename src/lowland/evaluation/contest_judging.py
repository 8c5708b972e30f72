"""Which test images the networks of a contest name rightly, clean ones and corrupted ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

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

JUDGING = "judging"
"""Folder of the parts of a judgement that is not finished."""


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
    networks = [training.network() for training in trainings]
    clean = [
        ranks(*predict(exact.prepare(network), terms.data.test, terms.data.normalise, exact, terms.batch_size)) == 0
        for network in networks
    ]
    shifted = terms.shifted
    if shifted is None:
        return [Hits(correct_N=correct_N, corrupted_M=None, of=0) for correct_N in clean]
    known = f"{derive(0, *(training.judging(terms) for training in trainings)):016x}"
    kinds = [(name, severity) for name in shifted.names for severity in shifted.severities]
    kept = {kind: kept_json(folder, _part(known, *kind)) for kind in kinds}
    missing = [kind for kind, row in kept.items() if row is None]
    done = len(kinds) - len(missing)
    terms.monitor.start("corruptions", len(kinds), "corruption", done)
    for kind, row in _rows(missing, trainings, networks, shifted, terms):
        kept[kind] = {"hits": [packed(of_bits(row["hits"][str(place)])) for place in range(len(networks))]}
        inside.write_text(folder, _part(known, *kind), json_text(kept[kind]), durable=False)
        done += 1
        terms.monitor.advance(done)
        terms.monitor.check()
    terms.monitor.finish()
    counts = [torch.zeros(shifted.count, dtype=torch.int64) for _ in networks]
    for rows in kept.values():
        assert rows is not None
        for count_M, bits in zip(counts, rows["hits"], strict=True):
            count_M += unpacked(bits)
    return [
        Hits(correct_N=correct_N, corrupted_M=count_M, of=len(kinds))
        for correct_N, count_M in zip(clean, counts, strict=True)
    ]


def _part(known: str, name: str, severity: int) -> str:
    return f"{JUDGING}/{known}/{name}-{severity}.json"


def _rows(
    kinds: Sequence[tuple[str, int]],
    trainings: Sequence[Training],
    networks: Sequence[nn.Module],
    shifted: ShiftedImages,
    terms: Terms,
) -> Iterator[tuple[tuple[str, int], dict[str, Any]]]:
    """Each kind with what `hits_under` gives of the networks, which are named by their places."""
    if terms.pool is not None:
        travelling = {
            str(place): Portable.of(network, training.reference, training.shape)
            for place, (network, training) in enumerate(zip(networks, trainings, strict=True))
        }
        yield from terms.pool.judged(
            {
                (name, severity): JudgingTask(
                    networks=travelling, suite=shifted.suite, name=name, severity=severity, count=shifted.count
                )
                for name, severity in kinds
            }
        )
        return
    fast = replace(terms.compute, autocast_dtype=None)
    placed = {str(place): fast.prepare(network) for place, network in enumerate(networks)}
    for name, severity in kinds:
        with terms.threaded:
            row = hits_under(
                placed,
                shifted.images,
                name,
                severity,
                terms.data.normalise,
                fast,
                count=shifted.count,
                batch_size=terms.batch_size,
            )
        yield (name, severity), row


def kept_json(root: Path, relative: str) -> dict[str, Any] | None:
    """A file's JSON object, or None where there is none, or only a part of one after a crash of the machine."""
    try:
        found = json.loads(inside.read(root, relative))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
