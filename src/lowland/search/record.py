"""What a search leaves, whatever searched: the networks it ranks, and what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lowland.core.genotype import Genotype
from lowland.search.archive import Candidate
from lowland.search.strategies.state import SearchSummary


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One network of a ranking.

    Attributes:
        genotype: The architecture.
        parameters: Scalar weights of the delivered network.
        macs: Its multiply-accumulates for one image.
        value: Score, greater is better; None where the order is all there is.
        standard_error: Of the score, where it was estimated.
        details: What the measure noted besides, as JSON.
        place: In the order of the measure, from 1, before a shortlist or finalists changed it; None: the same.
        shortlist: How a second measure judged it (`measure`, `value`, `standard_error`); None where it did not.
        finalist: How its training began (`rungs`, `measure`, `name` of one written by hand); None: it was not begun.
        shape: `channels`, `cells` and, where it is not the published one, `growth`, where they are this network's own;
            None: as the settings have it.
    """

    genotype: Genotype
    parameters: int
    macs: int
    value: float | None = None
    standard_error: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    place: int | None = None
    shortlist: Mapping[str, Any] | None = None
    finalist: Mapping[str, Any] | None = None
    shape: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """What a search leaves.

    Attributes:
        ranking: Networks, best first; the first is delivered.
        summary: What the search did.
        candidates: Those with a score, in the order they were judged; the archive holds the scores, under `measure`.
        measure: Identity of the measure in the archive; None where there is no archive.
        combine: How the order came of the scores (`measure.combine`); `sum`: `value` has a unit, else it has none.
        images: Images each candidate was scored on; 0 where none was looked at.
        facts: What a strategy with several objectives tells besides, as JSON; None of others.
        relaxed: What a gradient search tells of its epochs, as JSON; None of others.
        checkpoints: Checkpoints that are of no more use once the record is written.
        files: Files of the run directory that it wrote, besides search.json.
    """

    ranking: Sequence[Ranked]
    summary: SearchSummary
    candidates: Sequence[Candidate] = ()
    measure: str | None = None
    combine: str = "sum"
    images: int = 0
    facts: Mapping[str, Any] | None = None
    relaxed: Mapping[str, Any] | None = None
    checkpoints: Sequence[str] = ()
    files: Sequence[str] = ()
