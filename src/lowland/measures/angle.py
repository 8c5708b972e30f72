"""Angle between a candidate's initial and trained weights (RLNAS): the further training turned them, the better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from weakref import WeakKeyDictionary

from pydantic import Field
from torch import Tensor, nn

from lowland.core.config import Config as RunConfig
from lowland.core.config import MeasureConfig
from lowland.core.errors import ConfigError, RunError
from lowland.core.genotype import Genotype
from lowland.core.settings import Section
from lowland.measures.measure import Context, Measure, Score, register
from lowland.spaces.space import Supernet, is_searched
from lowland.spaces.values import AngleTerm, Part

Products = tuple[float, float, float]
"""⟨w₀, w⟩, ⟨w₀, w₀⟩ and ⟨w, w⟩."""


@dataclass
class _Table:
    """Products per parameter, or part of one, of one supernet, so that a candidate's angle is a handful of additions.

    An entry holds for one version of the parameter (torch counts in-place writes) at one place in memory.
    """

    initial: Mapping[str, Tensor]
    entries: dict[tuple[str, Part], tuple[tuple[int, int], Products]] = field(default_factory=dict)

    def products(self, name: str, parameter: nn.Parameter, part: Part) -> Products:
        version = (parameter._version, parameter.data_ptr())
        known = self.entries.get((name, part))
        if known is not None and known[0] == version:
            return known[1]
        if name not in self.initial or self.initial[name].shape != parameter.shape:
            raise RunError(
                f"the initial weights do not fit the supernet: {name} of shape {tuple(parameter.shape)} is expected; "
                "use the initial weights that this supernet was trained from"
            )
        # On the CPU, which always has float64; flattened by index, so that memory formats may differ.
        block = tuple(slice(start, stop) for start, stop in part)
        now = parameter.detach()[block].cpu().double().flatten()
        before = self.initial[name][block].cpu().double().flatten()
        products = (float(before @ now), float(before @ before), float(now @ now))
        self.entries[name, part] = (version, products)
        return products


@register
class Angle(Measure):
    """arccos(⟨v₀, v⟩ / (|v₀|·|v|)) in radians, in [0, π], between architecture vectors before and after training.

    Sums run in float64 and the cosine is clamped to [−1, 1]. Where no route is alive (no terms), or a vector has no
    length, the angle is 0. It is exact: there is no standard error.
    """

    name = "angle"
    summary = "angle (radians) between the weights before and after training, without looking at data"
    source = "RLNAS (Zhang et al., CVPR 2021), Eq. 4 and 5"

    class Config(Section):
        """Settings of the angle."""

        vector: Literal["cells+fixed", "cells"] = Field(
            "cells+fixed", description="architecture vector with or without stem, reductions and classifier"
        )
        bn_scale: Literal["once", "twice"] = Field(
            "once", description="count dilated convolutions' batch-norm scale once, or twice as the public code does"
        )

    options: Config

    def __init__(self, config: MeasureConfig) -> None:
        super().__init__(config)
        self._tables: WeakKeyDictionary[Supernet, _Table] = WeakKeyDictionary()

    @property
    def weight(self) -> float:
        """1/π, so that it is in [0, 1]."""
        return 1.0 / math.pi

    def require(self, config: RunConfig) -> None:
        """Check that each weight of the supernet can be compared with its own initial value.

        Raises:
            ConfigError: candidates are fine-tuned, or channels sorted.
        """
        if config.finetune.epochs:
            raise ConfigError(
                f"measure {config.measure.name!r}: the angle does not exist for fine-tuned candidates; choose another "
                "measure, or set finetune.epochs=0"
            )
        if config.supernet.shrinking:
            raise ConfigError(
                f"measure {config.measure.name!r}: the angle means nothing where supernet.shrinking sorts the "
                "channels; choose another measure or leave supernet.shrinking out"
            )

    def score(self, supernet: Supernet, genotype: Genotype, context: Context) -> Score:
        """Measure the angle of one candidate.

        Returns:
            The angle in radians, without a standard error.

        Raises:
            RunError: `context.initial` does not belong to this supernet.
        """
        terms = context.space.angle_terms(supernet, genotype, bn_scale=self.options.bn_scale)
        if self.options.vector == "cells":
            terms = [term for term in terms if term.name is None or is_searched(term.name)]
        dot, initial, trained = self._sums(supernet, terms, context.initial)
        length = math.sqrt(initial) * math.sqrt(trained)
        angle = math.acos(max(-1.0, min(1.0, dot / length))) if length > 0.0 else 0.0
        return Score(
            angle,
            None,
            {"initial_norm": math.sqrt(initial), "trained_norm": math.sqrt(trained), "terms": len(terms)},
        )

    def _sums(self, supernet: Supernet, terms: list[AngleTerm], initial: Mapping[str, Tensor]) -> Products:
        table = self._tables.get(supernet)
        if table is None or table.initial is not initial:
            table = self._tables[supernet] = _Table(initial)
        products: list[Products] = []
        for term in terms:
            if term.name is None:
                products.append((term.times * term.square,) * 3)
            else:
                dot, before, now = table.products(term.name, supernet.get_parameter(term.name), term.part)
                products.append((term.times * dot, term.times * before, term.times * now))
        return (
            math.fsum(dot for dot, _, _ in products),
            math.fsum(before for _, before, _ in products),
            math.fsum(now for _, _, now in products),
        )
