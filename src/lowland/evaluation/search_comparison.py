"""What a comparison of searches found: a row for each, its networks seed by seed, and sentences in plain words.

All of it goes through JSON. Where accuracies come from a table they are the table's; else each network was trained by
one recipe at one size with the seed of its search.

Array names: N seeds, S searches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from scipy import stats

from lowland.evaluation.paired import Difference, student

CHANCE = ("random", "random-designs")
"""Searches that choose by chance."""

FEWEST = 3
"""Seeds, and searches, from which on average ranks are compared."""

FEWEST_NETWORKS = 5
"""Different networks from which on it is said whether flat ones are accurate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A genotype with the weights of one supernet, the same for all, which none of the searches saw.

    Attributes:
        accuracy: On search images, in [0, 1].
        loss: Cross-entropy, nats.
        flatness: F of GeNAS, Eq. 4.
        flatness_error: Its standard error.
    """

    accuracy: float
    loss: float
    flatness: float
    flatness_error: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """Where a search by gradients stood after an epoch.

    Attributes:
        epoch: From 0.
        skips: Skip connections of the genotype read from it, by kind of cell.
        judged: That genotype with the weights of the common supernet.
    """

    epoch: int
    skips: Mapping[str, int]
    judged: Judged | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One search with one seed, and the network it found.

    Attributes:
        seed: Of the run.
        genotype: As text.
        seconds: Wall time of the search, its supernet included.
        image_seconds: Of training, for 1,000 images that the supernet saw; None where none was trained.
        accuracy: Of the network, percent.
        corrupted: Mean accuracy under corruption, percent; None: not known.
        parameters: Of the network.
        macs: Multiply-accumulates for one image.
        operations: Operations of a cell of one kind; None where the space has no skip connections to choose.
        skips: Skip connections by kind of cell.
        cut: Whether there is a cell whose output no input reaches: such a network says the same of every image.
        judged: With the weights of the common supernet.
        epochs: Of a search by gradients.
    """

    seed: int
    genotype: str
    seconds: float
    image_seconds: float | None
    accuracy: float
    corrupted: float | None = None
    parameters: int
    macs: int
    operations: int | None = None
    skips: Mapping[str, int]
    cut: bool = False
    judged: Judged | None = None
    epochs: tuple[Epoch, ...] = ()

    @property
    def collapsed(self) -> bool:
        """Whether more than half of its operations are skips, or no input reaches its output."""
        skipping = self.operations is not None and 2 * sum(self.skips.values()) > self.operations * len(self.skips)
        return skipping or self.cut

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `asdict`, also after a round trip through JSON."""
        epochs = tuple(Epoch(**{**each, "judged": _judged(each["judged"])}) for each in values["epochs"])
        return cls(**{**values, "judged": _judged(values["judged"]), "epochs": epochs})


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRow:
    """One search.

    Attributes:
        name: What people call it.
        summary: What it is.
        source: Where it was published.
        gpu_days: Published cost on CIFAR-10; None: not known.
        found: Seed by seed.
    """

    name: str
    summary: str
    source: str
    gpu_days: float | None
    found: tuple[Found, ...]

    @property
    def accuracies(self) -> list[float]:
        """Seed by seed, percent."""
        return [each.accuracy for each in self.found]

    @property
    def accuracy(self) -> Difference:
        """Mean over seeds, percent, with its 95 % interval."""
        return student(self.accuracies, "seeds")

    @property
    def seconds(self) -> float:
        """Mean search time."""
        return float(np.mean([each.seconds for each in self.found]))

    @property
    def flatness(self) -> Difference | None:
        """Mean flatness in the common supernet, over seeds; None where nothing was judged in one."""
        values = [each.judged.flatness for each in self.found if each.judged is not None]
        return student(values, "seeds") if values else None

    @property
    def collapsed(self) -> int:
        """Searches that ended in skips, or in a cell that is cut."""
        return sum(each.collapsed for each in self.found)

    @property
    def cut(self) -> int:
        """Those of them that ended in a cell that is cut."""
        return sum(each.cut for each in self.found)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `asdict`, also after a round trip through JSON."""
        return cls(**{**values, "found": tuple(map(Found.from_json, values["found"]))})


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchComparison:
    """Searches beside one another.

    Attributes:
        rows: In the order they were asked for; of all the same seeds.
        accuracy: Where accuracies come from: a column of a table, or `retrained`.
    """

    rows: tuple[SearchRow, ...]
    accuracy: str

    @property
    def seeds(self) -> int:
        """N."""
        return len(self.rows[0].found)

    @property
    def ordered(self) -> list[SearchRow]:
        """The most accurate networks first."""
        return sorted(self.rows, key=lambda row: -row.accuracy.value)

    def relative(self, row: SearchRow, to: str = "spos") -> float | None:
        """Mean search time in units of that of another search; None where that is not among them."""
        other = next((each for each in self.rows if each.name == to), None)
        return None if other is None or not other.seconds else row.seconds / other.seconds

    def relative_training(self, row: SearchRow, to: str = "spos") -> float | None:
        """Training time for an image in units of that of another search: what a budget does not level."""
        other = next((each for each in self.rows if each.name == to), None)
        mine, theirs = (_mean_image_seconds(each) for each in (row, other))
        return None if mine is None or theirs is None else mine / theirs

    @property
    def ranks(self) -> tuple[list[float], float, float] | None:
        """Average ranks of the searches over seeds, Nemenyi's critical difference at 5 %, and Friedman's p.

        CD = q · √(S(S + 1) / 6N), q being the studentised range for S groups and infinite freedom over √2
        (Demšar, JMLR 7 (2006), Eq. in §3.2.2). Ranks from 1, the most accurate; ties share their mean.

        Returns:
            In the order of `rows`; None with fewer than three seeds or searches.
        """
        groups, blocks = len(self.rows), self.seeds
        if groups < FEWEST or blocks < FEWEST:
            return None
        accuracies_NS = np.array([row.accuracies for row in self.rows]).T
        ranks_NS = stats.rankdata(-accuracies_NS, axis=1)
        quantile = float(stats.studentized_range.ppf(0.95, groups, np.inf)) / math.sqrt(2)
        difference = quantile * math.sqrt(groups * (groups + 1) / (6 * blocks))
        alike = bool((np.ptp(accuracies_NS, axis=1) == 0).all())
        p = 1.0 if alike else float(stats.friedmanchisquare(*accuracies_NS.T).pvalue)
        return ranks_NS.mean(axis=0).tolist(), difference, p

    @property
    def agreement(self) -> tuple[float, float, int] | None:
        """Kendall's τ-b of flatness with accuracy among the different networks found, its p, and how many they are."""
        networks: dict[str, list[Found]] = {}
        for row in self.rows:
            for each in row.found:
                if each.judged is not None:
                    networks.setdefault(each.genotype, []).append(each)
        if len(networks) < FEWEST_NETWORKS:
            return None
        flat = [of[0].judged.flatness for of in networks.values() if of[0].judged is not None]
        found = stats.kendalltau(flat, [np.mean([each.accuracy for each in of]) for of in networks.values()])
        return float(found.statistic), float(found.pvalue), len(networks)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the figures support, in plain words."""
        return tuple(
            text for text in (self._best(), self._chance(), self._collapse(), self._flat()) if text is not None
        )

    def _best(self) -> str:
        best, *others = self.ordered
        shown = f"{best.accuracy.value:.2f} % on average over {self.seeds} {'seed' if self.seeds == 1 else 'seeds'}"
        if not others:
            return f"{best.name} finds networks of {shown}; there is no other search beside it."
        second = others[0]
        said = f"{best.name} finds the most accurate networks, {shown}; next is {second.name}"
        gap = paired(best, second)
        if gap.low is None or gap.high is None:
            return f"{said}, {gap.value:.2f} points below, of which one seed cannot tell whether it is chance."
        told = "more than chance" if gap.sign > 0 else "which these seeds cannot tell from chance"
        return (
            f"{said}, {gap.value:.2f} points below ({gap.low:.2f} to {gap.high:.2f}), {told}. The best was chosen by "
            "this result, which favours it."
        )

    def _chance(self) -> str | None:
        chance = next((row for name in CHANCE for row in self.rows if row.name == name), None)
        others = [row for row in self.rows if row is not chance]
        if chance is None or not others or self.seeds < 2:
            return None
        signs = {row.name: paired(row, chance).sign for row in others}
        better = [name for name, sign in signs.items() if sign > 0]
        worse = [name for name, sign in signs.items() if sign < 0]
        unclear = [name for name, sign in signs.items() if not sign]
        parts = [
            f"{_listed(names)} {verb} {text}"
            for names, text in (
                (better, f"more accurate networks than {chance.name}"),
                (worse, f"less accurate ones than {chance.name}"),
            )
            if names
            for verb in ("finds" if len(names) == 1 else "find",)
        ]
        if unclear:
            parts.append(f"{_listed(unclear)} cannot be told from {chance.name}")
        return f"{'; '.join(parts)} (95 % intervals of paired differences, each for itself)."

    def _collapse(self) -> str | None:
        learnt = [row for row in self.rows if any(each.epochs for each in row.found)]
        if not learnt:
            return None
        skipping = {row.name: row.collapsed - row.cut for row in learnt if row.collapsed > row.cut}
        cut = {row.name: row.cut for row in learnt if row.cut}
        if not skipping and not cut:
            return f"No search by gradients ended in a cell that is mostly skips ({_listed([r.name for r in learnt])})."
        kinds = (
            ("Collapse, more than half of the operations found being skips", skipping),
            ("Collapse, no input reaching the output of a cell, since “none” was chosen on the way", cut),
        )
        return " ".join(
            f"{what}: {'; '.join(f'{name} in {count} of {self.seeds} searches' for name, count in fallen.items())}."
            for what, fallen in kinds
            if fallen
        )

    def _flat(self) -> str | None:
        found = self.agreement
        if found is None or math.isnan(found[0]):
            return None
        tau, p, count = found
        if p >= 0.05:
            return (
                f"Among the {count} different networks found, flatness does not tell which are accurate (Kendall's τ "
                f"{tau:.2f}, p {p:.2f})."
            )
        way = "the flatter ones are more accurate" if tau > 0 else "the flatter ones are less accurate"
        return f"Among the {count} different networks found, {way} (Kendall's τ {tau:.2f}, p {p:.2g})."

    def to_json(self) -> dict[str, Any]:
        """As JSON-like values, with the sentences and the statistics."""
        ranks, agreement = self.ranks, self.agreement
        return {
            **asdict(self),
            "ranks": None
            if ranks is None
            else {
                "average": {row.name: rank for row, rank in zip(self.rows, ranks[0], strict=True)},
                "critical_difference": ranks[1],
                "friedman_p": ranks[2],
            },
            "flatness_accuracy": None
            if agreement is None
            else dict(zip(("kendall_tau", "p", "networks"), agreement, strict=True)),
            "means": {
                row.name: {
                    "accuracy": row.accuracy.to_json(),
                    "seconds": row.seconds,
                    "to_spos": self.relative(row),
                    "training_to_spos": self.relative_training(row),
                    "flatness": None if row.flatness is None else row.flatness.to_json(),
                    "collapsed": row.collapsed,
                }
                for row in self.rows
            },
            "sentences": list(self.sentences),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`, also after a round trip through JSON."""
        return cls(rows=tuple(map(SearchRow.from_json, values["rows"])), accuracy=values["accuracy"])


def paired(first: SearchRow, second: SearchRow) -> Difference:
    """Accuracy of the first search's networks minus the second's, paired by seed, percentage points."""
    return student([a - b for a, b in zip(first.accuracies, second.accuracies, strict=True)], "seeds")


def _judged(values: Mapping[str, Any] | None) -> Judged | None:
    return None if values is None else Judged(**values)


def _mean_image_seconds(row: SearchRow | None) -> float | None:
    values = [each.image_seconds for each in row.found if each.image_seconds is not None] if row is not None else []
    return float(np.mean(values)) if values else None


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
