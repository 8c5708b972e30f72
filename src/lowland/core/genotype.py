"""The genotype: what identifies a candidate architecture, and nothing else does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Genotype:
    """An immutable tuple of integers bound to its search space.

    Attributes:
        space: Registered name of the search space, such as `nasbench201`.
        genes: One integer per decision, in the space's own order.
    """

    space: str
    genes: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.space}:{','.join(map(str, self.genes))}"
