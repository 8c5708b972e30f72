"""A made-up comparison of searches: three searches and three seeds, of which one collapses."""

from __future__ import annotations

from typing import Any

from lowland.evaluation.search_comparison import Epoch, Found, Judged, SearchComparison, SearchRow


def found(seed: int, accuracy: float, *, skips: int = 1, flat: float = 1.0, learnt: bool = False) -> Found:
    judged = Judged(accuracy=0.5, loss=1.5, flatness=flat, flatness_error=0.01)
    return Found(
        seed=seed,
        genotype=f"network {accuracy}",
        seconds=60.0 + seed,
        image_seconds=0.2 * (2 if learnt else 1),
        accuracy=accuracy,
        parameters=100_000,
        macs=10_000_000,
        operations=6,
        skips={"cell": skips},
        judged=judged,
        epochs=tuple(Epoch(epoch=place, skips={"cell": place}, judged=judged) for place in range(5)) if learnt else (),
    )


def comparison(**changes: Any) -> SearchComparison:
    """SPOS and DARTS beside random search; flat networks are accurate."""
    accuracies = {"spos": (93.1, 93.3, 93.2), "darts": (54.3, 54.4, 60.0), "random": (92.0, 92.3, 92.2)} | changes
    rows = tuple(
        SearchRow(
            name=name,
            summary=f"what {name} is",
            source="a paper",
            gpu_days=0.4 if name == "darts" else None,
            found=tuple(
                found(seed, each, skips=6 if each == 54.3 else 1, flat=each, learnt=name == "darts")
                for seed, each in enumerate(values)
            ),
        )
        for name, values in accuracies.items()
    )
    return SearchComparison(rows=rows, accuracy="test_acc")
