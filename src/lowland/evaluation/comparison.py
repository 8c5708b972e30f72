"""What a comparison of the delivered network with references found: rows of figures, and one sentence in plain words.

All of it goes through JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor

from lowland.evaluation.paired import Difference, accuracy_difference, mean_difference, over_seeds

MORE_MACS = 1.1
"""From this ratio on a sentence says that the delivered network computes more than the reference."""


NORMS = {"batch": "batch norm everywhere", "ibn": "instance-batch norm", "ibn-quarter": "instance-batch norm"}
"""What a norm is called."""


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Which test images a network names rightly.

    Attributes:
        correct_N: Of every test image, bool (N,).
        corrupted_M: Under how many corruptions and severities, int64 (M,), of the first M; None: not judged.
        of: Corruptions times severities.
    """

    correct_N: Tensor
    corrupted_M: Tensor | None
    of: int

    @property
    def top1(self) -> float:
        """Accuracy, percent."""
        return 100 * float(self.correct_N.double().mean())

    @property
    def corrupted_percent_M(self) -> Tensor | None:
        """Accuracy of every image over corruptions and severities, percent."""
        return None if self.corrupted_M is None else 100 * self.corrupted_M.double() / self.of

    @property
    def corrupted(self) -> float | None:
        """Mean accuracy under corruption, percent."""
        percent_M = self.corrupted_percent_M
        return None if percent_M is None else float(percent_M.mean())


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedRow:
    """One training of one network.

    Attributes:
        seed: Of the training.
        top1: Accuracy on test images, percent.
        corrupted: Mean accuracy under corruption, percent; None: not judged.
        seconds: Of training; None where the run did not keep them.
        delivered: Whether it is the delivered network itself, which was not trained again.
    """

    seed: int
    top1: float
    corrupted: float | None
    seconds: float | None
    delivered: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkRow:
    """One network of a comparison.

    Attributes:
        name: What people call it.
        family: Its space, or where it comes from.
        text: What it is, exactly.
        source: Where it is described.
        channels: Width.
        cells: Depth.
        parameters: Number of trainable scalars.
        macs: Multiply-accumulates for one image.
        norm: Its normalisation (`Shape.norm`).
        lacks: Settings of the recipe that it could not follow.
        learned: Where the weights that it began with were learned; empty where they were random.
        seeds: Its trainings.
        difference: In top-1, the delivered network minus this one; None for the delivered one.
        corrupted_difference: The same in mean accuracy under corruption.
    """

    name: str
    family: str
    text: str
    source: str
    channels: int
    cells: int
    parameters: int
    macs: int
    norm: str = "batch"
    lacks: tuple[str, ...] = ()
    learned: str = ""
    seeds: tuple[SeedRow, ...]
    difference: Difference | None = None
    corrupted_difference: Difference | None = None

    @property
    def top1(self) -> float:
        """Mean over seeds, percent."""
        return sum(each.top1 for each in self.seeds) / len(self.seeds)

    @property
    def corrupted(self) -> float | None:
        """Mean over seeds, percent."""
        values = [each.corrupted for each in self.seeds if each.corrupted is not None]
        return sum(values) / len(values) if values else None

    @property
    def seconds(self) -> float | None:
        """Mean training time, seconds."""
        values = [each.seconds for each in self.seeds if each.seconds is not None]
        return sum(values) / len(values) if values else None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `asdict`, also after a round trip through JSON."""
        differences = {
            name: None if values[name] is None else Difference.from_json(values[name])
            for name in ("difference", "corrupted_difference")
        }
        seeds = tuple(SeedRow(**each) for each in values["seeds"])
        return cls(**{**values, "lacks": tuple(values["lacks"]), "seeds": seeds, **differences})


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonResults:
    """The delivered network beside its references.

    Attributes:
        networks: The delivered one first, then the references as they were asked for.
        images: Test images, N.
        corrupted_images: Of them judged under corruption, M; 0: none.
        corruptions: By name.
        severities: Levels of each.
    """

    networks: tuple[NetworkRow, ...]
    images: int
    corrupted_images: int
    corruptions: tuple[str, ...] = ()
    severities: tuple[int, ...] = ()

    @property
    def delivered(self) -> NetworkRow:
        """The network that the search found."""
        return self.networks[0]

    @property
    def references(self) -> tuple[NetworkRow, ...]:
        """All others."""
        return self.networks[1:]

    @property
    def equal(self) -> tuple[NetworkRow, ...]:
        """References that began with random weights, as the delivered network did; where there are none, all."""
        return tuple(row for row in self.references if not row.learned) or self.references

    @property
    def best(self) -> NetworkRow:
        """Of `equal` the reference of the highest top-1, mean over seeds: chosen by its result, which favours it."""
        return max(self.equal, key=lambda row: row.top1)

    @property
    def best_corrupted(self) -> NetworkRow | None:
        """Of `equal` the reference of the highest accuracy under corruption."""
        judged = [row for row in self.equal if row.corrupted is not None]
        return max(judged, key=lambda row: row.corrupted or 0.0) if judged else None

    @property
    def sentences(self) -> tuple[str, ...]:
        """Whether the search was worth it, in plain words: on clean images, and under corruption where judged."""
        if not self.references:
            return ("No reference could be built for these images within the size of the delivered network.",)
        found = [_sentence("", self.delivered, self.best, self.best.difference)]
        corrupted = self.best_corrupted
        if corrupted is not None:
            shifted = corrupted.corrupted_difference
            found.append(_sentence("under corruption", self.delivered, corrupted, shifted))
        norm = self.delivered.norm
        if any(row.norm != norm for row in (self.best, corrupted) if row is not None):
            others = [row.name for row in self.references if row.family == self.delivered.family and row.norm != norm]
            ask = f": ask `lowland compare --with {others[0]}@{norm}` what the norm alone gains" if others else ""
            found.append(f"The delivered network has {NORMS[norm]}, the reference has not{ask}.")
        found += [_unequal(row, alone=row in self.equal) for row in self.references if row.learned]
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """As JSON-like values, with the sentences."""
        return {**asdict(self), "sentences": list(self.sentences)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`, also after a round trip through JSON."""
        return cls(
            networks=tuple(map(NetworkRow.from_json, values["networks"])),
            images=values["images"],
            corrupted_images=values["corrupted_images"],
            corruptions=tuple(values["corruptions"]),
            severities=tuple(values["severities"]),
        )


def differences(delivered: Sequence[Hits], reference: Sequence[Hits]) -> tuple[Difference, Difference | None]:
    """Differences of the delivered network minus a reference in top-1 and under corruption, paired seed by seed."""
    pairs = list(zip(delivered, reference, strict=True))
    clean = over_seeds([accuracy_difference(one.correct_N, other.correct_N) for one, other in pairs])
    shifted = [
        mean_difference(first_M, second_M)
        for one, other in pairs
        if (first_M := one.corrupted_percent_M) is not None and (second_M := other.corrupted_percent_M) is not None
    ]
    return clean, over_seeds(shifted) if shifted else None


def signed(value: float, decimals: int = 1) -> str:
    """`+0.8`, `−0.4`, `0.0`."""
    text = f"{abs(value):.{decimals}f}"
    return text if float(text) == 0 else f"{'+' if value > 0 else '−'}{text}"


def _sentence(where: str, delivered: NetworkRow, reference: NetworkRow, found: Difference | None) -> str:
    assert found is not None  # a reference has it
    best = f"the best reference, {reference.name}"
    sizes = f"at {_size(delivered.parameters)} parameters"
    if reference.parameters > delivered.parameters:
        sizes = f"with {_size(delivered.parameters)} parameters against {_size(reference.parameters)}"
    if delivered.macs > MORE_MACS * reference.macs:
        sizes += f" and {delivered.macs / reference.macs:.1f} times its multiply-accumulates"
    sample = f"{found.n} seeds" if found.over == "seeds" else f"1 seed, {found.n:,} test images"
    if found.sign == 0:
        interval = ""
        if found.low is not None and found.high is not None:
            interval = f" ({signed(found.low)} … {signed(found.high)})"
        accuracy = f"accuracy {where}".strip()
        return (
            f"The {accuracy} of the delivered network cannot be told from that of {best}: the difference is "
            f"{signed(found.value)} points{interval} {sizes} ({sample})."
        )
    ends = sorted(abs(end) for end in (found.low, found.high) if end is not None)
    subject = f"{where}, the".capitalize() if where else "The"
    return (
        f"{subject} delivered network is {abs(found.value):.1f} points ({ends[0]:.1f} … {ends[1]:.1f}) "
        f"{'more' if found.sign > 0 else 'less'} accurate than {best}, {sizes} ({sample})."
    )


def _unequal(reference: NetworkRow, *, alone: bool) -> str:
    """What is to be known of a reference that began with learned weights; `alone`: other sentences tell the figures."""
    said = (
        f"{reference.name} began with weights learned elsewhere ({reference.learned}) and the delivered network with "
        "random ones: these are no equal terms"
    )
    found = reference.difference
    if alone or found is None:
        return f"{said}."
    if found.sign == 0:
        return f"{said}, and the two cannot be told apart (difference {signed(found.value)} points)."
    ends = sorted(abs(end) for end in (found.low, found.high) if end is not None)
    which = "less" if found.sign > 0 else "more"
    return f"{said}, on which it is {abs(found.value):.1f} points ({ends[0]:.1f} … {ends[1]:.1f}) {which} accurate."


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count >= 100_000 else f"{count:,}"


def packed(hit_N: Tensor) -> str:
    """One character for every image, `1` or `0`."""
    return "".join("1" if hit else "0" for hit in hit_N.tolist())


def unpacked(text: str) -> Tensor:
    """From `packed`, bool (N,)."""
    return torch.tensor([character == "1" for character in text], dtype=torch.bool)
