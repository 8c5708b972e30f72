"""Searches by the names that papers give them: settings laid below a person's own, with where they come from.

A searcher or a strategy of the registries is one under its own name; the others are a searcher with a measure.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lowland.core.errors import ConfigError
from lowland.core.registry import SEARCHERS, STRATEGIES

ONE_SHOT = "one-shot"

SIZE: Mapping[str, Any] = {"network": {"channels": "fit"}}
"""Networks of all searches have the same size: the widest within the limits, or what the images allow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """A search by name.

    Attributes:
        name: What a person calls it.
        summary: What it is, in a few words.
        source: Where it was published.
        values: Settings, which a person's own prevail over.
        gpu_days: Published cost of the search on CIFAR-10; None: not known to this project.
        preset: The preset that it is in place of `quick`.
    """

    name: str
    summary: str
    source: str
    values: Mapping[str, Any] = field(default_factory=dict)
    gpu_days: float | None = None
    preset: str = ""


def _scored(measure: str, strategy: str = "evolution") -> dict[str, Any]:
    """A one-shot search whose candidates are scored by a measure, in whose order the first is the one found."""
    return {
        "search": {"searcher": ONE_SHOT, "strategy": strategy, "finalists": 0},
        "measure": {"name": measure, "combine": "sum"},
    }


_DARTS = "Liu et al., DARTS, ICLR 2019 (arXiv 1806.09055)"
_GENAS = "Jeong et al., GeNAS, IJCAI 2023 (arXiv 2305.08611)"

NAMED: Mapping[str, Configuration] = {
    each.name: each
    for each in (
        Configuration(
            name="spos",
            summary="one-shot, evolution by accuracy with inherited weights",
            source="Guo et al., SPOS, ECCV 2020 (arXiv 1904.00420)",
            values=_scored("accuracy"),
        ),
        Configuration(
            name="rlnas",
            summary="one-shot on random labels, evolution by the angle that weights turned",
            source="Zhang et al., RLNAS, CVPR 2021 (arXiv 2101.11834)",
            values={**_scored("angle"), "supernet": {"random_labels": True}},
        ),
        Configuration(
            name="genas",
            summary="one-shot, evolution by flatness with inherited weights (Eq. 4)",
            source=_GENAS,
            values=_scored("flatness"),
        ),
        Configuration(
            name="genas-angle",
            summary="one-shot, evolution by angle and flatness (§4.4)",
            source=_GENAS,
            values=_scored("angle+flatness"),
        ),
        Configuration(
            name="flatnas",
            summary="one-shot, candidates fine-tuned with adaptive SAM; error and robustness against size, knee of "
            "the front",
            source="Gambella et al., FlatNAS, 2024 (arXiv 2402.19102)",
            values={"search": {"searcher": ONE_SHOT}},
            preset="flatnas",
        ),
        Configuration(
            name="default",
            summary="what `lowland run` does with this preset",
            source="this project",
            values={"search": {"searcher": ONE_SHOT}},
        ),
        Configuration(
            name="darts-2nd",
            summary="DARTS with the gradient through a step of the weights",
            source=_DARTS,
            values={"search": {"searcher": "darts", "options": {"darts": {"order": "second"}}}},
            gpu_days=1.0,
        ),
    )
}
"""Searches that are more than the name of a searcher or a strategy."""

JUDGES = ("accuracy", "loss", "flatness")
"""Measures by which the networks of all searches are judged in one supernet."""

COMMON = Configuration(
    name="judge",
    summary="the supernet whose weights judge the networks of all searches",
    source="this project",
    values=_scored("+".join(JUDGES)),
)

GPU_DAYS: Mapping[str, float] = {
    "darts": 0.4,
    "pc-darts": 0.1,
    "p-darts": 0.3,
    "fairdarts": 0.4,
    "sdarts-rs": 0.4,
    "sdarts-adv": 1.3,
}
"""Cost of a search on CIFAR-10 as each method's own paper reports it."""


def configuration(name: str) -> Configuration:
    """Look up a search.

    Returns:
        Its settings and source.

    Raises:
        ConfigError: there is none of this name; names the nearest, and all there are.
    """
    if name in NAMED:
        return NAMED[name]
    searchers = [each for each in SEARCHERS.entries() if each.name not in (ONE_SHOT, "given")]
    for entry in searchers:
        if entry.name == name:
            return Configuration(
                name=name,
                summary=entry.summary,
                source=entry.source,
                values={"search": {"searcher": name, "finalists": 0}},
                gpu_days=GPU_DAYS.get(name),
            )
    strategies = [each for each in STRATEGIES.entries() if each.name not in ("evolution", "pareto")]
    for entry in strategies:
        if entry.name == name:
            return Configuration(
                name=name,
                summary=f"one-shot, by accuracy with inherited weights; {entry.summary}",
                source=entry.source,
                values=_scored("accuracy", name),
            )
    known = [*NAMED, *(each.name for each in searchers), *(each.name for each in strategies)]
    near = difflib.get_close_matches(name, known, n=1)
    guess = f" (did you mean {near[0]}?)" if near else ""
    raise ConfigError(f"--searchers {name!r}{guess} is no search to compare; choose of {', '.join(known)}")
