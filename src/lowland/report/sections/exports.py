"""Exported forms: how each agrees with the network, its size and its times, as a section in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lowland.evaluation.section import Estimate, SuiteSection, Table
from lowland.report.facts import Judged

NAME = "exports"


def judged(forms: Mapping[str, Mapping[str, Any]]) -> Judged:
    """What is noted of the exported forms, as the page shows suites without a section of their own.

    Args:
        forms: By name, an outcome as `delivery.agreement.Outcome` writes it, and what it was found on.

    Returns:
        A suite's results and section.
    """
    return Judged(suite=NAME, results=forms, section=section(forms))


def section(forms: Mapping[str, Mapping[str, Any]]) -> SuiteSection:
    """Two tables: agreement with the network, and times."""
    found = {name: values["agreement"] for name, values in forms.items()}
    counts = sorted({values["images"] for values in found.values()})
    where = sorted({str(values["data"]) for values in forms.values()})
    agreement = Table(
        columns=("Format", "Size, MB", "Size, × fp32", "Logits differ by", "Top-1, %", "Change, points", "Changed"),
        rows=tuple(
            (
                name,
                (
                    Estimate(value=forms[name]["bytes"] / 1e6),
                    f"{forms[name]['share']:.2f}",
                    f"{values['largest_difference']:.1e}",
                    Estimate(value=values["top1"]),
                    Estimate(value=values["top1_change"], standard_error=values["top1_error"] or None),
                    f"{values['changed']:,}",
                ),
            )
            for name, values in found.items()
        ),
        title="Agreement with the network in PyTorch",
        note=(
            f"On {' or '.join(f'{count:,}' for count in counts)} test images of {', '.join(where)}. Size relative to "
            "the fp32 weights. Logits differ by: the largest difference of any logit. Changed: images whose likeliest "
            "class is another. ± is one standard error of the change, paired by image."
        ),
    )
    times = [(name, each) for name, values in forms.items() for each in values["latency"]]
    latency = Table(
        columns=("Format", "Images", "Threads", "Median, ms", "Middle half, ms", "× PyTorch"),
        rows=tuple(
            (
                name,
                (
                    str(each["batch"]),
                    str(each["threads"]),
                    f"{each['milliseconds']:.2f}",
                    f"{each['low']:.2f} to {each['high']:.2f}",
                    f"{each['ratio']:.2g}",
                ),
            )
            for name, each in times
        ),
        title="Time on the CPU",
        note=(
            "Time of one batch; the network in PyTorch (eager) and the file took turns, so that × PyTorch compares "
            "them in the same seconds: below 1 is faster. The times themselves depend on what else the machine did."
        ),
    )
    return SuiteSection(
        title="Exported forms",
        paragraphs=("Written with `lowland export`; each file was run on real images and compared with the network.",),
        tables=(agreement, latency),
    )
