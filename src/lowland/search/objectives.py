"""Objectives of a multi-objective search: what they are called, what has to be measured for them, and their values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lowland.core.config import MeasureConfig
from lowland.core.errors import ConfigError
from lowland.core.registry import MEASURES
from lowland.measures import expression
from lowland.measures.noise import flatnas
from lowland.search.archive import Candidate

Array = NDArray[np.float64]

Kind = Literal["params", "macs", "error", "robustness", "flatnas", "latency", "measure"]

EXACT: Mapping[str, Kind] = {"params": "params", "parameters": "params", "macs": "macs"}
"""Objectives that are counted, not measured. A size is minimised here, though as a measure more of it is better."""

_UNITS: Mapping[Kind, str] = {
    "params": "parameters",
    "macs": "multiply-accumulates",
    "error": "%",
    "robustness": "percentage points",
    "flatnas": "percentage points",
    "latency": "ms",
    "measure": "",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """One objective; all are minimised.

    Attributes:
        label: As a person wrote it, without spaces that mean nothing.
        kind: `params` and `macs` of the delivered network; `error` = 100 − top-1 in percent; `robustness`: R(x, σ) in
            percentage points; `flatnas`: F_α = α·err + k·(1 − α)·R; `latency` in ms; `measure`: minus a measure or sum.
        parts: Labels of the measures it is made of, as `Candidate.details` names them; none where it is exact.
        alpha: α of `flatnas`.
        k: k of `flatnas` where `measure.options.flatnas.k` fixes it; else it follows from the archive.
    """

    label: str
    kind: Kind
    parts: tuple[str, ...] = ()
    alpha: float | None = None
    k: float | None = None

    @property
    def exact(self) -> bool:
        """Whether it is known without measuring, so that no surrogate is needed."""
        return not self.parts

    @property
    def unit(self) -> str:
        """Its unit; empty for measures, which have their own."""
        return _UNITS[self.kind]

    @property
    def facts(self) -> dict[str, object]:
        """JSON: label, kind, unit, whether it is exact, and α."""
        return {
            "label": self.label,
            "kind": self.kind,
            "unit": self.unit,
            "exact": self.exact,
            "alpha": self.alpha,
        }


@dataclass(frozen=True, slots=True)
class Objectives:
    """Two or more objectives and the measure that the archive keeps for every candidate.

    Attributes:
        every: The objectives, in the order given.
        measure: Settings whose `name` is the one expression that measures them all, each part once.
    """

    every: tuple[Objective, ...]
    measure: MeasureConfig

    def __len__(self) -> int:
        return len(self.every)

    def scale(self, candidates: Sequence[Candidate]) -> float | None:
        """Scale R for `flatnas` over scored `candidates`.

        Returns:
            k = mean(err)/mean(R), or the one that `measure.options.flatnas.k` fixes; None where no objective needs it.

        Raises:
            ConfigError: It would not be a positive number, because no candidate errs or none changes under noise.
        """
        objective = next((each for each in self.every if each.kind == "flatnas"), None)
        if objective is None or objective.k is not None:
            return None if objective is None else objective.k
        accuracies, minus_r = (self._parts(candidates, label) for label in objective.parts)
        return flatnas.scale((100.0 * (1.0 - accuracies)).tolist(), (-minus_r).tolist())

    def values(self, candidates: Sequence[Candidate], k: float | None) -> Array:
        """Compute every objective of every candidate.

        Args:
            candidates: Scored ones; a failed one has no values and must not be among them.
            k: The scale of R that `flatnas` uses for all of them; values under different k do not compare.

        Returns:
            Objective values (N candidates, M objectives), all minimised.

        Raises:
            ValueError: A candidate failed, or an objective needs k and there is none.
        """
        without = next((candidate for candidate in candidates if candidate.status != "scored"), None)
        if without is not None:
            raise ValueError(f"{without.status} candidate {without.genotype} has no objective values")
        return np.stack([self._value(objective, candidates, k) for objective in self.every], axis=1)

    def standard_errors(self, candidates: Sequence[Candidate], k: float | None) -> list[list[float | None]]:
        """Estimate the standard error of every value of `values`.

        Those of `flatnas` and of sums add the errors of their parts in quadrature: they leave out the covariance.

        Returns:
            By candidate and objective; 0 where exact, None where a part has none.
        """
        return [[self._standard_error(objective, candidate, k) for objective in self.every] for candidate in candidates]

    def _value(self, objective: Objective, candidates: Sequence[Candidate], k: float | None) -> Array:
        if objective.exact:
            counts = [c.parameters if objective.kind == "params" else c.macs for c in candidates]
            return np.array(counts, dtype=np.float64)
        parts = [self._parts(candidates, label) for label in objective.parts]
        if objective.kind == "error":
            return 100.0 * (1.0 - parts[0])
        if objective.kind == "flatnas":
            if k is None or objective.alpha is None:
                raise ValueError(f"objective {objective.label} needs the scale k of R")
            merits = [
                flatnas.figure_of_merit(100.0 * (1.0 - accuracy), -minus_r, objective.alpha, k)
                for accuracy, minus_r in zip(*parts, strict=True)
            ]
            return np.array(merits, dtype=np.float64)
        if len(parts) == 1:
            return -parts[0]
        weights = [[float(c.details[label]["weight"]) for c in candidates] for label in objective.parts]
        total: Array = np.sum(np.array(weights) * np.array(parts), axis=0)
        return -total

    def _standard_error(self, objective: Objective, candidate: Candidate, k: float | None) -> float | None:
        errors = [self._part(candidate, label, "standard_error") for label in objective.parts]
        if any(error is None for error in errors):
            return None
        if objective.kind == "error":
            scales = [100.0]
        elif objective.kind == "flatnas" and objective.alpha is not None and k is not None:
            scales = [100.0 * objective.alpha, k * (1.0 - objective.alpha)]
        elif len(errors) > 1:
            scales = [float(candidate.details[label]["weight"]) for label in objective.parts]
        else:
            scales = [1.0] * len(errors)
        return float(np.linalg.norm([scale * float(e or 0.0) for scale, e in zip(scales, errors, strict=True)]))

    def _parts(self, candidates: Sequence[Candidate], label: str) -> Array:
        return np.array([self._part(candidate, label, "value") for candidate in candidates], dtype=np.float64)

    def _part(self, candidate: Candidate, label: str, what: Literal["value", "standard_error"]) -> float | None:
        # A measure that is no sum has no parts in `details`.
        alone = self.measure.name == label
        found = getattr(candidate, what) if alone else candidate.details[label][what]
        return None if found is None else float(found)


def parse(texts: Sequence[str], config: MeasureConfig) -> Objectives:
    """Read objectives from the way they are written, such as `["flatnas(alpha=0.5)", "params"]`.

    Settings in parentheses hold for that objective alone, as in measure expressions: `flatnas(alpha=0.9,
    sigma=0.1)`, `robustness(sigma=0.1)`, `accuracy+flatness`.

    Args:
        texts: The objectives.
        config: Settings of measures, where an objective has none of its own. Its `name` is not used.

    Returns:
        The objectives, and the measure behind them.

    Raises:
        ConfigError: Fewer than two objectives, an unknown one, one given twice, a setting that is wrong (α outside
            [0, 1]), or none that is measured.
    """
    try:
        return _parsed(texts, config)
    except ConfigError as error:
        raise ConfigError(f"search.options.pareto.objectives: {error}") from error


def _parsed(texts: Sequence[str], config: MeasureConfig) -> Objectives:

    if len(texts) < 2:
        raise ConfigError(
            f"{list(texts)} has fewer than two objectives to trade off; give at least two, such as flatnas(alpha=0.5) "
            f"and params"
        )
    known = {name: name for name in MEASURES.names()} | {"params": "parameters", "error": "accuracy"}
    needed: dict[str, None] = {}
    every: list[Objective] = []
    seen: dict[tuple[object, ...], str] = {}
    for text in texts:
        objective, measured = _objective(text, config, known)
        meaning = (objective.kind, tuple(sorted(objective.parts)), objective.alpha, objective.k)
        if meaning in seen:
            also = "" if seen[meaning] == objective.label else f", the other time as {seen[meaning]!r}"
            raise ConfigError(f"{objective.label!r} is given twice{also}; leave one out")
        seen[meaning] = objective.label
        needed |= dict.fromkeys(measured)
        every.append(objective)
    if not needed:
        raise ConfigError(
            f"{list(texts)} are sizes only, which need no search; add one that is measured, such as error or "
            f"flatnas(alpha=0.5)"
        )
    scales = {objective.k for objective in every if objective.kind == "flatnas"}
    robustness = {objective.parts for objective in every if objective.kind == "flatnas"}
    if len(scales) > 1 or len(robustness) > 1:
        raise ConfigError(
            f"{list(texts)} ask for flatnas with different robustness settings or k, whose values would not compare; "
            f"let them differ in alpha only"
        )
    measure = config.model_copy(update={"name": "+".join(needed)})
    # The archive names the parts of a sum by the labels that the expression gives them.
    labels = dict(zip(needed, (term.label for term in expression.terms(measure, known)), strict=True))
    return Objectives(
        tuple(replace(each, parts=tuple(labels[part] for part in each.parts)) for each in every),
        measure if len(needed) > 1 else measure.model_copy(update={"name": labels[measure.name]}),
    )


def _objective(text: str, config: MeasureConfig, known: Mapping[str, str]) -> tuple[Objective, tuple[str, ...]]:
    """One objective and the measure terms it needs, by which its `parts` go for the moment."""
    names = expression.names(text)
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise ConfigError(f"unknown objective {unknown!r}; known: {', '.join(sorted(known))}")
    if len(names) == 1 and names[0] in EXACT and text.partition("(")[2].strip(" )"):
        raise ConfigError(f"{names[0]} in {text!r} has no settings; write it without parentheses")
    terms = expression.terms(config.model_copy(update={"name": text}), known)
    if len(terms) > 1:
        misplaced = next((name for name in names if name in EXACT or name in ("error", "flatnas")), None)
        if misplaced is not None:
            raise ConfigError(
                f"{misplaced} in {text!r} is an objective of its own and cannot be part of a sum; list it separately"
            )
        parts = tuple(_written(term.name, term.config, config) for term in terms)
        if len(set(parts)) < len(parts):
            raise ConfigError(f"{text!r} names a measure twice; leave one out")
        return Objective(label="+".join(term.label for term in terms), kind="measure", parts=parts), parts
    (term,) = terms
    if term.name in EXACT:
        return Objective(label=term.label, kind=EXACT[term.name]), ()
    if term.name == "error":
        parts = (_written("accuracy", term.config, config),)
        return Objective(label=term.label, kind="error", parts=parts), parts
    if term.name == "flatnas":
        own = flatnas.FlatNas(term.config).options  # α and k play no part in what is measured
        parts = tuple(_written(name, term.config, config) for name in ("accuracy", "robustness"))
        objective = Objective(label=term.label, kind="flatnas", parts=parts, alpha=own.alpha, k=own.k)
        return objective, parts
    kind: Kind = "measure"
    if term.name == "robustness":
        kind = "robustness"
    elif term.name == "latency":
        kind = "latency"
    parts = (_written(term.name, term.config, config),)
    return Objective(label=term.label, kind=kind, parts=parts), parts


def _written(name: str, own: MeasureConfig, config: MeasureConfig) -> str:
    """A measure term that is equal for equal settings: only what differs from `config` stands in parentheses."""
    common, special = (MEASURES.load(name)(each).identity() for each in (config, own))
    before, now = ([each["options"], *each["uses"].values(), each["shared"]] for each in (common, special))
    arguments = [
        f"{key}={json.dumps(value, separators=(',', ':'))}"
        for old, new in zip(before, now, strict=True)
        for key, value in new.items()
        if value != old[key]
    ]
    return f"{name}({','.join(arguments)})" if arguments else name
