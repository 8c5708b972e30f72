"""The statistics of a ranking: each measure against each truth, and measures against each other."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowland.evaluation.ranking import statistics as ranking
from lowland.evaluation.ranking.statistics import Array, Bootstrap
from lowland.workflow.ranking.request import RankingRequest


class Statistics:
    """Bootstraps of measures against truths, each computed once."""

    def __init__(self, values: Mapping[str, Array], columns: Mapping[str, Array], request: RankingRequest) -> None:
        self.values, self.columns, self.request = values, columns, request
        self._known: dict[tuple[str, str, bytes], Bootstrap | None] = {}

    def of(self, name: str, column: str, there_N: NDArray[np.bool_] | None = None) -> Bootstrap | None:
        """The bootstrap of one measure over the genotypes it scored (of `there_N`); None for fewer than two."""
        there_N = ~np.isnan(self.values[name]) if there_N is None else there_N
        key = name, column, there_N.tobytes()
        if key not in self._known:
            enough = there_N.sum() >= 2
            self._known[key] = self._bootstrap(self.values[name][there_N], column, there_N) if enough else None
        return self._known[key]

    def _bootstrap(self, values_N: Array, column: str, there_N: NDArray[np.bool_]) -> Bootstrap:
        asked = self.request
        return ranking.bootstrap(
            values_N, self.columns[column][there_N], resamples=asked.resamples, seed=asked.sample_seed
        )

    def references(self) -> list[dict[str, Any]]:
        """How the first truth column orders genotypes by each other one: what a perfect measure of it would reach."""
        first, *others = self.columns
        all_N = np.ones(len(self.columns[first]), dtype=np.bool_)
        return [
            {"name": first, "truth": {column: ranking.as_facts(self._bootstrap(self.columns[first], column, all_N))}}
            for column in others
        ]

    def differences(self) -> list[dict[str, Any]]:
        """Paired differences in τ-b (all genotypes) of any two measures, over the genotypes that both scored."""
        found = []
        for column in self.columns:
            for first, second in combinations(self.values, 2):
                there_N = ~(np.isnan(self.values[first]) | np.isnan(self.values[second]))
                one, other = self.of(first, column, there_N), self.of(second, column, there_N)
                if one is None or other is None:
                    continue
                interval = one.minus(other, "all", "tau")
                facts = {"value": interval.value, "low": interval.low, "high": interval.high}
                found.append({"first": first, "second": second, "truth": column, "n": int(there_N.sum()), **facts})
        return found
