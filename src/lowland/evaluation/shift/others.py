"""What the suites of other images share: what they find of a set, their figures, and their section."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from lowland.evaluation.section import Estimate, Figure, SuiteSection, Table
from lowland.evaluation.shift.detection import SCORES, detection
from lowland.evaluation.shift.results import Others, OthersResults

CONVENTION = (
    "Others found: the share of other images that score above a threshold. FPR95: test images taken for others where "
    "95 % of the others are found, as for ImageNet-O (others positive). FPR95, test positive: others let through where "
    "95 % of the test images are, as much of the literature has it. ± is one standard error, by bootstrap."
)


def others(title: str, known: Mapping[str, Tensor], strange: Mapping[str, Tensor], *, seed: int, suite: str) -> Others:
    """Tell other images from those of the test.

    Args:
        title: What the other images are.
        known: By rank, values of `strangeness` (N, 2) of test images.
        strange: By rank, those of other images.
        seed: The run's seed.
        suite: Name of the suite.

    Returns:
        By rank and score, how well they are told.
    """
    first = next(iter(known))
    return Others(
        title=title,
        others=len(strange[first]),
        known=len(known[first]),
        networks={
            rank: {
                score: detection(
                    known[rank][:, place].numpy(), strange[rank][:, place].numpy(), seed=seed, key=f"{suite} {title}"
                )
                for place, score in enumerate(SCORES)
            }
            for rank in known
        },
    )


def figures(results: OthersResults, what: str) -> dict[str, list[Figure]]:
    """AUROC or AUPR by softmax, of each set; `what` is `auroc` or `aupr`."""
    found: dict[str, list[Figure]] = {}
    for each in results.sets:
        for rank, by in each.networks.items():
            told: Estimate = getattr(by["softmax"], what)
            label = f"{each.title} {what.upper()}"
            found.setdefault(rank, []).append(
                Figure(label=label, value=told.value, unit="%", standard_error=told.standard_error, n=told.n)
            )
    return found


def section(results: OthersResults, title: str, paragraphs: Iterable[str]) -> SuiteSection:
    """A table for each set, of every network by both scores."""
    names = {"softmax": "largest softmax", "energy": "energy"}
    columns = ("Network, score", "AUROC, %", "AUPR, %", "FPR95, %", "FPR95, test positive, %")
    tables = tuple(
        Table(
            columns=columns,
            rows=tuple(
                (f"{rank}, {names[score]}", (told.auroc, told.aupr, told.fpr95, told.fpr95_in))
                for rank, by in each.networks.items()
                for score, told in by.items()
            ),
            title=each.title,
            note=f"{each.others:,} other images and {each.known:,} known ones ({results.known}). By chance AUROC is 50 "
            f"and AUPR {each.chance:.1f}. {CONVENTION}",
        )
        for each in results.sets
    )
    return SuiteSection(title=title, paragraphs=tuple(paragraphs), tables=tables)
