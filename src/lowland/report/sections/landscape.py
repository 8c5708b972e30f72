"""Loss landscape: loss against weight noise, for inherited and for trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lowland.evaluation.results import Curve, LandscapeResults
from lowland.report.facts import Judged, ReportFacts

LABELS = {"winner": "found network", "random": "random genotype", "retrained": "found network, retrained"}
"""What the loss curves are called; genotypes are too long for a figure."""


def fill(facts: ReportFacts, judged: Judged) -> ReportFacts:
    """The facts with the curves."""
    curves = LandscapeResults.from_json(judged.results).curves
    return replace(facts, curves=tuple(replace(curve, label=LABELS[curve.kind]) for curve in curves))


def values(facts: ReportFacts) -> dict[str, Any]:
    """The two plots and their sample sizes."""
    from lowland.report.figures import plots

    inherited = [curve for curve in facts.curves if curve.kind != "retrained"]
    retrained = [curve for curve in facts.curves if curve.kind == "retrained"]
    return {
        "inherited": plots.landscape(inherited, "inherited") if inherited else None,
        "retrained": plots.landscape(retrained, "retrained") if retrained else None,
        "curve_notes": [_curve_note(part) for part in (inherited, retrained)],
    }


def _curve_note(curves: Sequence[Curve]) -> str:
    """Sample sizes of a loss curve, in words."""
    if not curves:
        return ""
    draws = {curve.draws for curve in curves}
    images = {curve.images for curve in curves}
    each = f"{min(draws)}" if len(draws) == 1 else f"{min(draws)} to {max(draws)}"
    seen = f"{min(images):,}" if len(images) == 1 else f"{min(images):,} to {max(images):,}"
    band = "band: ± one standard error over the draws" if max(draws) > 1 else "a single draw has no standard error"
    return f"{each} noise draw{'s' if max(draws) > 1 else ''} per σ on {seen} images; {band}"
