"""The card of a delivered network: README.md in its folder, as the Hugging Face Hub reads it.

The licence is left to whoever publishes the network. A card that somebody has edited is theirs and is never written
over: the last line tells whether it was.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from lowland._version import __version__
from lowland.report import text
from lowland.report.facts import ReportFacts

FILE = "README.md"
MOST_CLASSES = 50
"""Class names listed; of more, only these and the count."""

_END = "<!-- written by lowland; edit freely: a card that differs from this sum is not written over: "
_SPECIAL = re.compile(r"([\\`*_\[\]#!|<>&~$])")
"""What may begin markup within a line; names stand nowhere else."""


def card(
    facts: ReportFacts,
    rank: int,
    results: Mapping[str, Mapping[str, Any]],
    exports: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """The card of the network of a rank.

    Args:
        facts: Of its run.
        rank: From 1.
        results: Figures of all suites by label: value, unit, standard_error, n.
        exports: Outcomes of exported forms, by name; None where there are none.

    Returns:
        Markdown behind YAML, every name escaped.
    """
    body = "\n\n".join(
        (
            f"---\n{_metadata(facts, results)}---",
            f"# {_plain(f'{facts.asked.data.name}, {facts.asked.space}, network {rank}')}",
            _summary(facts),
            "## Use",
            _loading(rank),
            "## Results",
            _results(facts, results),
            "## Search",
            _search(facts, rank),
            "## Cost",
            _cost(facts, rank, exports or {}),
            "## Limits",
            _limits(facts),
            "## Licence",
            "Not stated. Whoever publishes the network chooses one that its data allows, here and as `license:` above.",
        )
    )
    return f"{body}\n\n{_END}{_sum(body)} -->\n"


def untouched(content: str) -> bool:
    """Whether a card is as it was written."""
    body, found, end = content.rpartition(f"\n\n{_END}")
    return bool(found) and end.strip() == f"{_sum(body)} -->"


def _sum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _metadata(facts: ReportFacts, results: Mapping[str, Mapping[str, Any]]) -> str:
    data = facts.asked.data.name
    metrics = [
        {"type": _metric(label), "name": label, "value": round(float(figure["value"]), 4)}
        for label, figure in results.items()
    ]
    values: dict[str, Any] = {
        "library_name": "timm",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "timm", "lowland", "neural-architecture-search", facts.asked.space],
    }
    if re.fullmatch(r"[\w.-]+", data):
        values["datasets"] = [data]
    if metrics:
        values["metrics"] = sorted({metric["type"] for metric in metrics})
        result = {
            "task": {"type": "image-classification", "name": "Image classification"},
            "dataset": {"type": data, "name": data, "split": "test"},
            "metrics": metrics,
        }
        values["model-index"] = [{"name": facts.run, "results": [result]}]
    head = "# license: yours to choose, such as apache-2.0\n"
    return head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)


def _metric(label: str) -> str:
    """The Hub's kind of metric: accuracy where it is one."""
    word = label.lower()
    return "accuracy" if "top-1" in word or "accuracy" in word else re.sub(r"[^a-z0-9]+", "_", word).strip("_")


def _summary(facts: ReportFacts) -> str:
    data = facts.asked.data
    names = [_plain(name) for name in data.classes[:MOST_CLASSES]]
    more = f", and {len(data.classes) - MOST_CLASSES:,} more" if len(data.classes) > MOST_CLASSES else ""
    kind = {1: "grey", 3: "colour"}.get(data.channels, f"{data.channels}-channel")
    return (
        f"An image classifier that architecture search found for {_plain(data.name)}: {kind} images of "
        f"{data.image_size}×{data.image_size} pixels, {len(data.classes):,} classes ({', '.join(names)}{more}). "
        f"Written by lowland {__version__}."
    )


def _loading(rank: int) -> str:
    folder = "network" if rank == 1 else str(rank)
    return f"""With lowland, from the folder above this one:

```python
import lowland
network = lowland.load("{folder}")
print(network.predict("picture.png", top=3))
```

With timm, for features, another head or further training:

```python
import timm, lowland.timm
model = timm.create_model("local-dir:{folder}", pretrained=True)
features = timm.create_model("local-dir:{folder}", pretrained=True, features_only=True)
```

Without lowland, from a file that `lowland export {folder} --format onnx` writes; `images` are uint8, N×C×H×W:

```python
import onnxruntime
session = onnxruntime.InferenceSession("network.onnx")
logits = session.run(["logits"], {{"images": images}})[0]
```"""


def _results(facts: ReportFacts, results: Mapping[str, Mapping[str, Any]]) -> str:
    if not results:
        return "Not tested; `lowland evaluate` does so."
    rows = []
    for label, figure in results.items():
        error = figure.get("standard_error")
        shown = text.estimate(figure["value"], error)
        unit = f" {_plain(figure['unit'])}" if figure.get("unit") else ""
        images = f"{figure['n']:,}" if figure.get("n") is not None else "–"
        rows.append((_plain(label), f"{_plain(shown)}{unit}", images))
    return (
        _table(("Figure", "Value", "n"), rows)
        + f"\n\n± is one standard error over the test images of {_plain(facts.asked.data.name)}; the chance of "
        "training is not in it."
    )


def _search(facts: ReportFacts, rank: int) -> str:
    asked, network = facts.asked, facts.networks[rank - 1]
    scored = f"; {len(facts.search.candidates):,} candidates were scored" if facts.search is not None else ""
    return (
        f"Space {_plain(asked.space)} ({asked.space_size:,} architectures), measure {_plain(asked.measure)}, strategy "
        f"{_plain(asked.strategy)}, seed {asked.seed}{scored}. Rank {rank} of the search. The genotype:\n\n"
        f"```text\n{_line(network.genotype).replace('```', '')}\n```"
    )


def _cost(facts: ReportFacts, rank: int, exports: Mapping[str, Mapping[str, Any]]) -> str:
    network = facts.networks[rank - 1]
    size = f"{network.parameters:,} parameters, {network.macs:,} multiply-accumulates for one image. "
    stages = ", ".join(f"{_plain(stage.name)} {_plain(text.duration(stage.seconds))}" for stage in facts.stages)
    lines = [f"{size}Wall time: {stages or 'not known'}."]
    if exports:
        rows = []
        for name, values in exports.items():
            found, single = values["agreement"], [each for each in values["latency"] if each["threads"] == 1]
            times = ", ".join(
                f"{each['milliseconds']:.2f} ms for {each['batch']} (× {each['ratio']:.2f})" for each in single
            )
            change = f"{found['top1_change']:+.2f} ± {found['top1_error']:.2f}"
            rows.append(
                (_plain(name), f"{values['bytes'] / 1e6:.2f} MB", f"{found['largest_difference']:.1e}", change, times)
            )
        lines.append(
            _table(("Format", "Size", "Logits differ by", "Top-1 change, points", "Time, one thread"), rows)
            + "\n\nAgainst the network in PyTorch on the test images; × is time relative to it in the same seconds."
        )
    return "\n\n".join(lines)


def _limits(facts: ReportFacts) -> str:
    data = facts.asked.data
    return "\n".join(
        (
            f"- It knows the {len(data.classes):,} classes above and gives one of them to any picture.",
            f"- It learned from {data.train:,} training images, and the search looked at {data.search:,} more; images "
            "of another source, camera or framing may be classified much worse than the results say.",
            f"- One training with seed {facts.asked.seed}: another would end a little differently.",
            "- Probabilities are softmax outputs; the calibration error under Results, where it was tested, says how "
            "far they can be trusted.",
        )
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _line(words: str) -> str:
    return " ".join("".join(mark if mark.isprintable() else " " for mark in words).split())


def _plain(words: str) -> str:
    """A name as Markdown that means itself."""
    return _SPECIAL.sub(r"\\\1", _line(words))
